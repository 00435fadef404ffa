"""Finds, generates, checks and packs the data of every task.

`prepare(task, data)` is the one entry for code; `python -m data_prep <task>` the one for people.
"""

from importlib import import_module
from pathlib import Path

from data_prep.pack import Manifest, read_manifest
from lra.files import locked


def folder(task, data) -> Path:
    """Where the packed task lies: <data.root>/<task>/<variant>."""
    return Path(data.root) / task.name / task.variant


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
                manifest = import_module(f"data_prep.{task.name}").make(task, data, path)
    manifest.must_be(task, data, path)
    return manifest
