"""init=...: the folder of weights that a run begins with, and the sizes that follow from it.

A folder has config.json, model.safetensors and a tokenizer: a model of the Hugging Face Hub, or the
one that a run of task=denoising leaves in results/work/<cell>/pretrained. The sizes in it take the
place of the protocol's.
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from lra import tokenizer
from lra.errors import UserError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
FILES = (CONFIG, WEIGHTS, "*.json", "*.txt")
# our names of the sizes, and those of BART's and of BERT's kind of config.json
SIZES = {
    "d_model": ("d_model", "hidden_size"),
    "n_layers": ("encoder_layers", "num_hidden_layers"),
    "n_heads": ("encoder_attention_heads", "num_attention_heads"),
    "d_ff": ("encoder_ffn_dim", "intermediate_size"),
    "max_positions": ("max_position_embeddings",),  # of BART: BERT's kind counts in other ways
}


def adopt(cfg: DictConfig, overrides: list[str]) -> None:
    """Puts the folder of cfg.init and its sizes into cfg, in place.

    overrides: the words typed. Raises UserError where one of them contradicts the folder, and where
    the folder or its files are missing.
    """
    if cfg.init is not None:
        cfg.init = str(folder(str(cfg.init)))
        stored = config_of(cfg.init)
        _fits(cfg, stored)
        sizes = {f"model.{ours}": _first(stored, theirs) for ours, theirs in SIZES.items()}
        for key, size in sizes.items():
            group, name = key.split(".")
            if size is None or "init" not in cfg.model.net or name not in cfg.model:
                continue
            if any(word.startswith(f"{key}=") for word in overrides) and cfg[group][name] != size:
                raise UserError(f"{key}={cfg[group][name]}: {cfg.init} has {size}; leave it out.")
            cfg[group][name] = size
    if cfg.task.get("tokenizer") is not None:
        cfg.task.vocab_size = _vocabulary(cfg)


def _vocabulary(cfg: DictConfig) -> int:
    """Returns the number of ids: the network's where there is one, else the tokenizer's."""
    size = _size(Path(cfg.task.tokenizer))
    if cfg.init is not None and "init" in cfg.model.net:
        room = int(config_of(cfg.init)["vocab_size"])
        given = f"task.tokenizer={cfg.task.tokenizer}"
        if size > room:
            raise UserError(
                f"{given} has {size:,} ids, and {cfg.init} has {room:,}: take the tokenizer that "
                "belongs to the weights."
            )
        if tokenizer.files(Path(cfg.init)) and _differ(Path(cfg.task.tokenizer), Path(cfg.init)):
            raise UserError(
                f"{given} gives other ids than the tokenizer of {cfg.init}: leave task.tokenizer "
                "out."
            )
        return room
    return size


@lru_cache(maxsize=8)
def _size(folder: Path) -> int:
    tokenizer.extra()
    return int(tokenizer.load(folder).get_vocab_size())


@lru_cache(maxsize=8)
def _differ(one: Path, other: Path) -> bool:
    """Returns whether a word piece has another id in one folder's tokenizer than in the other's.
    Pieces that a single one has are ignored: the forms of a tokenizer differ in unused pieces."""
    if one == other:
        return False
    ids, others = (tokenizer.load(folder).get_vocab() for folder in (one, other))
    return any(others.get(piece, number) != number for piece, number in ids.items())


def _fits(cfg: DictConfig, stored: dict[str, Any]) -> None:
    """Raises UserError for a folder of another kind of model than the one that begins with it."""
    if "init" not in cfg.model.net:
        return  # the model cannot begin with any: the schema says so
    kind = stored.get("model_type")
    if kind not in cfg.model.types or "vocab_size" not in stored:
        raise UserError(
            f"init={cfg.init} has a model of type {kind}: model={cfg.model.name} begins with "
            f"{' or '.join(cfg.model.types)}."
        )


def folder(init: str) -> Path:
    """Returns the folder that init names; a name of the Hub is fetched first."""
    path = Path(init).expanduser()
    if not path.exists() and init.count("/") == 1 and not init.startswith((".", "/", "~")):
        path = _from_hub(init)
    absent = [name for name in (CONFIG, WEIGHTS) if not (path / name).is_file()]
    if absent:
        raise UserError(
            f"init={init}: {path} has no {' and no '.join(absent)}. Name the folder of a model in "
            "transformers' form (pytorch_model.bin is not read: convert it with "
            "save_pretrained), a name of the Hub, or results/work/<cell>/pretrained."
        )
    return path


def _from_hub(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise UserError(
            f"init={name}: there is no such folder, and the Hub needs pip install -e '.[bart]'"
        ) from None
    try:
        return Path(snapshot_download(name, allow_patterns=list(FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(
            f"init={name}: there is no such folder, and the Hub gives no model of that name "
            f"({type(error).__name__})."
        ) from error


def config_of(init: str) -> dict[str, Any]:
    """Returns the content of a folder's config.json."""
    try:
        return json.loads((Path(init) / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"init={init}: {CONFIG} is not JSON ({error}).") from error


def digest(init: str) -> str:
    """Returns the hash of a folder's configuration and weights."""
    path = Path(init)
    return _digest(path, *((path / name).stat().st_mtime_ns for name in (CONFIG, WEIGHTS)))


@lru_cache(maxsize=8)
def _digest(path: Path, *_changed: int) -> str:
    found = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with open(path / name, "rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def _first(stored: dict[str, Any], names: tuple[str, ...]) -> int | None:
    return next((stored[name] for name in names if name in stored), None)
