"""Composing the configuration, and what of it decides a result."""

import json
from pathlib import Path
from typing import Literal

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)

from lra.errors import UserError, one_of

CONF = Path(__file__).resolve().parents[1] / "conf"

# Where and how a cell is computed, not what it computes. Every other key is part of its identity,
# so that a key added later counts until somebody decides that it does not.
ENVIRONMENT = {
    "data",  # the packed data's fingerprint stands for it
    "results",
    "logger",
    "rerun",
    "retry",
    "wait",
    "energy",
    "evaluate",
    "source",  # a label; the values it speaks of count themselves
    "model.cost",  # a label, too
    "task.variants",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.num_nodes",
    "trainer.threads",
    "trainer.micro_batch",  # the gradient is the whole batch's all the same
    "trainer.checkpoint_seconds",
}


# Keys that came after the first rows, by their last name, and the value that means what was done
# before there was a choice: at that value they are left out, so that older rows keep their cells.
ADDED = {
    "input": "tokens",
    "pixels": False,
    "d_qkv": None,
    "bucket_by_length": False,
    "filter": None,
    "score_test": True,
}


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Optim(Group):
    lr: PositiveFloat
    warmup: float = Field(ge=0, le=1)
    schedule: Literal["linear", "rsqrt", "cosine"]
    start_factor: float = Field(ge=0, le=1)
    weight_decay: NonNegativeFloat
    betas: tuple[float, float]
    eps: PositiveFloat
    clip: PositiveFloat | None


class Data(Group):
    root: str
    archive: str | None
    seed: NonNegativeInt
    processes: PositiveInt | None


class Trainer(Group):
    max_steps: PositiveInt
    val_every: PositiveInt
    max_eval_examples: PositiveInt | None
    precision: Literal["32-true", "bf16-mixed"]
    threads: PositiveInt | None
    micro_batch: PositiveInt | Literal["auto"] | None
    accelerator: Literal["cpu", "gpu"]
    devices: PositiveInt | Literal["auto"]
    strategy: str
    num_nodes: PositiveInt
    checkpoint_seconds: NonNegativeFloat


class Trunk(BaseModel):
    """Of every model, beside what its mixer's constructor checks."""

    d_model: PositiveInt
    n_layers: PositiveInt
    n_heads: PositiveInt
    d_ff: PositiveInt
    seq_len: PositiveInt
    dropout: float = Field(ge=0, lt=1)
    attention_dropout: float = Field(ge=0, lt=1)


class Settings(Group):
    """Types of the keys that no constructor checks; a key that a preset made up fails here."""

    seed: NonNegativeInt
    rerun: bool
    retry: Literal["failed", "none", "all"]
    wait: bool
    energy: bool
    evaluate: str | None
    score_test: bool
    batch_size: PositiveInt
    bucket_by_length: bool
    select: Literal["best_val", "last"]
    optim: Optim
    trainer: Trainer


def compose(overrides: list[str]) -> DictConfig:
    """The configuration that `python run.py <overrides>` would use."""
    if GlobalHydra.instance().is_initialized():  # inside run.py
        return hydra_compose("config", overrides)
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return hydra_compose("config", overrides)


def check_data(cfg: DictConfig) -> None:
    """Raises UserError for a variant that there is not, and for counts or settings of no sense."""
    if cfg.task.variant not in cfg.task.variants:
        raise one_of(f"variant of {cfg.task.name}", cfg.task.variant, cfg.task.variants)
    validated(Data, plain(cfg)["data"], "data.")
    where = f"task.variants.{cfg.task.variant}"
    rules = OmegaConf.to_container(cfg.task.variants[cfg.task.variant])
    for split, n in (rules.get("counts") or {}).items():
        if not isinstance(n, int) or n < 1:
            raise UserError(
                f"{where}.counts.{split}={n}: give a whole number of examples, 1 or more."
            )


def validated(model: type[BaseModel], values: dict, prefix: str = "") -> None:
    try:
        model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(map(str, first["loc"]))
        raise UserError(f"{key}={first['input']}: {first['msg'].lower()}.") from None


def check(cfg: DictConfig) -> None:
    """Raises UserError for what Hydra lets pass: unknown variants, and settings nobody gave."""
    check_data(cfg)
    if cfg.model.input == "continuous" and not cfg.task.pixels:
        raise UserError(
            f"model.input=continuous reads grey values, which task={cfg.task.name} has not: leave "
            "it out, or choose task=image, pathfinder or pathx."
        )
    if cfg.model.filter:
        block = compose([f"model={cfg.model.name}"]).model.block._target_
        if block not in ("models.block.Block", cfg.model.block._target_):
            raise UserError(
                f"filter={cfg.model.filter} does not go with model={cfg.model.name}, which has a "
                "block of its own: leave one of them out."
            )
    # not OmegaConf.missing_keys, which stops at an interpolation of a missing value
    missing = sorted(key for key, value in flatten(plain(cfg)).items() if value == "???")
    if missing:
        raise UserError(
            f"protocol={cfg.protocol} has no settings for model={cfg.model.name} on "
            f"task={cfg.task.name}: give {', '.join(f'{key}=...' for key in missing)}, "
            "or choose another protocol."
        )
    validated(Settings, {key: plain(cfg)[key] for key in Settings.model_fields})
    validated(Trunk, {key: cfg.model[key] for key in Trunk.model_fields}, "model.")
    for layer in cfg.model.block.get("filter_layers", []):
        if layer not in range(cfg.model.n_layers):
            raise UserError(
                f"model.block.filter_layers={cfg.model.block.filter_layers}: there are "
                f"{cfg.model.n_layers} layers, counted from 0."
            )
    _check_used(cfg)


def _check_used(cfg: DictConfig) -> None:
    """Raises UserError for a setting of attention that this model does not read: its row would
    claim it."""
    block = json.dumps(plain(cfg)["model"]["block"])
    unused = [k for k in ("n_heads", "d_qkv", "attention_dropout") if f"{{model.{k}}}" not in block]
    if unused and (changed := [k for k in unused if f"model.{k}" in modified(cfg)]):
        raise UserError(
            f"model={cfg.model.name} has no {changed[0]}: leave model.{changed[0]} out."
        )


def identity(cfg: DictConfig, resolve: bool = True) -> dict:
    """The configuration without the keys in ENVIRONMENT."""
    tree = OmegaConf.to_container(cfg, resolve=resolve)
    for key in ENVIRONMENT:
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node.pop(last)
    return _without_added(tree)


def _without_added(tree: dict) -> dict:
    return {
        key: _without_added(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if key not in ADDED or value != ADDED[key]
    }


def modified(cfg: DictConfig) -> dict[str, list]:
    """What differs from protocol + preset: key -> [theirs, ours]. Empty for a conforming cell.

    Unresolved, so that a key which only follows another one is not listed beside it.
    """
    reference = compose(
        [
            f"task={cfg.task.name}",
            f"task.variant={cfg.task.variant}",
            f"model={cfg.model.name}",
            f"protocol={cfg.protocol}",
            f"seed={cfg.seed}",
            *([f"filter={cfg.model.filter}"] if cfg.model.filter else []),
        ]
    )
    theirs, ours = (
        flatten(
            identity(c, resolve=False) | {"data": plain(c.task)["variants"].get(cfg.task.variant)}
        )
        for c in (reference, cfg)
    )
    pairs = {
        key: [side.get(key, ADDED.get(key.rpartition(".")[2])) for side in (theirs, ours)]
        for key in sorted(theirs.keys() | ours.keys())
    }
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def models() -> list[str]:
    """What model= can be."""
    return sorted(p.stem for p in (CONF / "model").glob("*.yaml") if p.stem != "base")


def filters() -> list[str]:
    """What filter= can be."""
    return sorted(p.stem for p in (CONF / "filter").glob("*.yaml"))


def cost(model: str) -> str:
    """How a model's time grows with the length, from its yaml; - for one that is not there."""
    path = CONF / f"model/{model}.yaml"
    return OmegaConf.load(path).get("cost", "-") if path.exists() else "-"


def label(model: DictConfig) -> str:
    """What tables and folders call it: performer, or fourier+performer behind a filter."""
    filter_ = model.get("filter")  # checkpoints older than the key have none
    return f"{filter_}+{model.name}" if filter_ else model.name


def plain(cfg: DictConfig) -> dict:
    return OmegaConf.to_container(cfg, resolve=False)


def is_multirun() -> bool:
    """Whether this is a job of `run.py -m`."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """What was typed after run.py, this job's share of it under -m."""
    return list(HydraConfig.get().overrides.task)


def flatten(tree: dict, prefix: str = "") -> dict:
    """{'a': {'b': 1}} -> {'a.b': 1}; lists are values."""
    flat = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
