"""The results store: one immutable JSON per attempt, `<cell id>-<attempt>.json`.

Beside it, `<cell id>-<attempt>.npy` holds the predicted class of every test example, in the order
of the packed split; labels/<fingerprint>.npy holds what they should be, once for all rows on one
data set, so that models can be compared example by example where the data are not at hand. `.csv`
is the curve: at each validation the step, the mean training loss since the one before, and the val
accuracy.
"""

import io
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from lra.environment import commit
from lra.errors import UserError
from lra.files import write_new

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["done", "failed", "diverged", "oom", "interrupted"]


class Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Score(Record):
    """Example-weighted accuracy with its 95 % Wilson interval."""

    accuracy: float
    correct: int
    n: int
    low: float
    high: float


def score(correct: int, n: int) -> Score:
    from scipy.stats import binomtest  # a second's import, which --help need not wait for

    interval = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    return Score(accuracy=correct / n, correct=correct, n=n, low=interval.low, high=interval.high)


class Speed(Record):
    """Medians, warm-up left out. Data time is what a step waits for its batch."""

    train_step_seconds: float | None = None
    train_data_seconds: float | None = None
    train_examples_per_second: float | None = None
    eval_examples_per_second: float | None = None
    steps_timed: int = 0


class Memory(Record):
    """Peak of training and evaluation above the level before the model was built."""

    peak_bytes: int
    kind: Literal["cuda allocator", "RssAnon", "rss"]


class Resume(Record):
    """The run went on from `step`; `changed` lists what differs there: key -> [then, now]."""

    step: int
    changed: dict[str, list[Any]]


class Row(Record):
    schema_version: int = 1
    # identity
    cell: str
    attempt: int = 0  # given when the row is written
    task: str
    variant: str
    fingerprint: str
    model: str
    protocol: str
    preset_source: str | None
    schedule_source: str | None
    seed: int
    commit: str | None
    dirty: bool | None
    modified: dict[str, list[Any]]  # empty: conforming
    # outcome
    status: Status
    error: str | None = None
    val: Score | None = None
    test: Score | None = None
    test_logits_sha256: str | None = None
    select: str
    trials: int | None = None  # of the search that chose the setting
    origin: str | None = None  # who measured a row that was submitted
    selected_step: int | None = None
    last_step: int | None = None
    warnings: list[str] = []
    resumes: list[Resume] = []
    # cost
    cost: str | None = None  # how time grows with the length N, as the method claims
    parameters: int | None = None
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
    baselines: dict[str, dict[str, float]]
    config: dict[str, Any]

    @property
    def name(self) -> str:
        """Of its files, without their endings."""
        return f"{self.cell}-{self.attempt}"

    @property
    def overrides(self) -> list[str]:
        """What of run.py's command line decides the result."""
        filter_, _, model = self.model.rpartition("+")
        words = [f"task={self.task}", f"task.variant={self.variant}", f"model={model}"]
        words += [f"filter={filter_}"] if filter_ else []
        words += [f"protocol={self.protocol}", f"seed={self.seed}"]
        for key, (_, ours) in self.modified.items():
            if key.startswith("data."):  # of the variant's rules (config.modified)
                key = f"task.variants.{self.variant}.{key.removeprefix('data.')}"
            words.append(f"++{key}={json.dumps(ours)}")
        return words

    @property
    def command(self) -> str:
        """What makes the row again; `git checkout` its commit first."""
        words = self.overrides
        if self.environment.get("device_type") == "cuda":
            words.append("trainer=gpu")
        if self.environment.get("device_type") == "cpu":
            words.append(f"trainer.threads={self.environment['threads']}")
        return f"python run.py {shlex.join(words)}"

    @property
    def at_chance(self) -> bool:
        """Whether the test accuracy's interval does not lie above the majority label's accuracy."""
        chance = self.baselines.get("majority label", {}).get("test")
        return self.test is not None and chance is not None and self.test.low <= chance

    @property
    def extra_size(self) -> float | None:
        """Parameters beyond the transformer's at the same sizes, as a share of those."""
        if self.parameters is None or self.transformer_parameters is None:
            return None
        return self.parameters / self.transformer_parameters - 1


Curve = list[tuple[int, float, float]]  # step, training loss, val accuracy


def write(
    folder: Path, row: Row, predictions: np.ndarray | None = None, curve: Curve | None = None
) -> Path:
    """Stores the row under the next free attempt number; what stands beside it first, so that a row
    is never without. Raises UserError when it cannot."""
    beside = {} if predictions is None else {".npy": _npy(predictions)}
    if curve:
        beside[".csv"] = _csv(curve)
    attempt = 1 + max((r.attempt for r, _ in read_cell(folder, row.cell)), default=0)
    while True:
        row = row.model_copy(update={"attempt": attempt})
        path = folder / f"{row.name}.json"
        text = json.dumps(row.model_dump(), indent=1, allow_nan=False) + "\n"
        written = []
        for ending, content in beside.items():
            # False where another writer, or one that was killed, has the name already
            if not write_new(path.with_suffix(ending), content):
                break
            written.append(path.with_suffix(ending))
        else:
            if write_new(path, text.encode()):
                return path
        for other in written:
            other.unlink()
        attempt += 1


def _npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _csv(curve: Curve) -> bytes:
    lines = [f"{step},{loss:.6g},{accuracy:.6g}" for step, loss, accuracy in curve]
    return ("\n".join([CURVE_HEADER, *lines]) + "\n").encode()


CURVE_HEADER = "step,train_loss,val_accuracy"


def read_curve(root: Path, row: Row) -> "pd.DataFrame | None":
    """step, train_loss, val_accuracy of a row stored below `root`; None for rows that are older."""
    path = _beside(root, row, ".csv")
    if not path.exists():
        return None
    import pandas as pd  # half a second, which --help need not wait for

    return pd.DataFrame(parse_curve(path), columns=CURVE_HEADER.split(","))


def parse_curve(path: Path) -> Curve:
    """Raises UserError for a file that is no curve."""
    try:
        header, *lines = path.read_text().splitlines()
        points = [line.split(",") for line in lines]
        assert header == CURVE_HEADER
        return [(int(step), float(loss), float(accuracy)) for step, loss, accuracy in points]
    except (ValueError, AssertionError) as error:
        raise UserError(
            f"{path} is no learning curve: restore it from git or delete it."
        ) from error


def _beside(root: Path, row: Row, ending: str) -> Path:
    return root / "runs" / row.task / row.model / f"{row.name}{ending}"


def _labels(root: Path, fingerprint: str) -> Path:
    return root / "labels" / f"{fingerprint[:16]}.npy"


def write_labels(root: Path, fingerprint: str, labels: np.ndarray) -> None:
    """The labels of the whole test split, once."""
    path = _labels(root, fingerprint)
    if not path.exists():
        write_new(path, _npy(labels))


def labels(root: Path, fingerprint: str) -> np.ndarray | None:
    """Of the whole test split; None where no row on these data has been stored below `root`."""
    path = _labels(root, fingerprint)
    return read_array(path) if path.exists() else None


def read_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: restore it.") from error


def predictions(root: Path, row: Row) -> np.ndarray | None:
    """The predicted class of each test example of a row stored below `root`, where they are."""
    path = _beside(root, row, ".npy")
    return read_array(path) if path.exists() else None


def correct(root: Path, row: Row) -> np.ndarray | None:
    """bool (N,): which test examples a stored row has right; None where its predictions or the
    labels are not stored below `root`. Raises UserError where they contradict the row."""
    path = _beside(root, row, ".npy")
    predicted, true = predictions(root, row), labels(root, row.fingerprint)
    if predicted is None or true is None:
        return None
    right = predicted == true[: len(predicted)]
    if (right.sum(), len(right)) != (row.test.correct, row.test.n):
        raise UserError(
            f"{path} has {right.sum()} of {len(right)} right, but its row says {row.test.correct} "
            f"of {row.test.n}: restore both from git."
        )
    return right


def read(path: Path) -> Row:
    try:
        return Row.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{path} is no valid row ({where}: {first['msg']}): restore it from git or delete it."
        ) from error


def read_cell(folder: Path, cell: str) -> list[tuple[Row, Path]]:
    """The attempts at one cell, oldest first."""
    rows = [(read(path), path) for path in folder.glob(f"{cell}-*.json")]
    return sorted(rows, key=lambda pair: pair[0].attempt)


def read_all(root: Path) -> list[Row]:
    """Every row below `root`, in an order that does not depend on the file system."""
    rows = [read(path) for path in sorted(root.glob("runs/**/*.json"))]
    return sorted(
        rows, key=lambda r: (r.task, r.variant, r.protocol, r.model, r.seed, r.cell, r.attempt)
    )


def baselines(of: list[Row]) -> dict[str, dict[str, float]]:
    """The trivial rules on the data that these rows share, as computed last."""
    return max(of, key=lambda row: row.finished).baselines if of else {}


def done_already(row: Row, path: Path) -> str:
    """What to print of a cell that is not run again."""
    head, _ = commit()
    other = f", made by commit {row.commit[:7]}" if row.commit and row.commit != head else ""
    return f"Done already: {path}{other} (rerun=true runs it again)."


def newest_done(folder: Path, cell: str) -> tuple[Row, Path] | None:
    """Of our own: what was submitted does not stand for a run here."""
    done = [
        (row, path)
        for row, path in read_cell(folder, cell)
        if row.status == "done" and row.origin is None
    ]
    return done[-1] if done else None
