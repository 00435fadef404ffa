"""Types of the settings, and the checks that no constructor makes.

A validated value replaces the typed one, so that the run, the row and the cell's name all use it:
optim.clip=1, 1.0 and 1e0 are one setting. Settings without a type here (those of a mixer) are
checked by its constructor; among them a whole number is an int however it was typed.
"""

from typing import Annotated, Any, Literal

from omegaconf import DictConfig, ListConfig, OmegaConf
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

from lra import tokenizer
from lra.config.composition import flatten, models_for, own_block, plain, resolved
from lra.errors import UserError, one_of

Share = Annotated[float, Field(ge=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
Dropout = Annotated[float, Field(ge=0, le=0.9999)]  # models/dropout.py
Text = Annotated[str, Field(min_length=1)]  # an unset variable in key=$VALUE is a mistake


class Group(BaseModel):
    """A group of settings; an unknown key is an error, and so is a number that is not finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Source(Group):
    """The origin of the settings: sentences for a reader, and the repository they follow."""

    budget: str | None
    preset: str | None
    follows: str | None
    trials: PositiveInt | None


class Optim(Group):
    """AdamW and the learning rate over the steps."""

    lr: PositiveFloat
    warmup: Share
    decay: Literal["linear", "rsqrt", "cosine", "cosine_to_zero"]
    start_factor: Share
    weight_decay: NonNegativeFloat
    decay_norms: bool
    betas: tuple[Probability, Probability]
    eps: PositiveFloat
    clip: PositiveFloat | None


class Data(Group):
    """The place of packed data, and how they are made."""

    root: Text
    archive: Text | None
    seed: NonNegativeInt
    processes: PositiveInt | None


class Results(Group):
    """The place of results and of the board, and how long a worker's claim holds."""

    root: Text
    path: Text
    board: Text | None
    renew: PositiveFloat
    expire: PositiveFloat


class Trainer(Group):
    """The place and the way of a computation; nothing here decides its result."""

    threads: PositiveInt | None
    compile: bool
    deterministic: bool
    micro_batch: PositiveInt | Literal["auto"] | None
    accelerator: Literal["cpu", "gpu"]
    devices: PositiveInt | Literal["auto"]
    strategy: str
    num_nodes: PositiveInt
    checkpoint_seconds: NonNegativeFloat


class Sizes(BaseModel):
    """Settings of all models."""

    d_model: PositiveInt
    n_layers: PositiveInt
    n_heads: PositiveInt
    d_ff: PositiveInt
    seq_len: PositiveInt
    dropout: Dropout
    attention_dropout: Dropout


class Trunk(Sizes):
    """Settings of the models on the shared trunk; a mixer's constructor checks its own."""

    d_qkv: PositiveInt | None
    init_std: NonNegativeFloat
    padding_token: bool
    norm: Literal["layer", "batch", "rms"]
    prenorm: bool
    mlp: bool
    tied_dropout: bool


class Filter(BaseModel):
    """Settings of the Fourier filter, of a block or of a pretrained model's encoder."""

    keep_ratio: Annotated[float, Field(gt=0, le=1)]
    filter_layers: list[NonNegativeInt]


class Settings(Group):
    """Everything but the task, the model, the objective and the logger."""

    protocol: str
    seed: NonNegativeInt
    rerun: bool
    retry: Literal["failed", "none", "all"]
    wait: bool
    energy: bool
    evaluate: Text | None
    init: Text | None
    score_test: bool
    batch_size: PositiveInt
    bucket_by_length: bool
    max_steps: PositiveInt
    val_every: PositiveInt
    max_eval_examples: PositiveInt | None
    precision: Literal["32-true", "bf16-mixed"]
    select: Literal["best_val", "last"]
    source: Source
    data: Data
    results: Results
    optim: Optim
    trainer: Trainer


def check(cfg: DictConfig) -> None:
    """Validates cfg in place. Raises UserError for an invalid or a missing setting."""
    check_data(cfg)
    _answers_fit(cfg)
    _all_given(cfg)
    for group in (cfg.model, cfg.objective):
        _whole_numbers(group)
    values = resolved(cfg)
    _replace(cfg, _validated(Settings, {key: values[key] for key in Settings.model_fields}))
    sizes = Trunk if "block" in cfg.model else Sizes
    given = {key: cfg.model[key] for key in sizes.model_fields}
    _replace(cfg.model, _validated(sizes, given, "model."))
    for where, node in (("model.", cfg.model), ("model.block.", cfg.model.get("block", {}))):
        if "filter_layers" in node:
            given = {key: plain(node)[key] for key in Filter.model_fields}
            _replace(node, _validated(Filter, given, where))
    _fits(cfg)


def check_data(cfg: DictConfig) -> None:
    """Raises UserError for an unknown variant or an invalid count or data setting."""
    _whole_numbers(cfg.task)
    if cfg.task.variant not in cfg.task.variants:
        raise one_of(f"variant of {cfg.task.name}", cfg.task.variant, cfg.task.variants)
    _replace(cfg.data, _validated(Data, resolved(cfg.data), "data."))
    where = f"task.variants.{cfg.task.variant}"
    rules = plain(cfg.task.variants[cfg.task.variant])
    for split, n in (rules.get("counts") or {}).items():
        if not isinstance(n, int) or n < 1:
            raise UserError(
                f"{where}.counts.{split}={n}: give a whole number of examples, 1 or more."
            )


def _all_given(cfg: DictConfig) -> None:
    # not OmegaConf.missing_keys, which stops at an interpolation of a missing value
    missing = sorted(key for key, value in flatten(plain(cfg)).items() if value == "???")
    if missing:
        raise UserError(
            f"protocol={cfg.protocol} has no settings for model={cfg.model.name} on "
            f"task={cfg.task.name}: give {', '.join(f'{key}=...' for key in missing)}, "
            "or choose another protocol."
        )


def _answers_fit(cfg: DictConfig) -> None:
    """Raises UserError for a model that does not fit the task, or cannot begin as asked to."""
    rules = plain(cfg.task.variants[cfg.task.variant])
    if rules.get("tokenizer") and cfg.task.tokenizer is None:
        raise UserError(
            f"task.variant={cfg.task.variant} has the word pieces of a pretrained model: name its "
            "folder with init=... or task.tokenizer=..."
        )
    texts = [side for side in (cfg.model, cfg.task) if side.get("answers") == "text"]
    if len(texts) == 1:
        gives, wants = ("a text", "a label") if texts[0] is cfg.model else ("a label", "a text")
        raise UserError(
            f"model={cfg.model.name} gives {gives}, and task={cfg.task.name} wants {wants}: choose "
            f"model={' or '.join(models_for(cfg.task)[:4])}."
        )
    if texts or cfg.model.get("family"):
        tokenizer.extra()
    if cfg.model.get("family") == "encoder" and cfg.init is None:
        raise UserError(
            f"model={cfg.model.name} begins with the weights of a pretrained encoder: name its "
            "folder with init=..."
        )
    if cfg.model.get("family") == "encoder" and cfg.task.get("tokenizer") is None:
        raise UserError(
            f"model={cfg.model.name} reads the word pieces of its tokenizer: choose task=text "
            "task.variant=word_pieces_512."
        )
    if cfg.init is not None and "init" not in cfg.model.net:
        raise UserError(
            f"init={cfg.init}: model={cfg.model.name} cannot begin with pretrained weights: choose "
            "model=bart, fourier_bart, encoder or fourier_encoder, or leave init out."
        )


def _fits(cfg: DictConfig) -> None:
    """Raises UserError for settings that are valid alone and do not go together."""
    if cfg.model.get("input") == "continuous" and not cfg.task.pixels:
        raise UserError(
            f"model.input=continuous reads grey values, and task={cfg.task.name} has none: leave "
            "it out, or choose task=image, pathfinder or pathx."
        )
    _has_positions(cfg)
    if cfg.model.filter and own_block(cfg.model.name):
        raise UserError(
            f"filter={cfg.model.filter} does not go with model={cfg.model.name}, which has a "
            "block of its own: leave one of them out."
        )
    for layer in cfg.model.get("block", {}).get("filter_layers", []):
        if layer not in range(cfg.model.n_layers):
            raise UserError(
                f"model.block.filter_layers={cfg.model.block.filter_layers}: there are "
                f"{cfg.model.n_layers} layers, counted from 0."
            )


def _has_positions(cfg: DictConfig) -> None:
    """Raises UserError for a text that is longer than the model's table of positions: generation
    would find out after the training."""
    positions = cfg.model.get("max_positions")
    if positions is None:
        return
    lengths = {
        "model.seq_len": cfg.model.seq_len,
        "task.target_len": cfg.task.get("target_len", 0),
        "objective.generation.max_len": OmegaConf.select(
            cfg, "objective.generation.max_len", default=0
        ),
    }
    for key, length in lengths.items():
        room = positions - 2 * key.endswith("max_len")  # it leaves out the first and the last
        if length > room:
            raise UserError(
                f"{key}={length}: the model has {positions} positions (model.max_positions); "
                f"choose up to {room}."
            )


def _validated(model: type[BaseModel], values: dict, prefix: str = "") -> dict[str, Any]:
    """Returns the values as the model's types have them. Raises UserError for the first error."""
    try:
        return model.model_validate(values).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        # of a union (a number or a word) the last part names one of its types
        where = [str(part) for part in first["loc"] if part in values or not _is_type(part)]
        key = prefix + ".".join(where)
        raise UserError(f"{key}={first['input']}: {first['msg'].lower()}.") from None


def _is_type(part) -> bool:
    return isinstance(part, str) and (part == "constrained-int" or part.startswith("literal["))


def _replace(node: DictConfig, values: dict[str, Any]) -> None:
    """Writes values into a node; an interpolation stays, since it follows what it names."""
    for key, value in values.items():
        if isinstance(value, dict):
            _replace(node[key], value)
        elif not OmegaConf.is_interpolation(node, key):
            node[key] = list(value) if isinstance(value, tuple) else value


def _whole_numbers(node: DictConfig | ListConfig) -> None:
    """Turns 128.0 into 128, in place, all the way down."""
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        if OmegaConf.is_interpolation(node, key):
            continue
        value = node[key]
        if isinstance(value, (DictConfig, ListConfig)):
            _whole_numbers(value)
        elif isinstance(value, float) and value.is_integer():
            node[key] = int(value)
