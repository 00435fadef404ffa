"""Composes a configuration from conf/ and the words of a command, and lists what conf/ offers.

A folder of one's own may add to conf/: LRA_CONFIG_DIR names it, and --config-dir sets that
variable, so that every process of a sweep finds the same yaml files, and the modules that they
name.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from lra.errors import UserError

CONF = Path(__file__).resolve().parents[2] / "conf"
OWN = "LRA_CONFIG_DIR"


def folders() -> list[Path]:
    """Returns conf/, and the folder of one's own where there is one."""
    own = os.environ.get(OWN)
    return [CONF, *([Path(own)] if own else [])]


def is_group(name: str) -> bool:
    """Returns whether a folder of yaml files has this name: task, or experiment of one's own."""
    return any((folder / name).is_dir() for folder in folders())


def use_own_folder(path: str | None) -> None:
    """Adds a folder to conf/ for this process and its children. Modules in the folder can be
    imported. Raises UserError for a folder that does not exist.

    path: None means the folder that the environment names, if any.
    """
    own = path or os.environ.get(OWN)
    if not own:
        return
    folder = Path(own).expanduser().absolute()
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name one with model/ or task/ in it.")
    os.environ[OWN] = str(folder)
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


@contextmanager
def hydra() -> Iterator[None]:
    """Lets Hydra compose from conf/, and from the folder of one's own, outside run.py."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        loader: Any = GlobalHydra.instance().config_loader()
        for folder in folders()[1:]:  # Hydra has no argument for it; run.py has --config-dir
            loader.config_search_path.prepend("own folder", f"file://{folder}", anchor="schema")
            loader.repository.initialize_sources(loader.config_search_path)
        yield


def compose(overrides: list[str]) -> DictConfig:
    """Returns the configuration that `python run.py <overrides>` would use, not yet checked."""
    return _composed(tuple(overrides)).copy()


@lru_cache(maxsize=256)  # composing takes 0.3 s, a copy 0.02
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    if GlobalHydra.instance().is_initialized():  # inside run.py
        return hydra_compose("config", list(overrides))
    with hydra():
        return hydra_compose("config", list(overrides))


def is_multirun() -> bool:
    """Returns whether this process runs a job of `run.py -m`."""
    return HydraConfig.get().mode == RunMode.MULTIRUN


def typed_overrides() -> list[str]:
    """Returns the words typed after run.py; under -m, this job's share of them."""
    return list(HydraConfig.get().overrides.task)


def models() -> list[str]:
    """Returns the models of the arena: the choices of model= on the shared trunk."""
    return [name for name in _names("model") if family(name) is None]


def family(model: str | None) -> str | None:
    """Returns the family of pretrained networks that a model belongs to; None for the arena's. The
    plain network of a family has its name."""
    return _file("model", model).get("family") if model in _names("model") else None


def models_for(task: Any) -> list[str]:
    """Returns the choices of model= that answer as a task wants: with texts, or with labels."""
    wanted = task.get("answers")
    return [name for name in _names("model") if _file("model", name).get("answers") == wanted]


def filters() -> list[str]:
    """Returns the choices of filter=."""
    return _names("filter")


def tasks(in_mean: bool = False) -> list[str]:
    """Returns the arena's tasks, in the order of the tables. in_mean: only tasks in the mean."""
    names = _in_order(lambda facts: facts.get("answers") != "text")
    return [name for name in names if _file("task", name).get("in_mean", True) or not in_mean]


def text_tasks() -> list[str]:
    """Returns the choices of task= whose answers are texts, in the order of the tables."""
    return _in_order(lambda facts: facts.get("answers") == "text")


def _in_order(wanted: Callable[[Any], bool]) -> list[str]:
    facts = {name: _file("task", name) for name in _names("task")}
    names = [name for name in facts if wanted(facts[name])]
    return sorted(names, key=lambda name: (facts[name].get("order", len(facts)), name))


def title(task: str) -> str:
    """Returns the task's name in tables."""
    return _file("task", task).get("title", task) if task in _names("task") else task


def cost(model: str) -> str:
    """Returns how a model's time grows with the length; - for a model that is gone."""
    return _file("model", model).get("cost", "-") if model in _names("model") else "-"


def own_block(model: str) -> bool:
    """Returns whether the model has a block of its own, in front of which no filter fits."""
    return "_target_" in _file("model", model).get("block", {})


def usual_variant(task: str, protocol: str, model: str) -> str:
    """Returns the variant that `task=... protocol=... model=...` alone chooses: the preset's, else
    the budget's, else the task's. Read from the files: composing them all takes seconds."""
    for group, name in ((f"preset/{protocol}/{task}", model), (f"budget/{protocol}", task)):
        if name in _names(group):
            chosen = OmegaConf.select(_file(group, name), "task.variant")
            if chosen:
                return chosen
    return _file("task", task).variant


def objectives() -> list[str]:
    """Returns the choices of objective=."""
    return _names("objective")


def objective_file(name: str) -> Any:
    """Returns conf/objective/<name>.yaml alone, to read rows with."""
    return _file("objective", name)


def choices_of(group: str) -> list[str]:
    """Returns the choices of a group of conf/."""
    return _names(group)


def task_objective(task: str) -> str:
    """Returns the objective that task=<task> chooses."""
    entries = _defaults("config.yaml") + _defaults(f"task/{task}.yaml")
    chosen = {
        key.partition("@")[0].rpartition("/")[2]: name
        for entry in entries
        for key, name in entry.items()
    }
    return chosen["objective"]


@cache
def _defaults(path: str) -> list[dict[str, str]]:
    """Returns the choices in a file's defaults list."""
    found = [folder / path for folder in folders() if (folder / path).exists()]
    tree: Any = OmegaConf.load(found[0]) if found else OmegaConf.create()
    return [entry for entry in plain(tree).get("defaults", []) if isinstance(entry, dict)]


def usual_net(model: str | None) -> dict[str, Any]:
    """Returns model.net as a model has it untyped: a class and what its arguments follow."""
    if base := family(model):
        own = _file("model", model).get("net", OmegaConf.create())
        return plain(_file("base", base).net) | plain(own)
    return plain(_file("base", "trunk").net)


def _file(group: str, name: str) -> Any:
    """Returns one file of conf/ alone, nothing composed."""
    return next(_loaded(p) for f in folders() if (p := f / group / f"{name}.yaml").exists())


@cache
def _loaded(path: Path) -> Any:
    return OmegaConf.load(path)


def _names(group: str) -> list[str]:
    return sorted({path.stem for folder in folders() for path in (folder / group).glob("*.yaml")})


def label(model: str, filter: str | None) -> str:
    """Returns the name in tables and folders: performer, or fourier+performer behind a filter."""
    return f"{filter}+{model}" if filter else model


def unlabelled(name: str) -> tuple[str, str | None]:
    """Returns (model, filter) of a name that `label` made."""
    filter_, _, model = name.rpartition("+")
    return model, filter_ or None


def choices(model: str, filter: str | None) -> list[str]:
    """Returns the overrides that choose a model and the filter in front of it."""
    return [f"model={model}", *([f"filter={filter}"] if filter else [])]


def plain(cfg: DictConfig) -> dict[str, Any]:
    """Returns the configuration as dicts and lists, interpolations unresolved."""
    return _dict(OmegaConf.to_container(cfg, resolve=False))


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """Returns the configuration as dicts and lists of values."""
    return _dict(OmegaConf.to_container(cfg, resolve=True))


def _dict(container: Any) -> dict[str, Any]:
    return container


def flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}; lists are values."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
