"""Tasks whose answers are texts, and pretrained models: scores and cost, with the first weights.

A line is a model with its filter's settings and its first weights. Unlike in the scores, a row
whose filter alone differs from its protocol has its place here.
"""

from collections import defaultdict
from statistics import mean
from typing import Any

import pandas as pd

from lra import config
from lra.efficiency.records import Measurement
from lra.efficiency.report import Rounds, by_cell
from lra.report import published
from lra.report.groups import Entry, Key, average, entries
from lra.report.inherited import FILTER, TOLD, begins
from lra.report.published import RECALLED
from lra.report.tables.table import Document, Table
from lra.store import runs
from lra.store.row import Row

ROUGE_L = "ROUGE-L"
METRICS = ("ROUGE-1", "ROUGE-2", ROUGE_L)
PHASES = ("encoding", "inference", "training", "generation")  # of the lab


def document(
    rows: list[Row], measurements: list[Measurement], verified_only: bool = False
) -> Document:
    """Returns a table for each task, variant, data and protocol, one of pretraining, and one of
    speed and memory for each family that the lab measured."""
    tables = entries(rows, told=TOLD)
    # the tables of ROUGE first, then those of a loss or an accuracy
    order = sorted(tables, key=lambda key: (key.objective != "generation", key))
    made = [table(key, tables[key], verified_only) for key in order]
    made += speed(measurements)
    return Document("summarization", made, notes(rows))


def table(key: Key, found: list[Entry], verified_only: bool) -> Table:
    """Returns the table of comparable lines, the best first."""
    task, variant, fingerprint, protocol, _ = key
    scored = ROUGE_L in found[0].first.test
    lines = [(e.metric.order(e.mean), line(e, scored), numbers(e)) for e in found]
    columns = list(lines[0][1])
    if scored:
        newest = max((row for e in found for row in e.rows), key=lambda row: row.finished)
        lines += [trivial(*rule) for rule in newest.trivial.items()]
        if variant == "full":
            lines += printed(task, verified_only)
    lines.sort(key=lambda parts: (parts[0], parts[1]["model"]))
    frame = pd.DataFrame([text for _, text, _ in lines])
    recalled = frame.get("status", pd.Series("", frame.index)) == RECALLED
    frame = frame[columns].fillna("-")
    styles = pd.DataFrame("", index=frame.index, columns=frame.columns)
    styles[recalled] = "recalled"
    title = f"{config.title(task)} ({variant}, data {fingerprint}), protocol {protocol}"
    metrics = [found[0].metric.heading]
    terminal = ["model", *metrics, "keep", "restore", "begins with", "val loss a token"]
    return Table(
        title,
        frame,
        styles=styles,
        long=pd.DataFrame([each for *_, each in lines]),
        terminal=[column for column in [*terminal, *METRICS[:2], "seeds"] if column in frame],
    )


def line(entry: Entry, scored: bool) -> dict[str, str]:
    """Returns the line of one setting: the means over its seeds."""
    first = entry.first
    low, high = entry.interval
    filter_ = first.config["model"]
    text = {
        "rank": entry.rank,
        "model": entry.name,
        "keep": f"{filter_['keep_ratio']:g}" if "keep_ratio" in filter_ else "-",
        "restore": filter_.get("restore", "-"),
        "begins with": begins(first),
    }
    if scored:
        text |= {metric: f"{score(entry, metric):.2f}" for metric in METRICS}
        text["95 % interval of ROUGE-L"] = f"{low:.2f}-{high:.2f}"
        text["distinct texts"] = distinct(entry)
    else:
        text[entry.metric.heading] = entry.metric.text(entry.mean)
        text["95 % interval"] = f"{entry.metric.text(low)}-{entry.metric.text(high)}"
    selection = first.selection
    val = average(row.val_score and row.val_score.value for row in entry.rows)
    return text | {
        f"val {selection.heading}": "-" if val is None else selection.text(val),
        "seeds": f"{len(entry.rows)} ({', '.join(str(row.seed) for row in entry.rows)})",
        "parameters": f"{first.parameters:,}",
        "train examples/s": measured(entry, _train_speed, "{:.1f}"),
        "test examples/s": measured(entry, _test_speed, "{:.1f}"),
        "peak memory MB": measured(entry, _peak, "{:.0f}"),
        "train minutes": measured(entry, _minutes, "{:.1f}"),
        "device": "; ".join(entry.devices),
    }


def distinct(entry: Entry) -> str:
    """Returns how many of the generated texts differ, of how many: a model that says the same of
    every document has a score, and has read none."""
    texts = [runs.predictions(row) for row in entry.rows]
    known = [each for each in texts if isinstance(each, list)]
    counts = sorted({len(set(each)) for each in known})
    if not counts:
        return "-"
    return f"{'-'.join(map(str, dict.fromkeys([counts[0], counts[-1]])))} of {len(known[0]):,}"


def score(entry: Entry, metric: str) -> float:
    return mean(row.test[metric].value for row in entry.rows)


def measured(entry: Entry, get, form: str) -> str:
    value = entry.measured(get)
    return "-" if value is None else form.format(value)


def _train_speed(row: Row) -> float | None:
    return row.speed.train_examples_per_second


def _test_speed(row: Row) -> float | None:
    return row.speed.test_examples_per_second or row.speed.eval_examples_per_second


def _peak(row: Row) -> float | None:
    return row.memory.peak_bytes / 1e6 if row.memory else None


def _minutes(row: Row) -> float | None:
    return None if row.train_seconds is None else row.train_seconds / 60


def numbers(entry: Entry) -> dict[str, Any]:
    """Returns the same for the CSV file."""
    first, scale = entry.first, entry.metric.scale
    return {
        "model": entry.name,
        **{key: first.config["model"].get(key) for key in FILTER},
        "begins_with": begins(first),
        **{metric: scale * score(entry, metric) for metric in first.test},
        "low": scale * entry.interval[0],
        "high": scale * entry.interval[1],
        f"val_{first.selection.name}": average(
            row.val_score and first.selection.scale * row.val_score.value for row in entry.rows
        ),
        "seeds": " ".join(str(row.seed) for row in entry.rows),
        "parameters": first.parameters,
        "train_examples_per_second": entry.measured(_train_speed),
        "test_examples_per_second": entry.measured(_test_speed),
        "peak_megabytes": entry.measured(_peak),
        "train_minutes": entry.measured(_minutes),
        "device": "; ".join(entry.devices),
    }


def speed(measurements: list[Measurement]) -> list[Table]:
    """Returns the tables of the lab's phases, each beside the plain model of its family under the
    same conditions."""
    groups: dict[tuple, list[Rounds]] = defaultdict(list)
    for cell in by_cell(m for m in measurements if not m.arena):
        m = cell.first
        where = m.environment
        family = config.family(m.model)
        conditions = where["device"], where["threads"], where["precision"]
        groups[(family, m.length, m.batch_size, *conditions)].append(cell)
    made = []
    for key, cells in sorted(groups.items(), key=str):
        family, length, batch, device_, threads, precision = key
        plain = next((cell for cell in cells if cell.first.model == family), None)
        cells.sort(key=lambda cell: (cell is not plain, str(cell.first.config["model"])))
        title = (
            f"Speed and memory of {family} at {length:,}, batch {batch}, {device_}, {threads} "
            f"threads, {precision}: seconds and MB (beside {family})"
        )
        made.append(Table(title, pd.DataFrame([speed_line(cell, plain) for cell in cells])))
    return made


def speed_line(cell: Rounds, plain: Rounds | None) -> dict[str, str]:
    model = cell.first.config["model"]
    line = {
        "model": cell.first.model,
        "keep": f"{model['keep_ratio']:g}" if "keep_ratio" in model else "-",
        "restore": model.get("restore", "-"),
    }
    for phase in PHASES:
        seconds = cell.seconds(phase)
        if seconds is not None:
            faster = plain.seconds(phase) / seconds if plain and plain.seconds(phase) else None
            line[f"{phase}, s"] = f"{seconds:.3f}" + (f" ({faster:.2f} x)" if faster else "")
    for phase in PHASES:
        bytes_ = cell.bytes(phase)
        if bytes_ is not None:
            less = bytes_ / plain.bytes(phase) if plain and plain.bytes(phase) else None
            line[f"{phase}, MB"] = f"{bytes_ / 1e6:,.0f}" + (f" ({less:.2f})" if less else "")
    return line


def trivial(rule: str, values: dict[str, float]) -> tuple:
    """Returns the line of summaries that need no model."""
    text = {metric: f"{values[metric]:.2f}" for metric in METRICS}
    name = {"model": f"[{rule}]"}
    return -values["ROUGE-L"], name | text, name | values


def printed(task: str, verified_only: bool) -> list[tuple]:
    """Returns the lines of published figures on the whole official test set."""
    figures = published.summarization(verified_only)
    found = []
    for (method, status), group in figures[figures.task == task].groupby(["method", "status"]):
        values = dict(zip(group.metric, group.value, strict=True))
        text = {metric: f"{value:.2f}" for metric, value in values.items()}
        name = {"model": f"{method} (published)"}
        order = -values.get("ROUGE-L", 0.0)
        found.append((order, name | text | {"status": status}, name | values))
    return found


def notes(rows: list[Row]) -> list[str]:
    """Returns what a reader of the tables must know."""
    budgets = {f"{r.protocol}, {r.task}: {r.budget_source}" for r in rows if r.budget_source}
    made = [
        *sorted(budgets),
        "ROUGE by rouge-score 0.1.2, stemmed, F1 in percent; of several references the best. "
        "ROUGE-L is its rougeLsum, one sentence a line, as the published tables have it; its "
        "interval resamples the test examples",
        "distinct texts: how many of the generated texts differ. Where it is 1, the model says the "
        "same of every document: its ROUGE is that of one text, and the loss alone compares",
        "keep: share of the positions that the Fourier filter leaves in the encoder. restore: "
        "whether the decoder sees the short sequence (none) or one stretched to the full length "
        "(nearest), as the released code has it",
        "test examples/s: generation with beam search, most of whose time the decoder takes, which "
        "the filter does not shorten; the lab's generation: 32 tokens by every model",
        "a rank such as 2-4: the test examples cannot tell these lines apart",
        "pretrained, with a hash: the weights of a run of task=denoising here, or of another "
        "folder that the row names",
    ]
    return made
