"""The lines of the page, their provenance, and its charts, as plain values."""

import os
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from lra import certificate, config
from lra.config import flatten
from lra.efficiency.records import Measurement
from lra.efficiency.report import BASELINE, EXPLICIT, Bench, benches, largest, name_of, sizes
from lra.machine import ROOT
from lra.objective import Metric, Score
from lra.report import published
from lra.report.groups import Entry, claimed_cost, device, entries, measured_as, not_size_matched
from lra.report.inherited import TOLD, belongs, concerns, setting
from lra.report.references import papers
from lra.report.statistics import p_value
from lra.report.style import style
from lra.store import runs
from lra.store.row import Row

MEASURED, YOURS, PUBLISHED, SUBMITTED = "measured", "yours", "published", "submitted"
WITHDRAWN = "withdrawn"
PAGE = ROOT / "results" / "board" / "leaderboard.html"


def measured(chosen: list[Row], page: Path = PAGE) -> list[dict]:
    """Returns a line for each configuration, whose seeds are in its provenance, and the trivial
    rules of the data. page: the file that will hold them, from which links count."""
    certified = certificate.passed()
    arena = entries(row for row in chosen if not concerns(row))
    others = entries((row for row in chosen if concerns(row)), told=TOLD)
    grouped = [*arena.items(), *others.items()]
    data = defaultdict(set)
    for key, _ in grouped:
        data[key.task, key.variant].add(key.fingerprint)
    lines = []
    for key, models in grouped:
        variant, metric = key.variant, models[0].metric
        if len(data[key.task, variant]) > 1:  # lines on different data do not compare
            variant = f"{variant} (data {key.fingerprint})"
        about = {"task": key.task, "variant": variant, "protocol": key.protocol}
        about |= {"metric": metric.heading}
        for entry, rivals in zip(models, against(models), strict=True):
            line = _measured(entry, certified) | about
            line["provenance"] |= {"links": links(entry.rows, page), "against": rivals}
            lines.append(line)
        rows = [row for entry in models for row in entry.rows]
        rules = {name: values["test"] for name, values in runs.baselines(rows).items()}
        lines += [_rule(name, value, metric) | about for name, value in rules.items()]
    return lines


def against(models: list[Entry]) -> list[dict[str, float]]:
    """Returns for each line of one table the p-value of its difference from each other, by name
    (statistics.py). Empty where predictions are not stored."""
    values = [[runs.values(row) for row in entry.rows] for entry in models]
    known = {i: np.array(seeds) for i, seeds in enumerate(values) if not _unknown(seeds)}
    found: list[dict[str, float]] = [{} for _ in models]
    for i, j in combinations(known, 2):
        if known[i].shape[1] == known[j].shape[1]:  # scored on the same examples
            p = float(f"{p_value(known[i], known[j]):.3g}")
            found[i][models[j].name] = found[j][models[i].name] = p
    return found


def _unknown(seeds: list) -> bool:
    return any(each is None for each in seeds) or len({len(each) for each in seeds}) > 1


def links(rows: list[Row], page: Path) -> list[list[str]]:
    """Returns (text, address) of a line's papers, code and rows; files count from the page, and
    all but the papers need the checkout."""
    first, home = rows[0], page.resolve().parent
    found = [[f"paper: {paper.key}", paper.url] for paper in papers(first.model, first.filter)]
    files = {"model": config.CONF / "model" / f"{first.model}.yaml"}
    if files["model"].exists() and first.config["model"].get("block"):
        files["code"] = ROOT / "models" / f"{certificate.mechanism(first.model)}.py"
    files |= {f"row of seed {row.seed}": row.path for row in rows if row.path}
    for text, file in files.items():
        if file.exists():
            found.append([text, Path(os.path.relpath(file.resolve(), home)).as_posix()])
    return found


def confusion(row: Row) -> list[list[int]] | None:
    """Returns how often each class (a line) was taken for each class (a column); None where the
    predictions are not classes, or not stored."""
    if row.root is None:
        return None
    predicted, true = runs.predictions(row), runs.targets(row.root, row.fingerprint)
    if not isinstance(predicted, np.ndarray) or true is None or predicted.dtype.kind not in "iu":
        return None
    classes = 1 + int(max(predicted.max(), true.max()))
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (true[: len(predicted)].astype(int), predicted.astype(int)), 1)
    return counts.tolist()


def grids(lines: list[dict]) -> list[dict]:
    """Returns the table that people know for each protocol: a line for each model, a column for
    each data set of the arena, and the mean where none is missing and no task has two columns."""
    arena = {task: config.title(task) for task in config.tasks()}
    found = []
    known = [line for line in lines if line["task"] in arena and line["seeds"]]
    for protocol in sorted({line["protocol"] for line in known}):
        cells: dict[str, dict[tuple[str, str], dict]] = defaultdict(dict)
        for line in known:
            if line["protocol"] == protocol:
                cells[line["model"]][line["task"], line["variant"]] = line
        order = list(arena)
        columns = sorted(
            {c for of in cells.values() for c in of}, key=lambda c: (order.index(c[0]), c)
        )
        wanted = set(config.tasks(in_mean=True))
        rows = []
        for model, of in cells.items():
            tasks = [task for task, _ in of]
            whole = wanted <= set(tasks) and len(tasks) == len(set(tasks))
            scores = [line["score"] for (task, _), line in of.items() if task in wanted]
            average = sum(scores) / len(scores) if whole else None
            rows.append(
                {
                    "model": model,
                    "cells": [of.get(column) for column in columns],
                    "mean": average,
                    "missing": ", ".join(
                        arena[task] for task in arena if task in wanted - set(tasks)
                    ),
                    "n": len(of),
                }
            )
        rows.sort(key=lambda r: (-(r["mean"] or 0), -r["n"], r["model"]))
        headings = [[arena[task], variant] for task, variant in columns]
        found.append({"protocol": protocol, "columns": headings, "rows": rows})
    return sorted(found, key=lambda grid: -sum(row["n"] for row in grid["rows"]))


def _rule(name: str, value: float, metric: Metric) -> dict:
    return _plain(
        model=f"[{name}]",
        score=metric.scale * value,
        shown=metric.text(value),
        order=metric.order(value),
        origin="trivial rule",
        badges=[],
        provenance={"facts": [["what", "a rule that learns nothing of the sequence"]]},
    )


def _measured(entry: Entry, certified: set[str]) -> dict:
    first, scale = entry.first, entry.metric.scale
    low, high = entry.interval
    return {
        "rank": entry.rank,
        "model": f"{entry.name}, {setting(first)}" if concerns(first) else entry.name,
        "score": scale * entry.mean,
        "shown": entry.metric.text(entry.mean),
        "interval": f"{entry.metric.text(low)}-{entry.metric.text(high)}",
        "order": entry.metric.order(entry.mean),
        "low": scale * low,
        "high": scale * high,
        "seeds": len(entry.rows),
        "parameters": first.parameters,
        "speed": entry.measured(lambda row: row.speed.train_examples_per_second),
        "memory": entry.measured(lambda row: row.memory.peak_bytes / 1e6 if row.memory else None),
        "device": "; ".join(entry.devices),
        "origin": SUBMITTED if first.origin else YOURS if first.yours else MEASURED,
        "matched": _matched(first),
        "badges": _badges(entry, certified),
        "sizes": list(sizes(first.config)),
        "provenance": provenance(entry.rows),
    }


def withdrawn(every: list[Row], page: Path = PAGE) -> list[dict]:
    """Returns a line for each row that was withdrawn: the score that it had, in no rank."""
    lines = []
    for row in every:
        if (gone := row.withdrawn) and row.test:
            metric, score = row.headline, row.test_score
            about = provenance([row])
            about["facts"].insert(0, ["withdrawn", f"{gone.when}, by {gone.by}: {gone.why}"])
            about["links"] = links([row], page)
            lines.append(
                _plain(
                    model=row.label,
                    task=row.task,
                    variant=row.variant,
                    protocol=row.protocol,
                    metric=metric.heading,
                    score=None,
                    shown=metric.text(score.value),
                    order=metric.order(score.value),
                    origin=WITHDRAWN,
                    badges=["withdrawn"],
                    provenance=about,
                )
            )
    return lines


def figures() -> list[dict]:
    """Returns a line for each published figure."""
    lines = []
    for figure in published.accuracy().itertuples():
        badges = [] if figure.status == "read" else [figure.status]
        badges = ["unverified" if badge == published.RECALLED else badge for badge in badges]
        lines.append(
            _plain(
                model=figure.method,
                task=figure.task,
                variant="as published",
                protocol=figure.publication,
                metric=published.METRIC.heading,
                score=None if figure.failed else figure.accuracy,
                shown=None if figure.failed else f"{figure.accuracy:.2f}",
                order=1.0 if figure.failed else -figure.accuracy / 100,
                origin=PUBLISHED,
                badges=badges + (["failed: chance"] if figure.failed else []),
                provenance={
                    "facts": [
                        ["source", figure.source],
                        ["year", str(figure.year)],
                        ["read in", figure.locator],
                        ["status", figure.status],
                    ]
                },
            )
        )
    return lines


EMPTY = dict.fromkeys(
    [
        "rank",
        "low",
        "high",
        "interval",
        "seeds",
        "parameters",
        "speed",
        "memory",
        "device",
        "matched",
        "sizes",
    ]
)


def _plain(**values) -> dict:
    return EMPTY | values


def _matched(row: Row) -> str | None:
    if row.extra_size is None:  # rows older than the field
        return None
    return "no" if not_size_matched(row) else "yes"


def _badges(entry: Entry, certified: set[str]) -> list[str]:
    first = entry.first
    badges = []
    if first.extra_size is not None:
        off = not_size_matched(first)
        badges.append(f"{first.extra_size:+.0%} parameters" if off else "size-matched")
    if "N^2" in (first.cost, claimed_cost(first), config.cost(first.model)):
        badges.append("dense")
    if first.model in certified:
        badges.append("certificate")
    if entry.at_chance:
        badges.append("at chance")
    if entry.learned_nothing:
        badges.append("learned nothing")
    if first.modified and not belongs(first):
        badges.append("modified")
    if first.trials:
        badges.append(f"chosen by {first.trials} trials")
    if first.origin:
        badges.append("submitted")
    return badges


def provenance(group: list[Row]) -> dict:
    """Returns where a line comes from: facts, seeds with their commands and curves, settings."""
    first = group[0]
    commits = sorted({(row.commit or "-") + (" and changes" if row.dirty else "") for row in group})
    facts = [
        ["data", f"{first.task}/{first.variant}, fingerprint {first.fingerprint}"],
        ["protocol", first.protocol],
        ["preset", first.preset_source or "shared setting"],
        ["budget", first.budget_source or "-"],
        ["commit", ", ".join(commits)],
        ["device", device(first)],
        ["versions", f"Python {first.environment['python']}, torch {first.environment['torch']}"],
        ["selected", f"{first.select}; steps {_steps(group)}"],
    ]
    facts += [
        ["modified", f"{key}: {ours} instead of {theirs}"]
        for key, (theirs, ours) in first.modified.items()
    ]
    facts += [["from", first.origin]] if first.origin else []
    facts += [["warning", text] for text in dict.fromkeys(t for row in group for t in row.warnings)]
    seeds = []
    for row in group:
        curve = runs.read_curve(row)
        test, val = row.test_score, row.val_score
        seeds.append(
            {
                "seed": row.seed,
                "test": f"{_with_unit(row.headline, test)} ({row.headline.counted(test)})",
                "val": _with_unit(row.selection, val),
                "row": f"{row.task}/{row.label}/{row.name}.json",
                "command": row.command,
                "metric": row.selection.heading,
                "confusion": confusion(row) if row is first else None,
                "curve": [] if curve is None else _scaled(curve, row.selection),
            }
        )
    settings = {key: str(value) for key, value in sorted(flatten(first.config).items())}
    cite = [paper.bibtex for paper in papers(first.model, first.filter)]
    return {"facts": facts, "seeds": seeds, "config": settings, "cite": cite}


def _scaled(curve: pd.DataFrame, metric: Metric) -> list[list[float]]:
    """Returns the points of a curve, the val metric as it is shown."""
    return curve.assign(val=metric.scale * curve.val).round(5).values.tolist()


def _with_unit(metric: Metric, score: Score) -> str:
    return metric.text(score.value) + (" %" if metric.share else "")


def _steps(group: list[Row]) -> str:
    return ", ".join(f"{row.selected_step} of {row.last_step}" for row in group)


def charts(lines: list[dict], measurements: list[Measurement]) -> dict:
    """Returns the values of the charts. trade_off: by protocol and task, points (model, speed,
    score, memory); lengths: by phase and quantity, a line for each model.

    Speed and memory in trade_off are the lab's, at its longest length.
    """
    found = benches(measurements)
    if not found:
        return {"trade_off": {}, "lengths": {}, "conditions": ""}
    bench = largest(found)
    points = defaultdict(list)
    for line in lines:
        cell = bench.at_longest(measured_as(line["model"]), tuple(line["sizes"] or ()))
        seconds = cell and cell.seconds("training")
        if line["origin"] in (MEASURED, YOURS) and seconds and cell.bytes("training"):
            of = "" if line["metric"] == published.METRIC.heading else f" · {line['metric']}"
            points[f"{line['protocol']} · {line['task']}/{line['variant']}{of}"].append(
                {
                    "model": line["model"],
                    "style": style(line["model"]),
                    "line": [line["task"], line["variant"], line["protocol"]],
                    "speed": cell.first.batch_size / seconds,
                    "score": line["score"],
                    "metric": line["metric"],
                    "error": [line["high"] - line["score"], line["score"] - line["low"]],
                    "memory": cell.bytes("training") / 1e6,
                }
            )
    return {
        "trade_off": {key: value for key, value in sorted(points.items()) if len(value) > 1},
        "lengths": {
            "training: ms a step": _series(bench, "training", "seconds", 1000),
            "training: peak memory, MB": _series(bench, "training", "bytes", 1e-6),
            "inference: ms a step": _series(bench, "inference", "seconds", 1000),
            "inference: peak memory, MB": _series(bench, "inference", "bytes", 1e-6),
        },
        "longest": bench.longest,
        "conditions": bench.conditions,
    }


def _series(bench: Bench, phase: str, what: str, scale: float) -> list[dict]:
    series = []
    for model in bench.models:
        points = [
            [n, scale * value]
            for n in bench.lengths
            if (cell := bench.cells.get((model, n)))
            and (value := getattr(cell, what)(phase)) is not None
        ]
        growth = bench.growth(model, phase, what)
        fitted = "" if growth is None else f" (N^{growth:.2f})"
        look = style(BASELINE if model == EXPLICIT else model)
        series.append(
            {"model": model, "name": name_of(model) + fitted, "points": points, "style": look}
        )
    return series
