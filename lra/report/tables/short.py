"""The short table at the top of the README: the models' accuracy on several tasks, and their speed
and memory at the longest length that was measured."""

from pathlib import Path

import pandas as pd

from lra import config
from lra.efficiency.records import Measurement
from lra.efficiency.report import BASELINE, benches, largest
from lra.files import replacing
from lra.report.groups import measured_as
from lra.report.papers import Ours, complete, most_complete
from lra.report.tables.table import Document, Table
from lra.store.row import Row

START, END = "<!-- python -m lra.tables: -->\n", "<!-- :python -m lra.tables -->\n"


def table(chosen: list[Row], measurements: list[Measurement]) -> str:
    """Returns the table as Markdown; without rows, nothing."""
    if not chosen:
        return ""
    ours = Ours(chosen, most_complete(chosen))
    tasks, models = complete(ours)
    found = benches(measurements)
    bench = largest(found)
    lines = []
    for model in models:
        scores = [ours.percent(model, task) for task in tasks]
        line = {"model": model}
        for task, score in zip(tasks, scores, strict=True):
            low, high = ours.interval(model, task)
            line[f"{config.title(task)} %"] = f"{score:.1f} ({low:.1f}-{high:.1f})"
        mean = sum(scores) / len(scores)
        line["mean %"] = f"{mean:.1f}"
        if bench:
            n = bench.longest
            lab = measured_as(model)
            same = bench.at_longest(lab, *ours.sizes(model, tasks))
            speed = bench.speedup(lab, n, "training", BASELINE) if same else None
            memory = bench.memory_ratio(lab, n, "training", BASELINE) if same else None
            line[f"speed at {n:,}"] = "-" if speed is None else f"{speed:.2f}"
            line[f"memory at {n:,}"] = "-" if memory is None else f"{memory:.2f}"
        lines.append((-mean, model, line))
    if not lines:
        return ""
    for rule in sorted({rule for task in tasks for rule in ours.baselines(task)}):
        known = {task: ours.baselines(task)[rule] for task in tasks if rule in ours.baselines(task)}
        line = {"model": f"[{rule}]"} | dict.fromkeys(lines[0][2].keys() - {"model"}, "-")
        line |= {f"{config.title(task)} %": f"{score:.1f}" for task, score in known.items()}
        whole = len(known) == len(tasks)
        mean = sum(known.values()) / len(known) if whole else -1.0
        line["mean %"] = f"{mean:.1f}" if whole else "-"
        lines.append((-mean, rule, line))
    columns = list(lines[0][2])
    ordered = [line for *_, line in sorted(lines, key=lambda entry: entry[:2])]
    frame = pd.DataFrame(ordered, columns=columns)
    text = Document("short", [Table("", frame)]).markdown()
    return text[text.index("| model") :].rstrip("\n") + "\n"


def put(text: str, readme: Path) -> bool:
    """Puts the text between the two marks of the README; False where it has none."""
    content = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if START not in content or END not in content:
        return False
    before, rest = content.split(START, 1)
    after = rest.split(END, 1)[1]
    with replacing(readme) as temporary:
        temporary.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")
    return True
