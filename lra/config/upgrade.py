"""Upgrades configurations that rows, measurements and checkpoints of version 1 stored.

Version 1 kept classes by their modules, repeated model.net, took 1 and 1.0 for two values, left out
settings at their first value, and had these settings in other places.
"""

import re
from typing import Any

from lra.config.identity import identity

MOVED = {
    "trainer.max_steps": "max_steps",
    "trainer.val_every": "val_every",
    "trainer.max_eval_examples": "max_eval_examples",
    "trainer.precision": "precision",
    "optim.schedule": "optim.decay",
    "source.schedule": "source.budget",
}
# The value of a setting before there was a choice.
FIRST = {
    "task.pixels": False,
    "model.input": "tokens",
    "model.filter": None,
    "bucket_by_length": False,
    "score_test": True,
}


def from_version_1(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns today's form of a resolved configuration or identity of version 1."""
    tree = _copy(tree)
    for old, new in MOVED.items():
        group, _, last = old.rpartition(".")
        if last in tree.get(group, {}):
            _put(tree, new, tree[group].pop(last))
    for path, value in FIRST.items():
        if path not in _paths(tree):
            _put(tree, path, value)
    tree["objective"] = {
        "_target_": "lra.objective.classification.Classification",
        "name": "classification",
        "outputs": tree["task"]["num_classes"],
    }
    return tree


def identity_from_version_1(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns today's identity of a cell whose version 1 identity this is."""
    return identity(from_version_1(tree))


def modified_from_version_1(modified: dict[str, list]) -> dict[str, list]:
    """Returns the modified settings under today's names."""
    return {MOVED.get(key, key): pair for key, pair in modified.items()}


def follows(preset_source: str | None, budget_source: str | None) -> str | None:
    """Returns the repository that a version 1 row's two sentences say its settings follow: the
    preset's, or the one in brackets of a budget of which no part is ours."""
    whose, _, said = (budget_source or "").partition("(")
    found = preset_source or ("" if ":" in whose else said)
    repository = re.match(r"([\w.-]+/[\w.-]+)@", found)
    return repository[1] if repository else None


def transformer_parameters(cell: dict[str, Any]) -> int | None:
    """Returns how many parameters the transformer of an identity's sizes has, which rows of version
    2 did not say at first; None for a network that is not on the shared trunk.

    Equals the count of the network (lra/training/network.py), which is not there to be built where
    rows are read.
    """
    task, model = cell["task"], cell["model"]
    if "block" not in model:
        return None
    d, d_ff, cls = model["d_model"], model["d_ff"], model["pooling"] == "cls"
    inner = model.get("d_qkv") or d  # the width over all heads
    tokens = task["vocab_size"] + model["padding_token"] if model["input"] == "tokens" else 2
    positions = model["seq_len"] + cls if model["positions"] == "learned" else 0
    attention = 3 * (d + 1) * inner + (inner + 1) * d
    block = attention + (d + 1) * d_ff + (d_ff + 1) * d + 4 * d
    seen = d * (4 if task["documents"] == 2 else 1)
    head = (seen + 1) * d_ff + (d_ff + 1) * task["num_classes"]
    return (tokens + positions + cls) * d + model["n_layers"] * block + 2 * d + head


def _copy(value):
    return {key: _copy(part) for key, part in value.items()} if isinstance(value, dict) else value


def _paths(tree: dict, prefix: str = "") -> set[str]:
    found = {f"{prefix}{key}" for key in tree}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _paths(value, f"{prefix}{key}.")
    return found


def _put(tree: dict, path: str, value) -> None:
    *groups, last = path.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    tree[last] = value
