"""Prints one row as `name: value` lines, beside the trivial rules and the board's row."""

import json
import shutil
import sys
import textwrap
from pathlib import Path

from omegaconf import DictConfig

from lra.cli import duration
from lra.errors import UserError
from lra.report.groups import device, newest
from lra.report.statistics import interval
from lra.store import runs
from lra.store.row import FEW, Row

WIDE = 100  # columns where there is no terminal
PLATEAU_WARNING = (
    "nothing was learned: the interval of val does not lie above the majority label's rate. Try "
    "another seed, a longer optim.warmup, a lower optim.lr, or more max_steps."
)


def show(row: Row, results: DictConfig) -> None:
    """Prints the row. results: the config group, which names the board."""
    width = shutil.get_terminal_size((WIDE, 24)).columns
    print("\n".join(rendered(lines(row, results), width)), flush=True)
    if row.learned_nothing and (row.last_step or 0) >= FEW:
        print(f"warning: {PLATEAU_WARNING}", file=sys.stderr)
    for warning in row.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def rendered(pairs: list[tuple[str, str]], width: int) -> list[str]:
    """Returns the lines: values in one column, broken between words alone."""
    column = max(len(name) for name, _ in pairs) + 2
    found = []
    for name, value in pairs:
        found += textwrap.wrap(
            value,
            max(width, column + 20),
            initial_indent=f"{name}:".ljust(column),
            subsequent_indent=" " * column,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return found


def lines(row: Row, results: DictConfig) -> list[tuple[str, str]]:
    """Returns (name, value) of the facts that a user looks for, the result first."""
    speed, memory = row.speed, row.memory
    selected = f" at step {row.selected_step:,} of {row.last_step:,}" if row.selected_step else ""
    pairs = [("test", row.headline.sentence(row.test_score) if row.test else "not scored")]
    if row.at_chance:
        pairs[0] = ("test", pairs[0][1] + ", at chance")
    others = {name: score for name, score in (row.test or {}).items() if name != row.headline.name}
    if others:
        told = [f"{name} {score.value:.4g}" for name, score in others.items()]
        pairs.append(("also on test", ", ".join(told)))
    pairs.append(("val", row.selection.sentence(row.val_score) + selected))
    pairs += [("board", text) for text in _of_the_board(row, results)] if row.test else []
    if rules := row.baselines:
        metric = row.headline
        unit = " %" if metric.share else ""
        told = [f"{name} {metric.text(value['test'])}{unit}" for name, value in rules.items()]
        pairs.append(("trivial rules", "; ".join(told)))
    if speed.train_examples_per_second:
        evaluated = speed.eval_examples_per_second
        also = f", {evaluated:.0f} in evaluation" if evaluated else ""
        generated = speed.test_examples_per_second
        also += f", {generated:.1f} in generation" if generated else ""
        pairs.append(("speed", f"{speed.train_examples_per_second:.0f} examples/s{also}"))
    if row.environment.get("compile") and speed.first_step_seconds:
        pairs.append(("compiling", f"{duration(speed.first_step_seconds)} in the first step"))
    if memory:
        pairs.append(("peak memory", f"{memory.peak_bytes / 1e6:.0f} MB"))
    if row.train_seconds is not None:
        pairs.append(("training time", duration(row.train_seconds)))
    pairs += [
        ("parameters", f"{row.parameters:,}" if row.parameters else "-"),
        ("cell", f"{row.task}/{row.variant}, {row.label}, {row.protocol}, seed {row.seed}"),
        ("device", device(row)),
    ]
    if row.inherited:
        given = row.inherited.model_dump(exclude={"sha256"}, exclude_none=True)
        pairs.append(("began with", ", ".join(f"{key}={path}" for key, path in given.items())))
    pretrained = Path(results.path) / "work" / row.cell / "pretrained"
    if pretrained.is_dir():
        pairs.append(("to begin with it", f"init={pretrained}"))
    if row.modified:
        changed = (
            f"{key}={_typed(ours)} instead of {_typed(theirs)}"
            for key, (theirs, ours) in row.modified.items()
        )
        pairs.append(("modified", ", ".join(changed)))
    return [*pairs, ("stored in", str(row.path))]


def _of_the_board(row: Row, results: DictConfig) -> list[str]:
    try:
        return of_the_board(row, results)
    except UserError as error:  # a damaged row of the board costs nobody the result
        return [f"cannot be compared: {error}"]


def of_the_board(row: Row, results: DictConfig) -> list[str]:
    """Returns the board's result for the same cell with a verdict; without one, the result for the
    same setting with other seeds."""
    board = runs.board(results)
    if board is None:
        return []
    metric, ours = row.headline, row.test_score
    folder = board / "runs" / row.task / row.label
    same = [
        r for r in newest(r for r, _ in runs.read_cell(folder, row.cell)) if r.headline == metric
    ]
    if same:
        same.sort(key=lambda r: r.origin is None)  # the maintainers' row, where there is one
        theirs = same[-1].test_score
        within = theirs.low <= ours.value <= theirs.high
        verdict = "within the board's interval" if within else "outside the board's interval"
        by = f", submitted by {same[-1].origin}" if same[-1].origin else ""
        return [f"{metric.sentence(theirs)}{by}: this run is {verdict}"]
    alike = [r for r in newest(runs.read_all(board)) if _setting(r) == _setting(row)]
    if not alike:
        return [] if row.modified else ["no row of this cell"]
    low, high = interval([r.test_score for r in alike], metric)
    mean = sum(r.test_score.value for r in alike) / len(alike)
    seeds = ", ".join(str(r.seed) for r in alike)
    return [
        f"no row of this seed; with seed {seeds}: {metric.name} {metric.text(mean)}"
        f" ({metric.text(low)}-{metric.text(high)})"
    ]


def _setting(row: Row) -> tuple:
    return row.fingerprint, row.origin, row.config | {"seed": None}


def _typed(value) -> str:
    """Returns a value as one types it."""
    return value if isinstance(value, str) else json.dumps(value)
