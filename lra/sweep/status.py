"""The state of every cell of a sweep, read from the results store, and the time that is left."""

import json
import os
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import mean, median, stdev

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console
from rich.progress import track
from rich.table import Table

from lra.cli import duration, explain
from lra.config import Configuration
from lra.errors import UserError
from lra.store import claim, runs
from lra.store.cell import find
from lra.store.row import Row


@dataclass
class State:
    """A cell's state. status: its newest row's, or running, missing, wrong."""

    status: str
    configuration: Configuration | None = None
    row: Row | None = None
    path: Path | None = None
    error: str | None = None
    name: str = ""  # the overrides in which it differs from the other cells of its sweep

    @property
    def seconds(self) -> float | None:
        return wall_seconds(self.row) if self.row else None

    @property
    def steps_left(self) -> int:
        done = self.row.last_step or 0 if self.row else 0
        return max(0, self.configuration.cfg.max_steps - done)


def look(configuration: Configuration) -> State:
    """Reads the state of one cell."""
    this = find(configuration)
    if this is None:  # the data are not there yet
        return State("missing", configuration)
    done = runs.newest_done(this.rows, this.id)
    if done:
        return State("done", configuration, *done)
    newest = (runs.read_cell(this.rows, this.id) or [(None, None)])[-1]
    if claim.held(this.work):
        return State("running", configuration, *newest)
    row, path = newest
    return (
        State(row.status, configuration, row, path, row.error)
        if row
        else State("missing", configuration)
    )


def wall_seconds(row: Row) -> float:
    """Returns the seconds from the start of the attempt to its row, evaluation included."""
    start, end = map(datetime.fromisoformat, (row.started, row.finished))
    return (end - start).total_seconds()


def grid(overrides: list[str]) -> list[list[str]]:
    """Returns the overrides of each cell that `run.py -m <overrides>` would run, in its order."""
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    parsed = parser.parse_overrides([o for o in overrides if not o.startswith("hydra")])
    (jobs,) = BasicSweeper.split_arguments(parsed, None)
    return jobs


def look_at_all(overrides: list[str]) -> list[State]:
    """Reads the state of every cell of a grid; a mistyped cell is `wrong`."""
    jobs = grid(overrides)
    common = set.intersection(*map(set, jobs)) if len(jobs) > 1 else set()
    states = []
    for job in track(jobs, "looking at the cells", transient=True, disable=len(jobs) < 10):
        try:
            state = look(Configuration.of(job))
        except UserError as error:
            state = State("wrong", error=str(error))
        except Exception as error:  # what Hydra finds in a mistyped override
            message = explain(error)
            if message is None:
                raise
            state = State("wrong", error=message)
        state.name = " ".join(o for o in job if o not in common)
        states.append(state)
    return states


def counts(states: list[State], words: list[str]) -> str:
    """Returns `4 cells: 3 done, 1 failed` for the words of the states."""
    found = Counter(words)
    return f"{len(states)} cell{'s' if len(states) != 1 else ''}: " + ", ".join(
        f"{n} {word}" for word, n in found.items()
    )


def estimate(states: list[State], measured: list[Row]) -> list[str]:
    """Returns a line for each known device, with the time that the unfinished cells would take
    there one after the other, by the finished rows of the same task, model, length and batch."""
    seconds = defaultdict(list)  # (device, what decides) -> per step
    for row in measured:
        if row.status == "done" and row.last_step and not row.resumes:
            device = f"{row.environment['device']}, {row.environment['threads']} threads"
            seconds[device, _decides(row.config)].append(wall_seconds(row) / row.last_step)
    todo = [s for s in states if s.configuration is not None and s.status != "done"]
    lines = []
    for device in sorted({device for device, _ in seconds}):
        known = [
            state.steps_left * median(seconds[device, key])
            for state in todo
            if (key := _decides(state.configuration.identity)) and (device, key) in seconds
        ]
        if known:
            rest = len(todo) - len(known)
            lines.append(
                f"{duration(sum(known))} on {device}, for {len(known)} of {len(todo)} cells"
                + (f" ({rest} never measured there)" if rest else "")
            )
    return lines


def _decides(tree: dict) -> tuple:
    """Returns the settings that decide the time of a step."""
    model = {k: v for k, v in tree["model"].items() if k != "init_std"}
    text = json.dumps(model, sort_keys=True)
    return tree["task"]["name"], tree["task"]["variant"], tree["batch_size"], text


def show(states: list[State], words: list[str]) -> None:
    """Prints a line for each cell."""
    view = _table("cell", "status", "seconds", "test", "")
    for state, word in zip(states, words, strict=True):
        view.add_row(
            state.name or "the only one",
            word,
            f"{state.seconds:.0f}" if state.seconds is not None else "-",
            _test(state) or "-",
            (state.error or "").split("\n")[0].replace("[", r"\["),
        )
    _console().print(view)
    print(counts(states, words))


def _console() -> Console:
    sized = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if sized else 160)


def _table(*columns: str) -> Table:
    """Returns a table whose numbers are never cut: only the first and the last column wrap."""
    view = Table(box=None, pad_edge=False)
    for i, column in enumerate(columns):
        number = column in ("seconds", "test")
        view.add_column(
            column,
            justify="right" if number else "left",
            no_wrap=i > 0 and column != "",
            overflow="fold",
        )
    return view


def show_means(states: list[State]) -> None:
    """Prints a line for each configuration of which several seeds are done: mean and standard
    deviation of the test metric over the seeds."""
    groups: dict[str, list[State]] = defaultdict(list)
    for state in states:
        if state.status == "done" and state.row.test is not None:
            groups[state.row.fingerprint + state.row.setting].append(state)
    view = _table("configuration", "test, mean and sd", "seeds")
    for group in groups.values():
        if len(group) > 1:
            rows = sorted((state.row for state in group), key=lambda row: row.seed)
            metric, values = rows[0].headline, [row.test_score.value for row in rows]
            unit = " %" if metric.share else ""
            spread = f"{metric.text(mean(values))} ± {metric.text(stdev(values))}{unit}"
            view.add_row(_without_seed(group[0]), spread, ", ".join(str(row.seed) for row in rows))
    if view.row_count:
        _console().print(view)


def _without_seed(state: State) -> str:
    words = [word for word in state.name.split() if not word.startswith("seed=")]
    return " ".join(words) or f"task={state.row.task} model={state.row.label}"


def _test(state: State) -> str:
    """Returns the test score in words, of a cell that is done and was tested."""
    if state.status != "done" or state.row.test is None:
        return ""
    metric, score = state.row.headline, state.row.test_score
    return f"{metric.text(score.value)} %" if metric.share else metric.text(score.value)


def all_rows(states: list[State]) -> list[Row]:
    """Returns the rows of every results folder that these cells name."""
    known = [state.configuration for state in states if state.configuration is not None]
    roots = {Path(configuration.cfg.results.path) for configuration in known}
    return [row for root in sorted(roots) for row in runs.read_all(root)]
