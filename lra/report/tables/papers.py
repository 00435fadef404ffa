"""The papers' tables, regenerated: accuracy by method and task, published beside ours.

Ours of each protocol is a table of its own, so that no two protocols share a column.
"""

from collections import defaultdict

import pandas as pd

from lra import config
from lra.report import published
from lra.report.papers import PAPERS, Ours, mean_of
from lra.report.tables.table import Document, Table
from lra.store.row import Row


def table(name: str, figures: pd.DataFrame, ours: Ours, protocol: str) -> Table:
    """Returns three lines a method: published, ours, difference. The last two only where we have
    any. A task outside the mean has a column where the paper has it."""
    paper = PAPERS[name]
    in_mean = config.tasks(in_mean=True)
    tasks = {
        task: config.title(task)
        for task in config.tasks()
        if task in in_mean or (figures.task == task).any()
    }
    lines, styles, long = [], [], []

    def add(method: str, which: str, cells: dict[str, str], mean_: str, style: dict[str, str]):
        texts = {tasks[task]: cells.get(task, "-") for task in tasks}
        lines.append({"method": method, "": which, **texts, "mean": mean_})
        marks = {tasks[task]: style.get(task, "") for task in tasks}
        styles.append({"method": "", "": "", **marks, "mean": style.get("mean", "")})

    for method, group in figures.groupby("method", sort=False):
        theirs = {f.task: f for f in group.itertuples() if f.task in tasks}
        known = {task: None if f.failed else f.accuracy for task, f in theirs.items()}
        recalled = {t: published.RECALLED for t, f in theirs.items() if f.status == "recalled"}
        texts = {t: "FAIL" if f.failed else f"{f.accuracy:.2f}" for t, f in theirs.items()}
        marks = recalled | ({"mean": published.RECALLED} if recalled else {})
        add(method, "published", texts, mean_of(known)[0], marks)
        model = group.model.iloc[0]
        scores = {task: ours.percent(model, task) for task in tasks}
        differences, outside, cells, follows = {}, {}, {}, []
        for task in tasks:
            if scores[task] is not None:
                low, high = ours.interval(model, task)
                seeds = len(ours.seeds(model, task))
                cells[task] = f"{scores[task]:.2f} [{low:.2f}, {high:.2f}], n={seeds}"
                if known.get(task) is not None:
                    differences[task] = scores[task] - known[task]
                    follows.append(all(map(paper.followed_by, ours.rows[model, task])))
                    if follows[-1] and not low <= known[task] <= high:
                        outside[task] = "outside"
            numbers = _long(method, model, task, theirs.get(task), ours, protocol)
            long.append(numbers | {"outside": task in outside})
        if cells:
            add("", f"ours ({protocol})", cells, mean_of(scores)[0], {})
            text = {task: f"{value:+.2f}" for task, value in differences.items()}
            which = "difference" if all(follows) else "difference, of protocol too"
            add("", which, text, _signed(differences), outside)
    trivial: dict[str, dict[str, float]] = defaultdict(dict)
    for task in tasks:
        for rule, accuracy in ours.baselines(task).items():
            trivial[rule][task] = accuracy
            long.append({"method": f"[{rule}]", "task": task, "ours": accuracy})
    for rule, accuracies in sorted(trivial.items()):
        texts = {task: f"{accuracy:.2f}" for task, accuracy in accuracies.items()}
        add(f"[{rule}]", "trivial", texts, mean_of(accuracies)[0], {})
    columns = ["method", "", *tasks.values(), "mean"]
    return Table(
        f"{paper.title}, ours: protocol {protocol}",
        pd.DataFrame(lines, columns=columns),
        pd.DataFrame(styles, columns=columns),
        pd.DataFrame(long),
        ["method", "", "mean", *tasks.values()],
    )


def _signed(differences: dict[str, float]) -> str:
    text, value = mean_of(differences)
    return text if value is None else f"{'+' if value >= 0 else ''}{text}"


def _long(method: str, model: str, task: str, figure, ours: Ours, protocol: str) -> dict:
    low, high = ours.interval(model, task) or (None, None)
    theirs = None if figure is None or figure.failed else figure.accuracy
    own = ours.percent(model, task)
    return {
        "method": method,
        "model": model,
        "task": task,
        "protocol": protocol,
        "ours": own,
        "low": low,
        "high": high,
        "seeds": len(ours.seeds(model, task)),
        "published": theirs,
        "difference": None if None in (own, theirs) else own - theirs,
        "status": "" if figure is None else figure.status,
        "source": "" if figure is None else figure.source,
        "locator": "" if figure is None else figure.locator,
    }


def document(chosen: list[Row], verified_only: bool = False) -> Document:
    figures = published.accuracy(verified_only)
    names = [config.title(task) for task in config.tasks(in_mean=True)]
    tables, notes = [], []
    for protocol in sorted({row.protocol for row in chosen if not row.modified}):
        for name, paper in PAPERS.items():
            theirs = figures[figures.table == name]
            if theirs.empty:
                notes.append(f"{paper.title}: no figure is verified")
                continue
            # under protocol=paper each model has its own paper's setting: those of this one
            ours = Ours(
                [r for r in chosen if not r.preset_source or paper.followed_by(r)], protocol
            )
            if {model for model, _ in ours.rows} & set(theirs.model):
                tables.append(table(name, theirs, ours, protocol))
                of = f" of {paper.title}" if protocol == "paper" else ""
                notes.append(f"protocol {protocol}{of}, ours: {'; '.join(ours.variants())}")
    notes += [
        "ours: mean of the seeds with its 95 % interval and their number; a difference in bold: "
        "the published figure lies outside the interval (said only where sizes and budget are "
        "that paper's; else the difference is one of protocol, too)",
        "italics: from memory, not checked against the paper (verified_only=true leaves them out); "
        "sources and locators: papers.csv",
        f"a mean without tasks beside it is of all five; {', '.join(names)} by their "
        "first letters; Path-X is in no mean",
    ]
    return Document("papers", tables, list(dict.fromkeys(notes)))
