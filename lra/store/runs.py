"""Reads and writes rows: one immutable JSON file an attempt, `<cell id>-<attempt>.json`.

A results folder holds rows in runs/<task>/<model>/ and labels in labels/. There are two: one's own
(results/), and the board (results/board/), which git keeps and `python -m lra.submit` fills. A run
looks for its own rows alone; tables, pictures and page read both.

Beside it, .npy (.jsonl where predictions are texts) holds the prediction of each test example in
the order of the packed split; labels/<fingerprint> holds the targets, once for all rows on one data
set, so that models can be compared example by example where the data are not at hand. .csv is the
curve: at each validation the step, the mean training loss since the one before, and the val metric.
Where texts are scored, .scores.csv has each test example's scores; the references are not stored.
.withdrawn.json takes a row out of all tables and says who did so, when and why (lra/withdraw.py).
"""

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from omegaconf import DictConfig
from pydantic import ValidationError

from lra import objective
from lra.errors import UserError
from lra.files import write_new
from lra.machine import ROOT, commit
from lra.objective.base import Predictions
from lra.store.row import SCHEMA, Row, Withdrawal, upgrade_row
from lra.store.version import all_but_newer, must_not_be_newer

if TYPE_CHECKING:
    import pandas as pd

Curve = list[tuple[int, float, float]]  # step, training loss, val metric
DETAILS = ".scores.csv"
WITHDRAWN = ".withdrawn.json"
CURVE_HEADER = "step,train_loss,val_"  # and the metric's name


def write(
    folder: Path,
    row: Row,
    predictions: Predictions | None = None,
    curve: Curve | None = None,
    details: dict[str, np.ndarray] | None = None,
) -> Path:
    """Stores the row under the next free attempt number, its predictions and curve before it, so
    that no reader sees a row without them. Raises UserError where the disk refuses."""
    beside = {}
    if predictions is not None:
        ending, content = _packed(predictions)
        beside[ending] = content
    if curve:
        beside[".csv"] = _csv(curve, row.selection.name)
    if details:
        beside[DETAILS] = _table(details)
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


def _packed(values: Predictions) -> tuple[str, bytes]:
    """Returns the file ending and the content for one value an example."""
    if isinstance(values, list):
        return ".jsonl", "".join(json.dumps(text) + "\n" for text in values).encode()
    content = io.BytesIO()
    np.save(content, values)
    return ".npy", content.getvalue()


def read_values(path: Path) -> Predictions | None:
    """Returns the predictions or targets stored beside or at `path`, whatever their ending; None
    where there are none. Raises UserError for a damaged file."""
    for ending in (".npy", ".jsonl"):
        file = path.with_suffix(ending)
        if not file.exists():
            continue
        try:
            if ending == ".npy":
                return np.load(file, allow_pickle=False)
            return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        except (OSError, ValueError, EOFError) as error:  # EOFError: an empty .npy
            raise UserError(f"{file} cannot be read: restore it.") from error
    return None


def _csv(curve: Curve, metric: str) -> bytes:
    lines = [f"{step},{loss:.6g},{value:.6g}" for step, loss, value in curve]
    return ("\n".join([f"{CURVE_HEADER}{metric}", *lines]) + "\n").encode()


def _table(columns: dict[str, np.ndarray]) -> bytes:
    rows = zip(*(values.tolist() for values in columns.values()), strict=True)
    lines = [",".join(f"{value:.6g}" for value in row) for row in rows]
    return ("\n".join([",".join(columns), *lines]) + "\n").encode()


def read_details(path: Path | None) -> dict[str, np.ndarray]:
    """Returns metric -> (n,), the scores of each test example of the row at `path`; empty where
    none are stored. Raises UserError for a damaged file."""
    path = path and path.with_suffix(DETAILS)
    if path is None or not path.exists():
        return {}
    try:
        return _columns(path)
    except ValueError as error:
        raise UserError(f"{path} cannot be read: restore it.") from error


def _columns(path: Path) -> dict[str, np.ndarray]:
    header, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    values = np.array([[float(value) for value in line.split(",")] for line in lines])
    return dict(zip(header.split(","), values.T, strict=True))


def read_curve(row: Row) -> "pd.DataFrame | None":
    """Returns step, train_loss and val; None for rows that are older than the curve."""
    path = row.path and row.path.with_suffix(".csv")
    if path is None or not path.exists():
        return None
    import pandas as pd  # half a second, which --help need not wait for

    return pd.DataFrame(parse_curve(path), columns=["step", "train_loss", "val"])


def parse_curve(path: Path) -> Curve:
    """Reads a curve. Raises UserError for a file that is not one."""
    header, *lines = path.read_text(encoding="utf-8").splitlines() or [""]
    points = [line.split(",") for line in lines]
    try:
        if not header.startswith(CURVE_HEADER):
            raise ValueError(header)
        return [(int(step), float(loss), float(value)) for step, loss, value in points]
    except ValueError as error:
        raise UserError(
            f"{path} is not a learning curve: restore it from git or delete it."
        ) from error


def _targets(root: Path, fingerprint: str) -> Path:
    return root / "labels" / f"{fingerprint[:16]}.npy"


def write_targets(root: Path, fingerprint: str, targets: Predictions) -> None:
    """Stores the targets of the whole test split, once."""
    path = _targets(root, fingerprint)
    ending, content = _packed(targets)
    if not path.with_suffix(ending).exists():
        write_new(path.with_suffix(ending), content)


def targets(root: Path, fingerprint: str) -> Any | None:
    """Returns the targets of the whole test split; None where no row on these data was stored."""
    return read_values(_targets(root, fingerprint))


def predictions(row: Row) -> Predictions | None:
    """Returns the prediction for each test example, where known."""
    return read_values(row.path) if row.path else None


def values(row: Row) -> np.ndarray | None:
    """Returns (n,), the row's headline metric by test example (bool for a share); None where its
    predictions or the targets are not stored beside it. Raises UserError where these contradict
    the row."""
    if (details := read_details(row.path)) and row.headline.name in details:
        return details[row.headline.name]
    of = objective.named(row.objective)
    predicted = predictions(row)
    true = None if predicted is None else targets(row.root, row.fingerprint)
    if of is None or predicted is None or true is None:
        return None
    true = true[: len(predicted)]
    found, said = of.score(predicted, true)[row.headline.name], row.test_score
    if said is None or not found.agrees(said):
        claim = row.headline.sentence(said) if said else "no score"
        raise UserError(
            f"{row.path} says {claim}, but its predictions give "
            f"{row.headline.sentence(found)}: restore both from git."
        )
    return of.values(predicted, true)


def read(path: Path, yours: bool = False) -> Row:
    """Reads a row of any version; one at <root>/runs/<task>/<model>/<name>.json knows its root.
    Raises UserError for a file that is not a valid row, Newer for one of a newer version."""
    content = None
    try:
        content = json.loads(path.read_bytes())
        row = Row.model_validate(upgrade_row(content))
        # a row that somebody sent may be anywhere
        parents = path.parents
        stored = len(parents) > 3 and parents[2].name == "runs"
        return row.found(parents[3] if stored else None, yours, _withdrawal(path))
    except ValidationError as error:
        must_not_be_newer(path, content, SCHEMA, error)
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except UserError as error:
        raise UserError(f"{path} cannot be read: {error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise UserError(f"{path} is not a valid row ({reason}): restore it from git or delete it.")


def _withdrawal(row: Path) -> Withdrawal | None:
    path = row.with_suffix(WITHDRAWN)
    try:
        return Withdrawal.model_validate_json(path.read_bytes()) if path.exists() else None
    except ValidationError as error:
        raise UserError(f"{path} does not say by whom, when and why: restore it") from error


def withdraw(row: Path, withdrawal: Withdrawal) -> Path:
    """Takes the row at `row` out of all tables; returns the file that says so."""
    path = row.with_suffix(WITHDRAWN)
    write_new(path, (withdrawal.model_dump_json(indent=1) + "\n").encode())
    return path


def read_cell(folder: Path, cell: str) -> list[tuple[Row, Path]]:
    """Returns the attempts at one cell, oldest first."""
    rows = [(read(path), path) for path in named(folder.glob(f"{cell}-*.json"))]
    return sorted(rows, key=lambda pair: pair[0].attempt)


def named(paths: Iterable[Path]) -> list[Path]:
    """Returns the files that are named as rows are, sorted. A copy that a file service made of one,
    `<name> (conflicted copy).json`, would count a seed twice."""
    return sorted(path for path in paths if re.fullmatch(r"\w+-\d+", path.stem))


def is_board(results: DictConfig) -> bool:
    """Returns whether a command's results folder is the board. results: the config group."""
    return _board(results).resolve() == Path(results.path).resolve()


def _board(results: DictConfig) -> Path:
    return Path(results.board) if results.board else ROOT / "results" / "board"


def board(results: DictConfig) -> Path | None:
    """Returns the board's folder; None if it does not exist or is the user's own store.

    results: the config group of that name.
    """
    path = _board(results)
    return path if path.is_dir() and not is_board(results) else None


def read_both(results: DictConfig) -> list[Row]:
    """Returns the rows of the user's own store and of the board. Raises UserError if the results
    folder does not exist."""
    own, other = Path(results.path), board(results)
    if not own.is_dir():
        raise UserError(f"There is no folder {own}: name the results with results.root=...")
    return read_all(own, yours=other is not None) + (read_all(other) if other else [])


def read_all(root: Path, yours: bool = False) -> list[Row]:
    """Returns the rows of one results folder, in an order that does not depend on the file
    system; rows of a newer version are left out with a note."""
    paths = named(root.glob("runs/*/*/*.json"))
    rows = all_but_newer(paths, lambda path: read(path, yours))
    return sorted(
        rows, key=lambda r: (r.task, r.variant, r.protocol, r.label, r.seed, r.cell, r.attempt)
    )


def baselines(of: list[Row]) -> dict[str, dict[str, float]]:
    """Returns the trivial rules on the data that these rows share, as computed last."""
    return max(of, key=lambda row: row.finished).baselines if of else {}


def done_already(row: Row, path: Path) -> str:
    """Returns the line to print for a cell that is not run again."""
    head, _ = commit()
    other = f", made by commit {row.commit[:7]}" if row.commit and row.commit != head else ""
    return f"Done already: {path}{other} (rerun=true runs it again)."


def newest_done(folder: Path, cell: str) -> tuple[Row, Path] | None:
    """Returns the newest finished attempt that its own user ran; submitted rows do not count."""
    done = [
        (row, path)
        for row, path in read_cell(folder, cell)
        if row.status == "done" and row.origin is None
    ]
    return done[-1] if done else None
