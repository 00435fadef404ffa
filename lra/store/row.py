"""The schema of a row: everything that one attempt at a cell leaves behind."""

import json
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, PrivateAttr

from lra import config
from lra.config import identity, upgrade
from lra.objective import Metric, Score

SCHEMA: Literal[3] = 3
MAJORITY = "majority label"  # the trivial rule that stands for chance
FEW = 100  # steps, below which nothing can be expected to be learned
PLATEAU = 0.99  # a loss below this share of the label frequencies' loss has left the plateau

Status = Literal["done", "failed", "diverged", "oom", "interrupted"]


class Record(BaseModel, extra="forbid"):
    """A part of a row; an unknown field is an error."""


class Speed(Record):
    """The medians without the warm-up. Data time is the wait of a step for its batch."""

    train_step_seconds: float | None = None
    train_data_seconds: float | None = None
    train_examples_per_second: float | None = None
    eval_examples_per_second: float | None = None
    test_examples_per_second: float | None = None  # where it is not scored as val is: generation
    steps_timed: int = 0
    first_step_seconds: float | None = None  # with trainer.compile=true compiling included


class Memory(Record):
    """The peak of training and evaluation, above the level before the model was built."""

    peak_bytes: int
    kind: Literal["cuda allocator", "RssAnon", "rss"]


class Resume(Record):
    """A resume from `step`; `changed` lists the facts that differ: key -> [then, now]."""

    step: int
    changed: dict[str, list[Any]]


class Inherited(Record):
    """The weights and the tokenizer that a run began with, as typed; sha256: of the weights."""

    init: str | None = None
    sha256: str | None = None
    tokenizer: str | None = None


class Withdrawal(Record):
    """The record that takes a row out of the tables, stored beside it. by: a person; when: a date;
    why: the reason."""

    by: str
    when: str
    why: str


class Row(Record):
    """The record of one attempt at a cell, immutable. Settings are named as in conf/.

    root and yours say where the row was read, withdrawn what stands beside it; they are not stored.
    """

    _root: Path | None = PrivateAttr(None)
    _yours: bool = PrivateAttr(False)
    _withdrawn: Withdrawal | None = PrivateAttr(None)

    schema_version: Literal[3] = SCHEMA
    identity_version: Literal[2] = identity.VERSION
    # identity
    cell: str
    attempt: int = 0  # given when the row is written
    task: str
    variant: str
    fingerprint: str
    model: str
    filter: str | None = None
    objective: str
    protocol: str
    preset_source: str | None
    budget_source: str | None
    follows: str | None = None  # the repository whose sizes and budget these are, whole
    seed: int
    inherited: Inherited | None = None
    commit: str | None
    dirty: bool | None
    modified: dict[str, list[Any]]  # empty: conforming
    # outcome
    status: Status
    error: str | None = None
    headline: Metric  # of test
    selection: Metric  # of val
    val: dict[str, Score] | None = None
    test: dict[str, Score] | None = None
    test_outputs_sha256: str | None = None
    select: str
    trials: int | None = None  # of the search that chose the setting
    origin: str | None = None  # the submitter's name
    selected_step: int | None = None
    last_step: int | None = None
    final_loss: float | None = None  # mean of the training loss over the last 5 % of the steps
    untaught_loss: float | None = None  # of a model that knows the label frequencies alone
    warnings: list[str] = []
    resumes: list[Resume] = []
    # cost
    cost: str | None = None  # how time grows with the length N, as the method claims
    parameters: int | None = None
    # of each group of parameters: how many they are, and their lr and weight_decay; None: one group
    optimiser: list[dict[str, float]] | None = None
    transformer_parameters: int | None = None  # the transformer's at the same sizes
    train_seconds: float | None = None  # without evaluation, over all resumes
    speed: Speed = Speed()
    memory: Memory | None = None
    energy_kwh: float | None = None  # an estimate, with energy=true
    # where
    environment: dict[str, Any]
    started: str
    finished: str
    # what else a table needs
    baselines: dict[str, dict[str, float]]  # trivial rule -> split -> headline metric
    trivial: dict[str, dict[str, float]] = {}  # trivial rule -> metric -> value on test
    config: dict[str, Any]  # the identity

    def found(self, root: Path | None, yours: bool, withdrawn: Withdrawal | None = None) -> "Row":
        """Returns the row with the place where it was read and its withdrawal."""
        row = self.model_copy()
        row._root, row._yours, row._withdrawn = root, yours, withdrawn
        return row

    @property
    def root(self) -> Path | None:
        """The results folder in whose runs/ the row is stored; None: it was not read from one."""
        return self._root

    @property
    def yours(self) -> bool:
        """True if the row is in the user's own store, and was read together with a board."""
        return self._yours

    @property
    def withdrawn(self) -> Withdrawal | None:
        """The withdrawal that takes the row out of the tables; None: it counts."""
        return self._withdrawn

    @property
    def path(self) -> Path | None:
        """The row's file; None: it was not read from one."""
        return self.root and self.root / "runs" / self.task / self.label / f"{self.name}.json"

    @property
    def setting(self) -> str:
        """A key that the seeds of one line of a table share: the configuration without its seed,
        and whose row it is."""
        return json.dumps([self.config | {"seed": None}, self.origin, self.yours], sort_keys=True)

    @property
    def name(self) -> str:
        """The name of the row's files, without their endings."""
        return f"{self.cell}-{self.attempt}"

    @property
    def label(self) -> str:
        """The model's name in tables and folders."""
        return config.label(self.model, self.filter)

    @property
    def test_score(self) -> Score | None:
        """The headline metric on test."""
        return self.test[self.headline.name] if self.test else None

    @property
    def val_score(self) -> Score | None:
        """The selection metric on val."""
        return self.val[self.selection.name] if self.val else None

    @property
    def overrides(self) -> list[str]:
        """The words of run.py's command line that decide the result."""
        words = [f"task={self.task}", f"task.variant={self.variant}"]
        if self.objective != config.task_objective(self.task):
            words.append(f"objective={self.objective}")
        words += config.choices(self.model, self.filter)
        words += [f"protocol={self.protocol}", f"seed={self.seed}"]
        if self.inherited:
            words += [f"init={self.inherited.init}"] * bool(self.inherited.init)
            words += [f"task.tokenizer={self.inherited.tokenizer}"] * bool(self.inherited.tokenizer)
        for key, (_, ours) in self.modified.items():
            if key.startswith("data."):  # of the variant's rules (Configuration.modified)
                key = f"task.variants.{self.variant}.{key.removeprefix('data.')}"
            words.append(f"++{key}={json.dumps(ours)}")
        return words

    @property
    def command(self) -> str:
        """The command that makes the row again, at its commit."""
        words = self.overrides
        if self.environment.get("device_type") == "cuda":
            words.append("trainer=gpu")
        if self.environment.get("device_type") == "cpu":
            words.append(f"trainer.threads={self.environment['threads']}")
        return f"python run.py {shlex.join(words)}"

    @property
    def at_chance(self) -> bool:
        """True if the test interval is not wholly better than the majority label's score."""
        chance = self.baselines.get(MAJORITY, {}).get("test")
        if self.test_score is None or chance is None:
            return False
        bound = self.test_score.low if self.headline.better == "higher" else self.test_score.high
        return not self.headline.improves(bound, chance)

    @property
    def learned_nothing(self) -> bool:
        """True if the run ended on a plateau: the selected weights are not better on val than the
        majority label, and the loss ended no lower than that of the label frequencies. Without the
        losses (rows of version 2), val alone decides."""
        chance = self.baselines.get(MAJORITY, {}).get("val")
        if self.val_score is None or chance is None or self.selection != self.headline:
            return False
        bound = self.val_score.low if self.selection.better == "higher" else self.val_score.high
        if self.selection.improves(bound, chance):
            return False
        known = self.final_loss is not None and self.untaught_loss is not None
        return not known or self.final_loss >= PLATEAU * self.untaught_loss

    @property
    def extra_size(self) -> float | None:
        """Parameters beyond the transformer's at the same sizes, as a share of those."""
        if self.parameters is None or self.transformer_parameters is None:
            return None
        return self.parameters / self.transformer_parameters - 1


def upgrade_row(content: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields of today's schema for a row of any version up to it."""
    version = content.get("schema_version")
    if version == 1:
        return _from_version_2(_from_version_1(content))
    if version == 2:
        return _from_version_2(content)
    return content


def _from_version_1(old: dict[str, Any]) -> dict[str, Any]:
    new = dict(old)
    sentence = (new.pop("schedule_source") or "").replace("conf/schedule/", "conf/budget/")
    model, filter_ = config.unlabelled(old["model"])
    identity_ = upgrade.identity_from_version_1(old["config"])
    accuracy = Metric(name="accuracy", share=True)
    return new | {
        "schema_version": 2,
        "identity_version": 2,
        "cell": identity.identifier(identity_, old["fingerprint"]),
        "model": model,
        "filter": filter_,
        "objective": "classification",
        "budget_source": sentence or None,
        "follows": upgrade.follows(old["preset_source"], old["schedule_source"]),
        "modified": upgrade.modified_from_version_1(old["modified"]),
        "headline": accuracy.model_dump(),
        "selection": accuracy.model_dump(),
        "val": _scores(old.get("val")),
        "test": _scores(old.get("test")),
        "test_outputs_sha256": new.pop("test_logits_sha256", None),
        "config": identity_,
    }


def _from_version_2(old: dict[str, Any]) -> dict[str, Any]:
    """Drops the plateau warnings of version 2, which were given in the middle of a run and never
    withdrawn (learned_nothing judges the end), and counts the transformer's parameters, which the
    first rows of version 2 lack."""
    new = old | {"schema_version": 3}
    new["warnings"] = [text for text in old["warnings"] if not text.startswith("plateau: ")]
    if new.get("transformer_parameters") is None:
        new["transformer_parameters"] = upgrade.transformer_parameters(old["config"])
    return new


def _scores(old: dict[str, Any] | None) -> dict[str, Any] | None:
    if old is None:
        return None
    return {
        "accuracy": {"value": old["accuracy"]} | {key: old[key] for key in ("n", "low", "high")}
    }
