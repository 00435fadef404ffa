"""Puts rows from elsewhere on the board: python -m lra.submit ROW.json ... origin="who, where"

[results.root=results]. ROW.json is what a run left under its results/runs/, with the predictions
(.npy) beside it. Everything that can be checked without training again is: the schema, that the
data set is known here, that the predictions give the claimed accuracy on its labels, that the
configuration is what the row says it is, and its parameter count. What does not hold is refused
with the reason; the rest is stored like our own, with its origin.
"""

import math
import re
import sys
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate

from lra import arguments, config, rows
from lra.cell import identifier
from lra.errors import UserError, exit_code, explain
from lra.leaderboard import entries
from lra.rows import Row
from lra.tables import accuracy
from lra.training import transformer_parameters


def check(path: Path, root: Path) -> Row:
    """The row at `path`, which may join the rows below `root`. Raises UserError with the reason."""
    if path.suffix != ".json" or not path.exists():
        raise UserError(f"There is no row {path}: name a .json file of results/runs/.")
    row = rows.read(path)
    if row.status != "done" or row.test is None or row.val is None:
        raise _refused(path, f"it is {row.status}, and only finished rows with a test score count")
    board = rows.read_all(root)
    alike = [known for known in board if known.fingerprint[:16] == row.fingerprint[:16]]
    same_data = [known for known in alike if known.fingerprint == row.fingerprint]
    if len(same_data) < len(alike):
        raise _refused(path, f"no data here have the fingerprint {row.fingerprint}")
    predicted = _recompute(path, row, root)
    _configuration(path, row)
    _printable(path, row)
    if same_data and row.baselines != rows.baselines(same_data):
        raise _refused(path, "its trivial baselines are not those of the same data here")
    for known in board:
        theirs = rows.predictions(root, known) if known.cell == row.cell else None
        if theirs is not None and np.array_equal(theirs, predicted):
            raise _refused(path, f"it is on the board already, as {known.name}")
    return row


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is refused: {reason}.")


def _recompute(path: Path, row: Row, root: Path) -> np.ndarray:
    """The accuracy from the predictions and our own labels. -> the predictions"""
    labels = rows.labels(root, row.fingerprint)
    if labels is None:
        raise _refused(
            path,
            f"its data (fingerprint {row.fingerprint[:16]}) are not known here; run any cell on "
            "the same data first, which stores their labels",
        )
    predictions = path.with_suffix(".npy")
    if not predictions.exists():
        raise _refused(path, f"{predictions.name} with its predictions is missing")
    predicted = rows.read_array(predictions)
    if predicted.shape != labels.shape:
        raise _refused(
            path, f"it predicts {predicted.shape} test examples, and there are {labels.shape}"
        )
    found = rows.score(int((predicted == labels).sum()), len(labels))
    if (found.correct, found.n) != (row.test.correct, row.test.n):
        raise _refused(
            path,
            f"its predictions have {found.correct:,} of {found.n:,} right, but it claims "
            f"{row.test.correct:,} of {row.test.n:,}",
        )
    for claimed in (row.test, row.val):
        follows = rows.score(claimed.correct, claimed.n)
        if not np.allclose(*(list(s.model_dump().values()) for s in (claimed, follows))):
            raise _refused(path, "accuracy and interval do not follow from its counts")
    return predicted


def _configuration(path: Path, row: Row) -> None:
    """Task, model, protocol and what is modified give the stored configuration, the cell's name
    and the parameter count."""
    model = row.model.rpartition("+")[2]
    if model not in config.models():
        raise _refused(
            path,
            f"model {model} is not here; add models/{model}.py and conf/model/{model}.yaml "
            "(README: Add a model), so that its row can be made again",
        )
    if code := [
        key for key, pair in row.modified.items() if _runs_code(key) or _runs_code(pair[-1])
    ]:
        raise _refused(path, f"it modifies {code[0]}, and a submission cannot say what to call")
    try:
        cfg = config.compose(row.overrides)
        config.check(cfg)
        meant = config.identity(cfg)
    except UserError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:
        raise _refused(path, explain(error) or str(error)) from error
    ours, theirs = (config.flatten(tree) for tree in (meant, row.config))
    different = [
        f"{key} is {theirs.get(key)}, not {ours.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if different:
        raise _refused(
            path,
            f"its configuration is not that of protocol {row.protocol} with the modifications it "
            f"lists: {'; '.join(different[:3])}",
        )
    if config.modified(cfg).keys() != row.modified.keys():
        raise _refused(path, "the keys that it lists as modified are not those that differ")
    if identifier(row.config, row.fingerprint) != row.cell:
        raise _refused(path, f"its cell is not {row.cell}, by its configuration and data")
    with torch.device("meta"):
        parameters = sum(p.numel() for p in instantiate(cfg.model.net).parameters())
    if parameters != row.parameters:
        raise _refused(path, f"the model has {parameters:,} parameters, not {row.parameters}")
    if transformer_parameters(cfg) != row.transformer_parameters:
        raise _refused(path, "the transformer of its sizes has another number of parameters")
    last = cfg.trainer.max_steps
    if row.select != cfg.select or row.last_step != last or not 0 < row.selected_step <= last:
        raise _refused(
            path,
            f"it says {row.select} at step {row.selected_step} of {row.last_step}, and its "
            f"protocol selects {cfg.select} of {last} steps",
        )
    said = (row.preset_source, row.schedule_source, row.cost)
    if said != (cfg.source.preset, cfg.source.schedule, cfg.model.cost):
        raise _refused(path, "its sources or its claimed cost are not those of its configuration")


def _runs_code(value) -> bool:
    """Whether a key or a value could make Hydra import, call or look something up."""
    if isinstance(value, dict):
        return any(_runs_code(v) for pair in value.items() for v in pair)
    if isinstance(value, list):
        return any(map(_runs_code, value))
    return isinstance(value, str) and (
        "${" in value or re.search(r"(^|\.)_\w+_$", value) is not None
    )


def _printable(path: Path, row: Row) -> None:
    """A row that no table can print would break the board for everybody."""
    try:
        accuracy.document([row], path.parent).markdown()
        curve = path.with_suffix(".csv")
        points = rows.parse_curve(curve) if curve.exists() else []
        assert all(math.isfinite(value) for point in points for value in point)
        entries.provenance([row], path.parent)
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise _refused(path, f"no table can print it ({type(error).__name__}: {error})") from error


def add(path: Path, row: Row, root: Path, origin: str) -> Path:
    curve = path.with_suffix(".csv")
    return rows.write(
        root / "runs" / row.task / row.model,
        row.model_copy(update={"origin": origin}),
        rows.read_array(path.with_suffix(".npy")),
        rows.parse_curve(curve) if curve.exists() else None,
    )


def main() -> None:
    given, rest = arguments.split(sys.argv[1:], {"origin": ""})
    origin = given["origin"].strip()
    paths = list(dict.fromkeys(Path(a) for a in rest if "=" not in a))
    overrides = [a for a in rest if "=" in a]
    if not paths or not origin:
        raise UserError(
            "Name the rows and who measured them: python -m lra.submit "
            'submissions/<you>/<row>.json origin="A. Person, github.com/..."'
        )
    root = Path(config.compose(overrides).results.path)
    checked = [(path, check(path, root)) for path in paths]  # all or none
    for path, row in checked:
        if row.dirty or row.commit is None:
            print(f"note: {path} was made by code with uncommitted changes.")
        print(f"added: {add(path, row, root, origin)}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
