"""What the page shows, as plain values: lines of the table, their provenance, and the charts."""

from collections import defaultdict
from pathlib import Path
from statistics import mean

from lra import check, config, published, rows
from lra.config import flatten
from lra.efficiency.records import Measurement
from lra.efficiency.report import Bench, benches, largest, sizes
from lra.rows import Row
from lra.statistics import interval
from lra.tables import accuracy
from lra.tables.efficiency import name_of

MEASURED, PUBLISHED, SUBMITTED = "measured", "published", "submitted"


def measured(chosen: list[Row], root: Path) -> list[dict]:
    """A line for each configuration; the seeds that are joined in it stand in its provenance."""
    certified = check.passed(root / "certificate.md")
    grouped = accuracy.entries(chosen, root)
    data = {(task, variant): set() for task, variant, *_ in grouped}
    for task, variant, fingerprint, _ in grouped:
        data[task, variant].add(fingerprint)
    lines = []
    for (task, variant, fingerprint, protocol), models in grouped.items():
        if len(data[task, variant]) > 1:  # lines on two data sets do not compare
            variant = f"{variant} (data {fingerprint})"
        for entry in models:
            first = entry.rows[0]
            devices = sorted({accuracy.device(row) for row in entry.rows})
            alike = entry.rows if len(devices) == 1 else []  # no machine has two's mean speed
            scores = [row.test.accuracy for row in entry.rows]
            low, high = interval(scores, first.test.n)
            lines.append(
                {
                    "rank": entry.rank,
                    "model": entry.name,
                    "task": task,
                    "variant": variant,
                    "protocol": protocol,
                    "accuracy": 100 * mean(scores),
                    "low": 100 * low,
                    "high": 100 * high,
                    "seeds": len(entry.rows),
                    "parameters": first.parameters,
                    "speed": accuracy.average(row.speed.train_examples_per_second for row in alike),
                    "memory": accuracy.average(
                        row.memory and row.memory.peak_bytes / 1e6 for row in alike
                    ),
                    "device": "; ".join(devices),
                    "origin": SUBMITTED if first.origin else MEASURED,
                    "matched": _matched(first),
                    "badges": _badges(entry.rows, certified),
                    "sizes": list(sizes(first.config)),
                    "provenance": provenance(entry.rows, root),
                }
            )
        lines += [
            _plain(
                model=f"[{name}]",
                task=task,
                variant=variant,
                protocol=protocol,
                accuracy=100 * values["test"],
                origin="trivial rule",
                badges=[],
                provenance={"facts": [["what", "a rule that learns nothing of the sequence"]]},
            )
            for name, values in rows.baselines([r for e in models for r in e.rows]).items()
        ]
    return lines


def figures() -> list[dict]:
    """The published ones."""
    lines = []
    for figure in published.accuracy().itertuples():
        badges = [] if figure.status == "read" else [figure.status]
        badges = ["unverified" if badge == published.RECALLED else badge for badge in badges]
        lines.append(
            _plain(
                model=figure.method,
                task=figure.task,
                variant="as published",
                protocol=figure.source.split(" (")[0].split(", LRA")[0],
                accuracy=None if figure.failed else figure.accuracy,
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
    ["rank", "low", "high", "seeds", "parameters", "speed", "memory", "device", "matched", "sizes"]
)


def _plain(**values) -> dict:
    return EMPTY | values


def _matched(row: Row) -> str | None:
    if row.extra_size is None:  # rows older than the field
        return None
    return "no" if accuracy.not_size_matched(row) else "yes"


def _badges(group: list[Row], certified: set[str]) -> list[str]:
    first = group[0]
    badges = []
    if first.extra_size is not None:
        off = accuracy.not_size_matched(first)
        badges.append(f"{first.extra_size:+.0%} parameters" if off else "size-matched")
    if first.cost == "N^2" or config.cost(first.model) == "N^2":
        badges.append("dense")
    if first.model.rpartition("+")[2] in certified:
        badges.append("certificate")
    if all(row.at_chance for row in group):
        badges.append("at chance")
    if first.modified:
        badges.append("modified")
    if first.trials:
        badges.append(f"chosen by {first.trials} trials")
    if first.origin:
        badges.append("submitted")
    return badges


def provenance(group: list[Row], root: Path) -> dict:
    first = group[0]
    commits = sorted({(row.commit or "-") + (" and changes" if row.dirty else "") for row in group})
    facts = [
        ["data", f"{first.task}/{first.variant}, fingerprint {first.fingerprint}"],
        ["protocol", first.protocol],
        ["preset", first.preset_source or "shared setting"],
        ["schedule", first.schedule_source or "-"],
        ["commit", ", ".join(commits)],
        ["device", accuracy.device(first)],
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
        curve = rows.read_curve(root, row)
        seeds.append(
            {
                "seed": row.seed,
                "test": f"{100 * row.test.accuracy:.2f} % ({row.test.correct:,} of {row.test.n:,})",
                "val": f"{100 * row.val.accuracy:.2f} %",
                "row": f"{row.task}/{row.model}/{row.name}.json",
                "command": row.command,
                "curve": [] if curve is None else curve.round(5).values.tolist(),
            }
        )
    settings = {key: str(value) for key, value in sorted(flatten(first.config).items())}
    return {"facts": facts, "seeds": seeds, "config": settings}


def _steps(group: list[Row]) -> str:
    return ", ".join(f"{row.selected_step} of {row.last_step}" for row in group)


def charts(lines: list[dict], measurements: list[Measurement]) -> dict:
    """trade_off: by protocol and task, points (model, speed, accuracy, memory); lengths: by phase
    and quantity, a line for each model. Speed and memory are the lab's, at its longest length."""
    found = benches(measurements)
    if not found:
        return {"trade_off": {}, "lengths": {}, "conditions": ""}
    bench = largest(found)
    points = defaultdict(list)
    for line in lines:
        cell = bench.at_longest(line["model"], tuple(line["sizes"] or ()))
        seconds = cell and cell.seconds("training")
        if line["origin"] == MEASURED and seconds and cell.bytes("training"):
            points[f"{line['protocol']} · {line['task']}/{line['variant']}"].append(
                {
                    "model": line["model"],
                    "speed": cell.first.batch_size / seconds,
                    "accuracy": line["accuracy"],
                    "error": [line["high"] - line["accuracy"], line["accuracy"] - line["low"]],
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
        series.append({"name": name_of(model) + fitted, "points": points})
    return series
