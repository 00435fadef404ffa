"""Joins rows to lines: the seeds of one configuration, and the lines that may be compared.

Rows of two protocols, two variants, two data sets or two objectives never share a table. A rank is
a range where the stored predictions cannot tell models apart (statistics.py).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from statistics import mean
from typing import Any, NamedTuple

import numpy as np

from lra import config
from lra.config import flatten
from lra.objective import Metric
from lra.report.statistics import interval, ranks
from lra.store import runs
from lra.store.row import Row

YOURS = " (yours)"
SIZE_MATCHED = 0.1  # LRA's rule: at most 10 % more parameters than the transformer


class Key(NamedTuple):
    """The facts that the lines of one table share. fingerprint: the beginning of the data's."""

    task: str
    variant: str
    fingerprint: str
    protocol: str
    objective: str


@dataclass
class Entry:
    """The seeds of one configuration: a line of a table. rank: 2, or 2-4 where models are tied."""

    rank: str
    name: str
    rows: list[Row]

    @property
    def first(self) -> Row:
        return self.rows[0]

    @property
    def metric(self) -> Metric:
        return self.first.headline

    @property
    def values(self) -> list[float]:
        """The headline metric on test, one value a seed."""
        return [row.test_score.value for row in self.rows]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the mean (statistics.py)."""
        return interval([row.test_score for row in self.rows], self.metric)

    @property
    def at_chance(self) -> bool:
        """True if no seed is better than the majority label."""
        return all(row.at_chance for row in self.rows)

    @property
    def learned_nothing(self) -> list[Row]:
        """The seeds that ended on a plateau."""
        return [row for row in self.rows if row.learned_nothing]

    @property
    def devices(self) -> list[str]:
        return sorted({device(row) for row in self.rows})

    def measured(self, get: Callable[[Row], float | None]) -> float | None:
        """Returns the mean of a measurement over the seeds; None where they were measured on two
        devices, since no machine has the mean speed of two."""
        return average(map(get, self.rows)) if len(self.devices) == 1 else None


def newest(all_rows: Iterable[Row]) -> list[Row]:
    """Returns the newest finished and tested attempt of each cell that was not withdrawn: a rerun
    is not another seed. A row of one store or submitter does not replace another's."""
    latest: dict[tuple, Row] = {}
    for row in all_rows:
        key = row.cell, row.origin, row.yours
        counts = row.test and row.status == "done" and not row.withdrawn
        if counts and (key not in latest or _later(row, latest[key])):
            latest[key] = row
    return list(latest.values())


def _later(row: Row, than: Row) -> bool:
    return row.attempt > than.attempt


def shown(row: Row) -> str:
    """Returns the model's name in tables: with `(yours)` if it is not the board's."""
    return row.label + YOURS if row.yours else row.label


def measured_as(name: str) -> str:
    """Returns the name under which the lab measured a model that a table shows by this name."""
    return name.removesuffix(YOURS)


def entries(chosen: Iterable[Row], told: Collection[str] = frozenset()) -> dict[Key, list[Entry]]:
    """Groups rows to tables of lines.

    told: settings that have columns of their own, which the names of lines need not repeat."""
    tables: dict[Key, dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in chosen:
        key = Key(row.task, row.variant, row.fingerprint[:8], row.protocol, row.objective)
        tables[key][row.setting].append(row)
    found = {}
    for key, lines in sorted(tables.items()):
        groups = [sorted(group, key=lambda row: row.seed) for group in lines.values()]
        parts = zip(_ranks(groups), _names(groups, told), groups, strict=True)
        found[key] = [Entry(*part) for part in parts]
    return found


def _ranks(groups: list[list[Row]]) -> list[str]:
    """Returns the rank of each line among those whose predictions are stored, else a dash."""
    values = [[runs.values(row) for row in group] for group in groups]
    known = [i for i, seeds in enumerate(values) if all(found is not None for found in seeds)]
    # a run that repeats a line of the board is not another rival
    board = [group[0].config | {"seed": None} for group in groups if not group[0].yours]
    repeated = [g[0].yours and g[0].config | {"seed": None} in board for g in groups]
    known = [i for i in known if not repeated[i]]
    # rivals have predictions of the same examples: those of most lines
    sizes = Counter(len(found) for i in known for found in values[i])
    usual = max(sizes, key=sizes.__getitem__, default=0)
    known = [i for i in known if all(len(found) == usual for found in values[i])]
    if len(known) < 2:
        return ["-"] * len(groups)
    texts = ["-"] * len(groups)
    better = groups[0][0].headline.better
    ordered = ranks([np.array(values[i]) for i in known], better)
    for i, (best, worst) in zip(known, ordered, strict=True):
        texts[i] = f"{best}-{worst}" if best < worst else f"{best}"
    return texts


def _names(groups: list[list[Row]], told: Collection[str]) -> list[str]:
    """Returns the name of each line. Where two lines would have one name (a preset was changed
    between them), the settings that differ are added."""
    names = []
    for group in groups:
        row = group[0]
        untold = {key: ours for key, (_, ours) in row.modified.items() if key not in told}
        changes = ", ".join(f"{key}={ours}" for key, ours in untold.items())
        submitted = f" (submitted by {row.origin})" if row.origin else ""
        names.append(shown(row) + submitted + (f" (modified: {changes})" if changes else ""))
    flat = [flatten(group[0].config) for group in groups]
    for name in {name for name in names if names.count(name) > 1}:
        same = [i for i, other in enumerate(names) if other == name]
        keys = sorted(set().union(*(flat[i] for i in same)) - {"seed", *told})
        for i in same:
            different = [k for k in keys if len({str(flat[j].get(k)) for j in same}) > 1]
            if different:
                names[i] += " [" + ", ".join(f"{k}={flat[i].get(k)}" for k in different) + "]"
    return names


def average(values: Iterable[Any]) -> float | None:
    """Returns the mean of the known values; a missing measurement takes no part."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def device(row: Row) -> str:
    """Returns the device in words: AMD EPYC x 2 threads, 32-true."""
    where = row.environment
    unit = (
        f" x {where['threads']} thread{'s' if where['threads'] > 1 else ''}"
        if where["device_type"] == "cpu"
        else f" x {where['devices']}"
    )
    compiled = ", compiled" if where.get("compile") else ""
    return f"{where['device']}{unit}, {where['precision']}{compiled}"


def claimed_cost(row: Row) -> str:
    """Returns how the method claims that its time grows; rows older than the field: the yaml's."""
    return row.cost or config.cost(row.model)


def not_size_matched(row: Row) -> bool:
    """Returns whether the model has over 10 % more or fewer parameters than the transformer."""
    return row.extra_size is not None and abs(row.extra_size) > SIZE_MATCHED


def preset(row: Row) -> str:
    """Returns the source of the settings in words."""
    source = row.preset_source or "shared setting"
    return f"{source} (chosen by {row.trials} trials)" if row.trials else source
