"""Composing the configuration, and what of it decides a result."""

from pathlib import Path

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lra.errors import UserError, one_of

CONF = Path(__file__).resolve().parents[1] / "conf"

# Where and how a cell is computed, not what it computes. Every other key is part of its identity,
# so that a key added later counts until somebody decides that it does not.
ENVIRONMENT = {
    "data",  # the packed data's fingerprint stands for it
    "results",
    "logger",
    "rerun",
    "evaluate",
    "source",  # a label; the values it speaks of count themselves
    "task.variants",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.strategy",
    "trainer.num_nodes",
    "trainer.threads",
    "trainer.checkpoint_seconds",
}


def compose(overrides: list[str]) -> DictConfig:
    """The configuration that `python run.py <overrides>` would use."""
    if GlobalHydra.instance().is_initialized():  # inside run.py
        return hydra_compose("config", overrides)
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return hydra_compose("config", overrides)


def check(cfg: DictConfig) -> None:
    """Raises UserError for what Hydra lets pass: unknown variants, and settings nobody gave."""
    if cfg.task.variant not in cfg.task.variants:
        raise one_of(f"variant of {cfg.task.name}", cfg.task.variant, cfg.task.variants)
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(
            f"protocol={cfg.protocol} has no settings for model={cfg.model.name} on "
            f"task={cfg.task.name}: give {', '.join(f'{key}=...' for key in missing)}, "
            "or choose another protocol."
        )
    if cfg.select not in ("best_val", "last"):
        raise one_of("value of select", cfg.select, ("best_val", "last"))


def identity(cfg: DictConfig, resolve: bool = True) -> dict:
    """The configuration without the keys in ENVIRONMENT."""
    tree = OmegaConf.to_container(cfg, resolve=resolve)
    for key in ENVIRONMENT:
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node.pop(last)
    return tree


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
        ]
    )
    theirs, ours = (flatten(identity(c, resolve=False)) for c in (reference, cfg))
    return {
        key: [theirs.get(key), ours.get(key)]
        for key in sorted(theirs.keys() | ours.keys())
        if theirs.get(key) != ours.get(key)
    }


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
