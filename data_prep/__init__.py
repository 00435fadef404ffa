"""Finds, generates, checks and packs the data of every task.

`prepare(task, data)` is the one entry for code; `python -m data_prep <task>` the one for people.
"""

import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from data_prep.pack import Manifest, read_manifest
from lra.errors import UserError
from lra.files import locked


def folder(task, data) -> Path:
    """Returns the folder of the packed task: <data.root>/<task>/<variant>."""
    return Path(data.root) / task.name / task.variant


def maker(task) -> ModuleType:
    """Returns the module that makes a task's data: data_prep/tasks/<name>.py, or the one that its
    yaml names as `maker`."""
    return import_module(task.get("maker") or f"data_prep.tasks.{task.name}")


def prepare(task, data) -> Manifest:
    """Returns the manifest of the packed task, making the data first where it is missing; a second
    process waits for the first.

    task: the composed `task` config (name, variant, and the facts of the variant).
    data: the composed `data` config (root, archive, seed, processes).
    """
    path = folder(task, data)
    manifest = read_manifest(path)
    if manifest is None:
        with locked(path.parent / f".{path.name}.lock"):
            manifest = read_manifest(path)
            if manifest is None:
                for leftover in path.glob("*/.*.npy-*"):  # of one that was killed
                    leftover.unlink()
                manifest = maker(task).make(task, data, path)
    elif data.archive is not None and manifest.generator is None:
        if not Path(data.archive).exists():
            raise UserError(f"data.archive={data.archive} does not exist.")
        print(f"data.archive is not read again: {path} is there.", file=sys.stderr)
    if unfinished(path).exists():  # a kill came between the manifest and the clearing up
        with locked(path.parent / f".{path.name}.lock"):
            shutil.rmtree(unfinished(path), ignore_errors=True)
    manifest.must_be(task, data, path)
    return manifest


def unfinished(path: Path) -> Path:
    """Returns the folder of a task's unfinished work, until its data at `path` are packed."""
    return path.parent / f".{path.name}-unfinished"
