"""The papers' tables, regenerated: accuracy by method and task, published beside ours.

Ours of each protocol is a table of its own, so that no two protocols share a column, and a column
is of one variant and one data set. A mean names the tasks it is of; what is missing is a dash and
enters none.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean

import pandas as pd
from omegaconf import OmegaConf

from lra import config, published, rows
from lra.efficiency.report import sizes
from lra.rows import Row
from lra.statistics import interval
from lra.tables.accuracy import settings
from lra.tables.table import Document, Table

TASKS = {
    "listops": "ListOps",
    "text": "Text",
    "retrieval": "Retrieval",
    "image": "Image",
    "pathfinder": "Pathfinder",
}
PATHX = {"pathx": "Path-X"}  # shown where a paper has it, and in no mean, as in LRA's own


@dataclass(frozen=True)
class Paper:
    """code: the repository in which its settings stand."""

    title: str
    code: str

    def followed_by(self, row: Row) -> bool:
        """Whether sizes and schedule of the row are the paper's: its preset's source begins with
        the repository, or its schedule's with `somebody's code (repository`. A schedule of which a
        part alone is the paper's says first which part (conf/schedule/)."""
        if row.preset_source:
            return row.preset_source.startswith(self.code)
        whose, _, said = (row.schedule_source or "").partition("(")
        return said.startswith(self.code) and ":" not in whose


PAPERS = {
    "lra": Paper(
        "Long Range Arena, Table 1 (Tay et al. 2021, arXiv 2011.04006)",
        "google-research/long-range-arena",
    ),
    "fourier": Paper(
        "Fourier Transformer, LRA table (He et al. 2023, arXiv 2305.15099)",
        "LUMIA-Group/FourierTransformer",
    ),
    "skyformer": Paper(
        "Skyformer, Table 1 (Chen et al. 2021, arXiv 2111.00035)", "pkuzengqi/Skyformer"
    ),
    "nystromformer": Paper(
        "Nystromformer, LRA table (Xiong et al. 2021, arXiv 2102.03902)", "mlpen/Nystromformer"
    ),
}


@lru_cache
def usual_variant(task: str, protocol: str, model: str) -> str:
    """What `task=... protocol=... model=...` alone would use; models that are gone: the task's."""
    if model in config.models():
        chosen = [f"task={task}", f"protocol={protocol}", f"model={model}"]
        return config.compose(chosen).task.variant
    return OmegaConf.load(config.CONF / f"task/{task}.yaml").variant


class Ours:
    """Of one protocol: the seeds of each (model, task). Of each task one variant, that of most
    models, on the data and in the setting that were measured last."""

    def __init__(self, chosen: list[Row], protocol: str):
        usual = [
            row
            for row in sorted(chosen, key=lambda row: row.finished)
            if row.protocol == protocol
            and row.task in TASKS | PATHX
            and not row.modified
            and row.origin is None
            and row.variant == usual_variant(row.task, protocol, row.model)
        ]
        having = Counter({(row.task, row.variant, row.model) for row in usual})
        models = Counter((task, variant) for task, variant, _ in having)
        variant = {task: v for (task, v), _ in sorted(models.items(), key=lambda p: (p[1], p[0]))}
        usual = [row for row in usual if row.variant == variant[row.task]]
        data = {row.task: row.fingerprint for row in usual}
        current = {(row.model, row.task): settings(row) for row in usual}
        self.rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in usual:
            key = row.model, row.task
            if row.fingerprint == data[row.task] and settings(row) == current[key]:
                self.rows[key].append(row)

    def sizes(self, model: str, tasks: list[str]) -> set[tuple]:
        return {sizes(row.config) for task in tasks for row in self.rows[model, task]}

    def accuracies(self, model: str, task: str) -> list[float]:
        return [row.test.accuracy for row in self.rows.get((model, task), [])]

    def percent(self, model: str, task: str) -> float | None:
        known = self.accuracies(model, task)
        return 100 * mean(known) if known else None

    def interval(self, model: str, task: str) -> tuple[float, float] | None:
        seeds = self.rows.get((model, task))
        if not seeds:
            return None
        low, high = interval([row.test.accuracy for row in seeds], seeds[0].test.n)
        return 100 * low, 100 * high

    def baselines(self, task: str) -> dict[str, float]:
        found = [row for (_, other), seeds in self.rows.items() if other == task for row in seeds]
        return {name: 100 * values["test"] for name, values in rows.baselines(found).items()}

    def variants(self) -> list[str]:
        return sorted(
            {
                f"{row.task}/{row.variant} (data {row.fingerprint[:8]})"
                for seeds in self.rows.values()
                for row in seeds
            }
        )


def _mean(values: dict[str, float | None]) -> tuple[str, float | None]:
    """39.55 (of L, T, I): the first letters of the tasks."""
    known = {task: value for task in TASKS if (value := values.get(task)) is not None}
    if not known:
        return "-", None
    letters = "" if len(known) == len(TASKS) else f" (of {_letters(known)})"
    return f"{mean(known.values()):.2f}{letters}", mean(known.values())


def _letters(tasks) -> str:
    return ", ".join(TASKS[task][0] for task in TASKS if task in tasks)


def table(name: str, figures: pd.DataFrame, ours: Ours, protocol: str) -> Table:
    """Three lines a method: published, ours, difference. The last two only where we have any."""
    paper = PAPERS[name]
    tasks = TASKS | (PATHX if (figures.task == "pathx").any() else {})
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
        add(method, "published", texts, _mean(known)[0], marks)
        model = group.model.iloc[0]
        scores = {task: ours.percent(model, task) for task in tasks}
        differences, outside, cells, follows = {}, {}, {}, []
        for task in tasks:
            if scores[task] is not None:
                low, high = ours.interval(model, task)
                seeds = len(ours.accuracies(model, task))
                cells[task] = f"{scores[task]:.2f} [{low:.2f}, {high:.2f}], n={seeds}"
                if known.get(task) is not None:
                    differences[task] = scores[task] - known[task]
                    follows.append(all(map(paper.followed_by, ours.rows[model, task])))
                    if follows[-1] and not low <= known[task] <= high:
                        outside[task] = "outside"
            numbers = _long(method, model, task, theirs.get(task), ours, protocol)
            long.append(numbers | {"outside": task in outside})
        if cells:
            add("", f"ours ({protocol})", cells, _mean(scores)[0], {})
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
        add(f"[{rule}]", "trivial", texts, _mean(accuracies)[0], {})
    columns = ["method", "", *tasks.values(), "mean"]
    return Table(
        f"{paper.title}, ours: protocol {protocol}",
        pd.DataFrame(lines, columns=columns),
        pd.DataFrame(styles, columns=columns),
        pd.DataFrame(long),
    )


def _signed(differences: dict[str, float]) -> str:
    text, value = _mean(differences)
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
        "seeds": len(ours.accuracies(model, task)),
        "published": theirs,
        "difference": None if None in (own, theirs) else own - theirs,
        "status": "" if figure is None else figure.status,
        "source": "" if figure is None else figure.source,
        "locator": "" if figure is None else figure.locator,
    }


def document(chosen: list[Row], verified_only: bool = False) -> Document:
    figures = published.accuracy(verified_only)
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
        "the published figure lies outside the interval (said only where sizes and schedule are "
        "that paper's; else the difference is one of protocol, too)",
        "italics: from memory, not checked against the paper (verified_only=true leaves them out); "
        "sources and locators: papers.csv",
        f"a mean without tasks beside it is of all five; {', '.join(TASKS.values())} by their "
        "first letters; Path-X is in no mean",
    ]
    return Document("papers", tables, list(dict.fromkeys(notes)))
