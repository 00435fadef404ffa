"""One table for each (task, variant, data, protocol, objective): a line a configuration."""

from collections import Counter, defaultdict
from statistics import mean, stdev
from typing import Any

import pandas as pd

from lra.objective import Metric
from lra.report.groups import (
    Entry,
    Key,
    average,
    claimed_cost,
    entries,
    not_size_matched,
    preset,
    shown,
)
from lra.report.tables.table import Document, Table
from lra.store import runs
from lra.store.row import Row

TEST_SET_ONLY = "test set only"
OF_YOURS = "(yours): a row of your own store, results/runs; the other rows are the board's"


def _or_dash(value: float | None, form: str, scale: float = 1.0) -> str:
    return "-" if value is None else form.format(scale * value)


def _test(metric: Metric) -> str:
    """Returns the heading of the test column."""
    return f"test {metric.heading}"


def _val(metric: Metric) -> str:
    """Returns the heading of the val column."""
    return "val %" if metric.share else f"val {metric.name}"


def line(entry: Entry) -> dict[str, str]:
    """Returns one line of a table: the seeds of one configuration."""
    first, metric, selection = entry.first, entry.metric, entry.first.selection
    low, high = entry.interval
    several = len(entry.rows) > 1
    return {
        "rank": entry.rank,
        "model": entry.name,
        _test(metric): metric.text(entry.mean) + (" (at chance)" if entry.at_chance else ""),
        "95 % interval": f"{metric.text(low)}-{metric.text(high)}",
        "sd": metric.text(stdev(entry.values)) if several else TEST_SET_ONLY,
        "seeds": f"{len(entry.rows)} ({', '.join(str(row.seed) for row in entry.rows)})",
        _val(selection): _val_text(entry),
        "length": f"{first.config['model']['seq_len']:,}",
        "cost": cost(first),
        "parameters": _size(first),
        "train examples/s": _or_dash(entry.measured(_train_speed), "{:.0f}"),
        "eval examples/s": _or_dash(entry.measured(_eval_speed), "{:.0f}"),
        "peak memory MB": _or_dash(entry.measured(_peak_bytes), "{:.0f}", 1e-6),
        "train minutes": _or_dash(entry.measured(lambda row: row.train_seconds), "{:.1f}", 1 / 60),
        "device": "; ".join(entry.devices),
        "preset": preset(first),
    }


def numbers(entry: Entry) -> dict[str, Any]:
    """Returns the same for the CSV file: shares in percent, speed and memory of one device."""
    first, metric = entry.first, entry.metric
    scaled = [metric.scale * value for value in entry.values]
    low, high = (metric.scale * bound for bound in entry.interval)
    val = average(_val_number(row) for row in entry.rows)
    return {
        "rank": entry.rank,
        "model": entry.name,
        metric.name: mean(scaled),
        "low": low,
        "high": high,
        "sd": stdev(scaled) if len(scaled) > 1 else None,
        "n_seeds": len(entry.rows),
        "seeds": " ".join(str(row.seed) for row in entry.rows),
        "at_chance": entry.at_chance,
        f"val_{first.selection.name}": val,
        "length": first.config["model"]["seq_len"],
        "cost": claimed_cost(first),
        "parameters": first.parameters,
        "size_matched": None if first.extra_size is None else not not_size_matched(first),
        "train_examples_per_second": entry.measured(_train_speed),
        "eval_examples_per_second": entry.measured(_eval_speed),
        "peak_bytes": entry.measured(_peak_bytes),
        "train_seconds": entry.measured(lambda row: row.train_seconds),
        "device": "; ".join(entry.devices),
        "preset": preset(first),
    }


def _val_number(row: Row) -> float | None:
    return row.selection.scale * row.val_score.value if row.val_score else None


def _val_text(entry: Entry) -> str:
    selection = entry.first.selection
    known = average(row.val_score and row.val_score.value for row in entry.rows)
    return "-" if known is None else selection.text(known)


def _train_speed(row: Row) -> float | None:
    return row.speed.train_examples_per_second


def _eval_speed(row: Row) -> float | None:
    return row.speed.eval_examples_per_second


def _peak_bytes(row: Row) -> float | None:
    return row.memory.peak_bytes if row.memory else None


def _size(row: Row) -> str:
    return f"{row.parameters:,}" + (f" ({row.extra_size:+.0%})" if not_size_matched(row) else "")


def cost(row: Row) -> str:
    """Returns the method's claim; dense marks methods that weigh every pair of positions."""
    claimed = claimed_cost(row)
    return f"{claimed} (dense)" if claimed == "N^2" else claimed


def tables(chosen: list[Row]) -> list[Table]:
    """Returns a table for each group of comparable rows, the best model first; the trivial rules of
    the data are lines among the models."""
    found = entries(chosen)
    objectives = Counter(key[:4] for key in found)
    result = []
    for key, models in found.items():
        metric = models[0].metric
        lines = [(metric.order(entry.mean), line(entry), numbers(entry)) for entry in models]
        columns = list(lines[0][1])
        for name, values in runs.baselines([row for e in models for row in e.rows]).items():
            lines.append(_trivial(name, values, models[0], columns))
        lines.sort(key=lambda parts: (parts[0], parts[1]["model"]))
        result.append(
            Table(
                _title(key) + (f", {key.objective}" if objectives[key[:4]] > 1 else ""),
                pd.DataFrame([text for _, text, _ in lines], columns=columns),
                long=pd.DataFrame([numbers for *_, numbers in lines]),
                terminal=[
                    "model",
                    _test(metric),
                    "95 % interval",
                    "rank",
                    "seeds",
                    _val(models[0].first.selection),
                    "sd",
                    "train examples/s",
                    "peak memory MB",
                    "parameters",
                    "train minutes",
                ],
            )
        )
    return result


def _title(key: Key) -> str:
    return f"{key.task}/{key.variant} (data {key.fingerprint}), protocol {key.protocol}"


def _trivial(name: str, values: dict[str, float], like: Entry, columns: list[str]) -> tuple:
    """Returns (order, line, numbers) of a trivial rule."""
    metric, selection = like.metric, like.first.selection
    same = selection == metric  # the rules are scored by the headline metric alone
    text = dict.fromkeys(columns, "-") | {
        "model": f"[{name}]",
        _test(metric): metric.text(values["test"]),
        _val(selection): selection.text(values["val"]) if same else "-",
        "preset": "trivial baseline",
    }
    plain = {
        "model": text["model"],
        metric.name: metric.scale * values["test"],
        f"val_{selection.name}": selection.scale * values["val"] if same else None,
    }
    return metric.order(values["test"]), text, plain


def notes(chosen: list[Row], made: list[Table]) -> list[str]:
    """Returns what a reader of the tables made of these rows must know."""
    frames = [table.frame for table in made]
    sources = {
        f"{row.protocol}, {row.task}: {row.budget_source}" for row in chosen if row.budget_source
    }
    warnings = {
        f"{row.task}/{row.variant} {row.label} seed {row.seed} ({row.protocol}): {text}"
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
        "peak memory on a CPU is the resident memory, with the freed buffers that the C library "
        "keeps for the next step; lra.efficiency measures the memory in use"
    ]
    machines = [
        "speeds and minutes of different devices or threads do not compare: lra.efficiency "
        "measures models side by side on one machine"
    ]
    several = any(len(set("; ".join(f["device"]).split("; ")) - {"-"}) > 1 for f in frames)
    on_cpu = any(row.memory and row.memory.kind != "cuda allocator" for row in chosen)
    return [
        *sorted(sources),
        *sorted(warnings),
        *_plateaus(chosen),
        *([OF_YOURS] if any(row.yours for row in chosen) else []),
        *(resident if on_cpu else []),
        *(machines if several else []),
        *(sizes if any(map(not_size_matched, chosen)) else []),
        *(tied if any(frame["rank"].str.fullmatch(r"\d+-\d+").any() for frame in frames) else []),
        *(single if any((frame["sd"] == TEST_SET_ONLY).any() for frame in frames) else []),
    ]


def _plateaus(chosen: list[Row]) -> list[str]:
    """Returns one note on all rows that learned nothing."""
    flat: dict[str, list[str]] = defaultdict(list)
    for row in chosen:
        if row.learned_nothing:
            place = f"{row.task}/{row.variant}, {row.protocol}"
            flat[place].append(f"{shown(row)} (seed {row.seed})")
    if not flat:
        return []
    places = "; ".join(f"{place}: {', '.join(sorted(flat[place]))}" for place in sorted(flat))
    return [f"learned nothing (val is not above the majority label's rate): {places}"]


def document(chosen: list[Row]) -> Document:
    """Returns the tables with their notes."""
    made = tables(chosen)
    return Document("scores", made, notes(chosen, made))
