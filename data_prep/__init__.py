"""Finds, generates, checks and packs the data of every task.

Code calls `prepare(task, data)`; people type `python -m data_prep <task>`.
"""

from lra.errors import UserError  # first: a Ctrl-C from here on ends in a sentence

# isort: split
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from data_prep.pack import Manifest, read_manifest
from lra import tokenizer
from lra.files import locked


def folder(task, data) -> Path:
    """Returns the folder of the packed task: <data.root>/<task>/<variant>, with the hash of the
    tokenizer behind it where the task names one."""
    path = Path(data.root) / task.name / task.variant
    if task.get("tokenizer"):
        return path.with_name(f"{path.name}-{tokenizer.digest(Path(task.tokenizer))[:8]}")
    return path


def maker(task) -> ModuleType:
    """Returns the module that makes a task's data: data_prep/tasks/<name>.py, or the one that its
    yaml names as `maker`."""
    return import_module(task.get("maker") or f"data_prep.tasks.{task.name}")


def prepare(task, data) -> Manifest:
    """Returns the manifest of the packed task, and makes the data first if they are missing.

    A second process waits until the first has made them.

    task: the composed `task` config (name, variant, and the facts of the variant).
    data: the composed `data` config (root, archive, seed, processes).
    """
    path = folder(task, data)
    manifest = read_manifest(path)
    if manifest is None:
        with locked(path.parent / f".{path.name}.lock"):
            manifest = read_manifest(path)
            if manifest is None:
                for leftover in path.glob("*/.*.npy-*"):  # files of a killed process
                    leftover.unlink()
                manifest = maker(task).make(task, data, path)
    elif data.archive is not None and manifest.generator is None:
        if not Path(data.archive).exists():
            raise UserError(f"data.archive={data.archive} does not exist.")
        print(f"data.archive is not read again: {path} is there.", file=sys.stderr)
    if unfinished(path).exists():  # a kill after the manifest was written left it
        with locked(path.parent / f".{path.name}.lock"):
            shutil.rmtree(unfinished(path), ignore_errors=True)
    manifest.must_be(task, data, path)
    return manifest


def unfinished(path: Path) -> Path:
    """Returns the folder of a task's unfinished work, used until its data at `path` are packed."""
    return path.parent / f".{path.name}-unfinished"
