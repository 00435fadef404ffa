"""Decides when two runs are the same cell, and how a cell differs from its protocol.

The identity is the validated configuration without the settings in ENVIRONMENT, in one canonical
form: a class counts by its name, so that files may move; what only repeats other settings, as
`model.net` does, is left out; 1.0 is 1; a setting that is null counts as absent, so that a new
optional setting leaves older rows their cells.
"""

import hashlib
import json
import re
from functools import cached_property
from typing import Any, Literal

from omegaconf import DictConfig

from lra.config import inherit
from lra.config.composition import (
    choices,
    compose,
    flatten,
    is_group,
    label,
    plain,
    resolved,
    usual_net,
)
from lra.config.schema import check
from lra.errors import UserError

VERSION: Literal[2] = 2  # of this scheme; rows store it

# Where and how a cell is computed, and labels. Every other setting is part of the identity, so that
# one added later counts until somebody decides that it does not.
ENVIRONMENT = {
    "data",  # the packed data's fingerprint stands for it
    "results",
    "logger",
    "rerun",
    "retry",
    "wait",
    "energy",
    "evaluate",
    "init",  # the hash of its weights stands for it (Configuration.identity)
    "source",  # a label; the values it speaks of count themselves
    "trainer",
    "model.cost",  # labels, too
    "model.answers",
    "model.family",
    "model.types",
    "task.answers",
    "task.own_rouge",
    "task.title",
    "task.order",
    "task.in_mean",
    "task.maker",  # the module that makes the data, for which their fingerprint stands
    "task.tokenizer",  # the fingerprint again
}

# Settings that count by others: model.net follows them (a typed part of it counts itself), and the
# chosen variant's rules by the fingerprint of the data that they make.
ELSEWHERE = {"model.net", "task.variants"}

# Settings that came after the first rows of this scheme: full key -> the value that means what was
# done before there was a choice. At that value they are left out. A null needs no line here.
_BLOCK = {"norm": "layer", "prenorm": True, "tied_dropout": False}
ADDED: dict[str, Any] = {
    "optim.decay_norms": True,
    "model.mlp": True,
    "model.block.mlp": True,
    **{f"model.{key}": value for key, value in _BLOCK.items()},
    **{f"model.block.{key}": value for key, value in _BLOCK.items()},
    **{f"model.net.{key}": value for key, value in _BLOCK.items()},
}

# Words that choose among the protocol's own configurations: alone, they modify nothing.
CHOICES = {"task", "task.variant", "objective", "model", "filter", "protocol", "seed", "init"}


class Configuration:
    """A validated configuration, with what follows from it.

    cfg: every setting, as validation returned it. Raises UserError where a setting is invalid.
    """

    def __init__(self, cfg: DictConfig, overrides: list[str]):
        """overrides: the words from which cfg was composed."""
        _nothing_taken_out(overrides)
        _everything_is_read(overrides)
        self._typed_init = None if cfg.init is None else str(cfg.init)
        inherit.adopt(cfg, overrides)
        check(cfg)
        self.cfg, self.overrides = cfg, overrides
        self._check_used()

    @classmethod
    def of(cls, overrides: list[str]) -> "Configuration":
        """Composes and validates what `python run.py <overrides>` would use."""
        return cls(compose(overrides), overrides)

    @property
    def label(self) -> str:
        """The model's name in tables and folders."""
        return label(self.cfg.model.name, self.cfg.model.filter)

    @property
    def inherited(self) -> dict[str, str | None] | None:
        """The weights and the tokenizer that the run begins with; None without any."""
        cfg = self.cfg
        words = dict(word.lstrip("+").split("=", 1) for word in self.overrides if "=" in word)
        typed = {"init": self._typed_init, "tokenizer": words.get("task.tokenizer")}
        if not any(typed.values()):
            return None
        return typed | {"sha256": cfg.init and inherit.digest(cfg.init)}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the result, nested; rows store them as `config`."""
        found = identity(resolved(self.cfg))
        if self.cfg.init is not None:
            found["init"] = inherit.digest(self.cfg.init)
        return found

    @cached_property
    def modified(self) -> dict[str, list]:
        """The settings that differ from protocol + preset: key -> [theirs, ours]. Empty for a
        conforming cell.

        Compared unresolved, so that a setting which only follows another is not listed beside it.
        """
        if all(_conforms(override) for override in self.overrides):
            return {}
        theirs, ours = (_comparable(cfg) for cfg in (self._reference(), self.cfg))
        pairs = {
            key: [side.get(key, ADDED.get(key)) for side in (theirs, ours)]
            for key in sorted(theirs.keys() | ours.keys())
        }
        return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}

    def _reference(self) -> DictConfig:
        """Returns the protocol's own configuration of this task, model and seed."""
        cfg = self.cfg
        reference = compose(
            [
                f"task={cfg.task.name}",
                f"task.variant={cfg.task.variant}",
                *choices(cfg.model.name, cfg.model.filter),
                f"objective={cfg.objective.name}",
                f"protocol={cfg.protocol}",
                f"seed={cfg.seed}",
            ]
        )
        reference.init = cfg.init
        if cfg.task.get("tokenizer") is not None:
            reference.task.tokenizer = cfg.task.tokenizer
        inherit.adopt(reference, [])
        return reference

    def _check_used(self) -> None:
        """Raises UserError for a changed setting of attention that this model does not read: its
        row would claim it."""
        built = self.cfg.model.get("block", self.cfg.model.net)
        followed = list(flatten(plain(built)).values())
        for key in ("n_heads", "d_qkv", "attention_dropout"):
            if f"${{model.{key}}}" not in followed and f"model.{key}" in self.modified:
                raise UserError(f"model={self.cfg.model.name} has no {key}: leave model.{key} out.")


def identifier(identity: dict[str, Any], fingerprint: str) -> str:
    """Returns the cell's id: the hash of its identity and of its data's fingerprint."""
    decides = json.dumps([identity, fingerprint], sort_keys=True)
    return hashlib.sha256(decides.encode()).hexdigest()[:16]


def identity(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns the canonical form of a configuration's dicts, resolved or not."""
    found = _canonical(tree, "")
    if typed := _typed_net(tree):
        found["model"]["net"] = _canonical(typed, "model.net.")
    return found


def _typed_net(tree: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of model.net that does not only follow other settings."""
    model = tree.get("model", {})
    flat, net, as_usual = flatten(tree), model.get("net", {}), usual_net(model.get("name"))

    def follows(key: str, value: Any) -> bool:
        usual = as_usual.get(key)
        if value == usual or not str(usual).startswith("${"):
            return value == usual
        path = usual[2:-1]  # a group (the block) or a setting
        return isinstance(value, dict) or value == flat.get(path)

    return {key: value for key, value in net.items() if not follows(key, value)}


def _canonical(tree: dict[str, Any], prefix: str) -> dict[str, Any]:
    found = {}
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if value is None or key == "_partial_" or path in ENVIRONMENT | ELSEWHERE:
            continue
        if path in ADDED and value == ADDED[path]:
            continue
        if isinstance(value, dict):
            value = _canonical(value, f"{path}.")
        elif key == "_target_":
            value = value.rpartition(".")[2]
        else:
            value = _number(value)
        found[key] = value
    return found


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(part) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _comparable(cfg: DictConfig) -> dict[str, Any]:
    """Returns the flat identity, unresolved, with the variant's rules as data.<key>."""
    tree = plain(cfg)
    rules = tree["task"]["variants"].get(cfg.task.variant)
    return flatten(identity(tree)) | flatten(_canonical({"data": rules}, "variant."))


def is_environment(key: str) -> bool:
    """Returns whether a setting says where and how alone."""
    parts = key.split(".")
    return any(".".join(parts[: i + 1]) in ENVIRONMENT for i in range(len(parts)))


def _conforms(override: str) -> bool:
    """Returns whether an override leaves a cell conforming, whatever else is typed."""
    if override.startswith(("~", "+")):
        return False
    key = override.partition("=")[0]
    # trainer=smoke chooses a file, which may set anything; trainer.threads=1 is a setting
    return key in CHOICES or (key != "trainer" and is_environment(key))


def _everything_is_read(overrides: list[str]) -> None:
    """Raises UserError for +key=value that adds a setting that nothing reads. A constructor checks
    the settings of its own node, and a variant's rules must be known from another variant."""
    added = [override for override in overrides if override.startswith("+")]
    if not added:
        return
    known = flatten(plain(compose([o for o in overrides if not o.startswith("+")])))
    rules = {key.split(".")[3] for key in known if re.match(r"task\.variants(\.[^.]+){2}", key)}
    for override in added:
        key = override.lstrip("+").partition("=")[0]
        parts = key.split(".")
        group = is_group(key.partition("@")[0])
        built = key.startswith(("model.block.", "model.net.", "objective."))
        built |= key.startswith("logger.") and any(k.startswith("logger.") for k in known)
        rule = key.startswith("task.variants.") and (len(parts) == 3 or parts[3] in rules)
        there = key in known or any(other.startswith(f"{key}.") for other in known)
        if not (group or built or rule or there):
            raise UserError(f"{override}: no setting is called {key}, and nothing would read it.")


def _nothing_taken_out(overrides: list[str]) -> None:
    """Raises UserError for ~key: a constructor's default would take its place, unseen by the row.
    A whole group (~preset) may be left out, since the protocol's own values remain."""
    for override in overrides:
        key = override.removeprefix("~").partition("=")[0]
        if override.startswith("~") and not is_group(key.partition("@")[0]):
            raise UserError(f"{override}: a setting cannot be taken out; give it a value.")
