"""One table for each (task, variant, data, protocol), from the rows and nothing else.

Rows of two protocols, of two variants or of two data sets never share a table. A rank is a range
where the stored predictions cannot tell models apart (lra/statistics.py).
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import pandas as pd

from lra import config, rows
from lra.config import flatten
from lra.rows import Row
from lra.statistics import interval, ranks
from lra.tables.table import Document, Table

COLUMNS = [
    "rank",
    "model",
    "test accuracy %",
    "95 % interval",
    "sd",
    "seeds",
    "val %",
    "length",
    "cost",
    "parameters",
    "train examples/s",
    "eval examples/s",
    "peak memory MB",
    "train minutes",
    "device",
    "preset",
]
NOT_SHOWN = ("length", "cost", "eval examples/s", "device", "preset")  # on the terminal
TEST_SET_ONLY = "test set only"


def newest(all_rows: list[Row]) -> list[Row]:
    """The newest done and tested attempt of each cell: a rerun is never counted as another seed.
    What somebody else submitted takes no row of ours away."""
    latest: dict[tuple, Row] = {}
    for row in all_rows:
        key = row.cell, row.origin
        if (
            row.test
            and row.status == "done"
            and row.attempt > getattr(latest.get(key), "attempt", 0)
        ):
            latest[key] = row
    return list(latest.values())


def settings(row: Row) -> str:
    """What the seeds of one line have in common: everything but the seed, and who measured them."""
    return json.dumps([row.config | {"seed": None}, row.origin], sort_keys=True)


def _names(groups: list[list[Row]]) -> list[str]:
    """What each line is called. Where two lines would have one name (a preset was changed between
    them), the settings that differ are added."""
    names = []
    for group in groups:
        row = group[0]
        changes = ", ".join(f"{key}={ours}" for key, (_, ours) in row.modified.items())
        submitted = f" (submitted by {row.origin})" if row.origin else ""
        names.append(row.model + submitted + (f" (modified: {changes})" if changes else ""))
    flat = [flatten(group[0].config) for group in groups]
    for name in {name for name in names if names.count(name) > 1}:
        same = [i for i, other in enumerate(names) if other == name]
        keys = sorted(set().union(*(flat[i] for i in same)) - {"seed"})
        for i in same:
            different = [k for k in keys if len({str(flat[j].get(k)) for j in same}) > 1]
            names[i] += " [" + ", ".join(f"{k}={flat[i].get(k)}" for k in different) + "]"
    return names


def _percent(value: float) -> str:
    return f"{100 * value:.2f}"


def average(values) -> float | None:
    """A missing measurement takes no part in the mean."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _mean(values: list, form: str, scale: float = 1.0) -> str:
    known = average(values)
    return "-" if known is None else form.format(scale * known)


def _line(rank: str, name: str, group: list[Row]) -> dict[str, str]:
    """One line of a table: the seeds of one configuration."""
    first = group[0]
    tests = [row.test.accuracy for row in group]
    chance = " (at chance)" if all(row.at_chance for row in group) else ""
    low, high = interval(tests, first.test.n)
    spread = f"{100 * stdev(tests):.2f}" if len(tests) > 1 else TEST_SET_ONLY
    devices = sorted({device(row) for row in group})
    alike = group if len(devices) == 1 else []  # no machine has the mean speed of two
    return dict(
        zip(
            COLUMNS,
            [
                rank,
                name,
                _mean(tests, "{:.2f}", 100) + chance,
                f"{_percent(low)}-{_percent(high)}",
                spread,
                f"{len(group)} ({', '.join(str(row.seed) for row in group)})",
                _mean([row.val.accuracy for row in group], "{:.2f}", 100),
                f"{first.config['model']['seq_len']:,}",
                cost(first),
                _size(first),
                _mean([row.speed.train_examples_per_second for row in alike], "{:.0f}"),
                _mean([row.speed.eval_examples_per_second for row in alike], "{:.0f}"),
                _mean([row.memory and row.memory.peak_bytes for row in alike], "{:.0f}", 1e-6),
                _mean([row.train_seconds for row in alike], "{:.1f}", 1 / 60),
                "; ".join(devices),
                _preset(first),
            ],
            strict=True,
        )
    )


def _numbers(rank: str, name: str, group: list[Row]) -> dict:
    """The same for the CSV file: accuracies in percent, speeds and memory where one device's."""
    first = group[0]
    tests = [100 * row.test.accuracy for row in group]
    low, high = interval([row.test.accuracy for row in group], first.test.n)
    devices = sorted({device(row) for row in group})
    alike = group if len(devices) == 1 else []
    return {
        "rank": rank,
        "model": name,
        "accuracy": mean(tests),
        "low": 100 * low,
        "high": 100 * high,
        "sd": stdev(tests) if len(tests) > 1 else None,
        "n_seeds": len(group),
        "seeds": " ".join(str(row.seed) for row in group),
        "at_chance": all(row.at_chance for row in group),
        "val_accuracy": average(100 * row.val.accuracy for row in group),
        "length": first.config["model"]["seq_len"],
        "cost": first.cost or config.cost(first.model),
        "parameters": first.parameters,
        "size_matched": None if first.extra_size is None else not not_size_matched(first),
        "train_examples_per_second": average(r.speed.train_examples_per_second for r in alike),
        "eval_examples_per_second": average(r.speed.eval_examples_per_second for r in alike),
        "peak_bytes": average(row.memory and row.memory.peak_bytes for row in alike),
        "train_seconds": average(row.train_seconds for row in alike),
        "device": "; ".join(devices),
        "preset": _preset(first),
    }


def _preset(row: Row) -> str:
    source = row.preset_source or "shared setting"
    return f"{source} (chosen by {row.trials} trials)" if row.trials else source


SIZE_MATCHED = 0.1  # LRA's rule: at most 10 % more parameters than the transformer


def _size(row: Row) -> str:
    return f"{row.parameters:,}" + (f" ({row.extra_size:+.0%})" if not_size_matched(row) else "")


def not_size_matched(row: Row) -> bool:
    return row.extra_size is not None and abs(row.extra_size) > SIZE_MATCHED


def cost(row: Row) -> str:
    """The method's claim; dense marks those that weigh every pair of positions."""
    cost = row.cost or config.cost(row.model)  # rows older than the field
    return f"{cost} (dense)" if cost == "N^2" else cost


def device(row: Row) -> str:
    where = row.environment
    unit = (
        f" x {where['threads']} thread{'s' if where['threads'] > 1 else ''}"
        if where["device_type"] == "cpu"
        else f" x {where['devices']}"
    )
    return f"{where['device']}{unit}, {where['precision']}"


def _ranks(groups: list[list[Row]], root: Path) -> list[str]:
    """Of each line among those whose predictions are stored: 2, or 2-4 where models are tied."""
    correct = [[rows.correct(root, row) for row in group] for group in groups]
    known = [i for i, seeds in enumerate(correct) if all(right is not None for right in seeds)]
    if len(known) < 2 or len({len(right) for i in known for right in correct[i]}) > 1:
        return ["-"] * len(groups)
    texts = ["-"] * len(groups)
    for i, (best, worst) in zip(known, ranks([np.array(correct[i]) for i in known]), strict=True):
        texts[i] = f"{best}-{worst}" if best < worst else f"{best}"
    return texts


@dataclass
class Entry:
    """The seeds of one configuration: a line of a table. rank: 2, or 2-4 where models are tied."""

    rank: str
    name: str
    rows: list[Row]


def entries(chosen: list[Row], root: Path) -> dict[tuple[str, str, str, str], list[Entry]]:
    """By task, variant, data and protocol, within which lines compare. root: of the predictions."""
    groups: dict[tuple, dict[tuple, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in chosen:
        key = (row.task, row.variant, row.fingerprint[:8], row.protocol)
        groups[key][settings(row)].append(row)
    found = {}
    for key, models in sorted(groups.items()):
        lists = [sorted(group, key=lambda row: row.seed) for group in models.values()]
        lines = zip(_ranks(lists, root), _names(lists), lists, strict=True)
        found[key] = [Entry(*line) for line in lines]
    return found


def tables(chosen: list[Row], root: Path) -> list[Table]:
    """Best model first; the trivial baselines of the data stand among the models as lines."""
    result = []
    for (task, variant, fingerprint, protocol), models in entries(chosen, root).items():
        lines = []
        for entry in models:
            what = entry.rank, entry.name, entry.rows
            score = mean(row.test.accuracy for row in entry.rows)
            lines.append((score, _line(*what), _numbers(*what)))
        baselines = rows.baselines([row for entry in models for row in entry.rows])
        for name, accuracy in baselines.items():
            line = dict.fromkeys(COLUMNS, "-")
            line |= {
                "model": f"[{name}]",
                "test accuracy %": _percent(accuracy["test"]),
                "val %": _percent(accuracy["val"]),
                "preset": "trivial baseline",
            }
            numbers = {"model": line["model"], "accuracy": 100 * accuracy["test"]}
            numbers["val_accuracy"] = 100 * accuracy["val"]
            lines.append((accuracy["test"], line, numbers))
        lines.sort(key=lambda parts: (-parts[0], parts[1]["model"]))
        frame = pd.DataFrame([line for _, line, _ in lines], columns=COLUMNS)
        long = pd.DataFrame([numbers for *_, numbers in lines])
        title = f"{task}/{variant} (data {fingerprint}), protocol {protocol}"
        terminal = [c for c in COLUMNS if c not in NOT_SHOWN]
        result.append(Table(title, frame, long=long, terminal=terminal))
    return result


def notes(chosen: list[Row], made: list[Table]) -> list[str]:
    """What a reader of the tables made of these rows must know."""
    frames = [table.frame for table in made]
    sources = {
        f"{row.protocol}, {row.task}: {row.schedule_source}"
        for row in chosen
        if row.schedule_source
    }
    warnings = {
        f"{row.task}/{row.variant} {row.model} seed {row.seed} ({row.protocol}): {text}"
        for row in chosen
        for text in row.warnings
    }
    sizes = [
        "a percentage beside the parameters: not size-matched, more than 10 % away from the "
        "transformer of the same width and depth"
    ]
    tied = [
        "a rank such as 2-4: the data cannot tell these models apart (pairwise on the "
        "same test examples: a t-test over seeds and examples, McNemar's for single seeds; Holm at "
        "5 % over the table)"
    ]
    single = [
        f"{TEST_SET_ONLY}: one seed, so interval and rank hold for this trained model, not for "
        "other seeds"
    ]
    resident = [
        "peak memory on a CPU is what was resident, with the freed buffers that the C library "
        "keeps for the next step; lra.efficiency measures what is in use"
    ]
    on_cpu = any(row.memory and row.memory.kind != "cuda allocator" for row in chosen)
    return [
        *sorted(sources),
        *sorted(warnings),
        *(resident if on_cpu else []),
        *(sizes if any(map(not_size_matched, chosen)) else []),
        *(tied if any(frame["rank"].str.fullmatch(r"\d+-\d+").any() for frame in frames) else []),
        *(single if any((frame["sd"] == TEST_SET_ONLY).any() for frame in frames) else []),
    ]


def document(chosen: list[Row], root: Path) -> Document:
    made = tables(chosen, root)
    return Document("accuracy", made, notes(chosen, made))


def show(chosen: list[Row], root: Path) -> None:
    """Prints the tables of these rows, whose predictions are stored below root."""
    found = document(chosen, root)
    devices = {device for table in found.tables for device in table.frame["device"]} - {"-"}
    found.notes = [*sorted(devices), *found.notes]
    found.show()
