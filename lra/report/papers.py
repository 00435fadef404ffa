"""The papers whose accuracy tables are regenerated, and our rows in the shape of those tables.

A column is of one variant and one data set; missing cells are dashes and enter no mean.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from statistics import mean

from lra import config
from lra.efficiency.report import sizes
from lra.report.groups import shown
from lra.report.published import METRIC
from lra.report.statistics import interval
from lra.store import runs
from lra.store.row import Row


@dataclass(frozen=True)
class Paper:
    """A paper with an accuracy table. code: the repository that holds the paper's settings."""

    title: str
    code: str

    def followed_by(self, row: Row) -> bool:
        """Returns whether sizes and budget of the row are the paper's."""
        return row.follows == self.code


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
    # in Nystromformer's setting of 2 layers
    "flashattention": Paper(
        "FlashAttention, Table 3 (Dao et al. 2022, arXiv 2205.14135)", "mlpen/Nystromformer"
    ),
}


class Ours:
    """Our rows of one protocol: the seeds of each (model as shown, task). Each task has one
    variant, the one of most models, on the data and in the setting that were measured last."""

    def __init__(self, chosen: Iterable[Row], protocol: str):
        usual = [
            row
            for row in sorted(chosen, key=lambda row: row.finished)
            if row.protocol == protocol
            and row.task in config.tasks()
            and row.objective == config.task_objective(row.task)
            and row.headline == METRIC
            and not row.modified
            and row.origin is None
            and row.variant == config.usual_variant(row.task, protocol, row.model)
        ]
        having = Counter({(row.task, row.variant, shown(row)) for row in usual})
        models = Counter((task, variant) for task, variant, _ in having)
        variant = {task: v for (task, v), _ in sorted(models.items(), key=lambda p: (p[1], p[0]))}
        usual = [row for row in usual if row.variant == variant[row.task]]
        data = {row.task: row.fingerprint for row in usual}
        current = {(shown(row), row.task): row.setting for row in usual}
        self.rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in usual:
            key = shown(row), row.task
            if row.fingerprint == data[row.task] and row.setting == current[key]:
                self.rows[key].append(row)

    def sizes(self, model: str, tasks: Iterable[str]) -> set[tuple]:
        """Returns the sizes with which the model was trained on these tasks."""
        return {sizes(row.config) for task in tasks for row in self.rows[model, task]}

    def seeds(self, model: str, task: str) -> list[Row]:
        """Returns the rows of a cell of the table, a row a seed."""
        return self.rows.get((model, task), [])

    def percent(self, model: str, task: str) -> float | None:
        """Returns the mean over the seeds in percent."""
        known = [row.test_score.value for row in self.seeds(model, task)]
        return 100 * mean(known) if known else None

    def interval(self, model: str, task: str) -> tuple[float, float] | None:
        """Returns the 95 % interval of the mean in percent."""
        seeds = self.seeds(model, task)
        if not seeds:
            return None
        low, high = interval([row.test_score for row in seeds], METRIC)
        return 100 * low, 100 * high

    def baselines(self, task: str) -> dict[str, float]:
        """Returns the trivial rules' scores in percent."""
        found = [row for (_, other), seeds in self.rows.items() if other == task for row in seeds]
        return {name: 100 * values["test"] for name, values in runs.baselines(found).items()}

    def variants(self) -> list[str]:
        """Returns which data the columns are of."""
        return sorted(
            {
                f"{row.task}/{row.variant} (data {row.fingerprint[:8]})"
                for seeds in self.rows.values()
                for row in seeds
            }
        )


def most_complete(chosen: list[Row]) -> str:
    """Returns the protocol in which most (model, task) pairs are ours."""
    protocols = sorted({row.protocol for row in chosen})
    return max(protocols, key=lambda protocol: len(Ours(chosen, protocol).rows))


def complete(ours: Ours) -> tuple[list[str], list[str]]:
    """Returns the tasks, and the models that have all of them, of the largest full table that the
    rows fill; of equal ones the table with more tasks."""
    among = config.tasks(in_mean=True)
    having = {t: {model for model, task in ours.rows if task == t} for t in among}
    full = [
        (tasks, sorted(set.intersection(*(having[task] for task in tasks))))
        for n in range(len(among), 0, -1)
        for tasks in combinations(among, n)
    ]
    tasks, models = max(full, key=lambda pair: len(pair[0]) * len(pair[1]))
    return list(tasks), models


def mean_of(values: dict[str, float | None]) -> tuple[str, float | None]:
    """Returns the mean over the known tasks, in words too: 39.55 (of L, T, I), by the first letters
    of the tasks."""
    among = config.tasks(in_mean=True)
    known = {task: value for task in among if (value := values.get(task)) is not None}
    if not known:
        return "-", None
    letters = ", ".join(config.title(task)[0] for task in known)
    partial = "" if len(known) == len(among) else f" (of {letters})"
    return f"{mean(known.values()):.2f}{partial}", mean(known.values())
