"""Checks rows from elsewhere and stores them: everything but training them again."""

import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hydra.utils import instantiate

import data_prep
from data_prep.pack import load_texts
from lra import config, objective
from lra.cli import explain
from lra.config import Configuration
from lra.config.identity import identifier
from lra.efficiency import records
from lra.efficiency.records import Measurement
from lra.errors import UserError
from lra.objective import Metric, Objective, Score, share_score
from lra.objective.base import Predictions
from lra.report.groups import claimed_cost, newest
from lra.report.inherited import belongs, concerns
from lra.report.leaderboard.lines import provenance
from lra.report.tables import scores, summarization
from lra.store import runs
from lra.store.cell import find
from lra.store.row import Row
from lra.training.network import blueprint, count_parameters, transformer_parameters

# the choices of which a row's command is made
CHOSEN = ("task", "variant", "model", "filter", "objective", "protocol")


class Stores(NamedTuple):
    """The board, and the submitting user's own store, whose labels count as known, too."""

    board: Path
    own: Path

    def targets(self, fingerprint: str) -> Any | None:
        """Returns the targets of the test split; None where neither store has them."""
        found = (runs.targets(root, fingerprint) for root in self)
        return next((targets for targets in found if targets is not None), None)

    def rows(self) -> list[Row]:
        return [row for root in self for row in runs.read_all(root)]


def paths(argument: str, stores: Stores) -> list[Path]:
    """Returns the rows that an argument names: a file, or in a folder the newest finished attempt
    of each cell that conforms to its protocol, unless the board has it or its predictions."""
    path = Path(argument)
    if not path.is_dir():
        return [path]
    there = runs.read_all(stores.board)
    every = {file: runs.read(file) for file in runs.named(path.rglob("*.json"))}
    chosen = {id(row) for row in newest(every.values()) if not row.modified or belongs(row)}
    return [
        file
        for file, row in every.items()
        if id(row) in chosen and _twin(row, runs.read_values(file), there) is None
    ]


def _twin(row: Row, predicted: Predictions | None, among: list[Row]) -> Row | None:
    """Returns the row of the same cell with the same predictions."""
    for known in among:
        theirs = runs.predictions(known) if known.cell == row.cell else None
        if theirs is not None and np.array_equal(theirs, predicted):
            return known
    return None


def measurements(names: list[str]) -> dict[str, list[Measurement]]:
    """Returns the lab's measurements of each name that is a folder of them: <root>/efficiency."""
    folders = [name for name in names if Path(name).is_dir() and Path(name).name == "efficiency"]
    return {name: records.read_all(Path(name).parent) for name in folders}


def check(path: Path, stores: Stores) -> Row:
    """Returns the row at `path`, which may join the board. Raises UserError with the reason why
    not."""
    if path.suffix != ".json" or not path.exists():
        raise UserError(f"There is no row {path}: name a .json file of results/runs/.")
    row = runs.read(path)
    if row.status != "done" or row.test is None or row.val is None:
        raise _refused(path, f"it is {row.status}, and only finished rows with a test score count")
    board = runs.read_all(stores.board)
    alike = [known for known in stores.rows() if known.fingerprint[:16] == row.fingerprint[:16]]
    same_data = [known for known in alike if known.fingerprint == row.fingerprint]
    if len(same_data) < len(alike):
        raise _refused(path, f"no data here have the fingerprint {row.fingerprint}")
    of = _objective(path, row)
    configuration = _configuration(path, row)  # nothing of the row has run before
    predicted, found = (
        _recompute(path, row, of, stores) if of.labelled else _rescore(path, row, configuration)
    )
    _printable(path, row)
    same_on_board = [known for known in board if known.fingerprint == row.fingerprint]
    rivals = [known for known in same_on_board if known.objective == row.objective]
    if rivals and row.baselines not in [known.baselines for known in rivals]:
        raise _refused(path, "its trivial baselines are not those of the same data here")
    if known := _twin(row, predicted, board):
        gone = known.withdrawn
        reason = f", withdrawn by {gone.by}: {gone.why}" if gone else ""
        raise _refused(path, f"it is on the board already, as {known.name}{reason}")
    return row.model_copy(update={"test": found})  # to the last digit as computed here


def _refused(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is refused: {reason}.")


def _objective(path: Path, row: Row) -> Objective:
    """Returns the objective of this checkout that the row names, with the metrics it names."""
    of = objective.named(row.objective)
    if of is None:
        raise _refused(path, f"objective {row.objective} is not here")
    if (row.headline, row.selection) != (of.headline, of.selection):
        raise _refused(path, f"its metrics are not those of objective {row.objective}")
    return of


def _recompute(
    path: Path, row: Row, of: Objective, stores: Stores
) -> tuple[Predictions, dict[str, Score]]:
    """Scores the predictions on our own targets; returns both."""
    targets = stores.targets(row.fingerprint)
    if targets is None:
        raise _refused(
            path,
            f"its data (fingerprint {row.fingerprint[:16]}) are not known here; run any cell on "
            "the same data first, which stores their labels",
        )
    predicted = runs.read_values(path)
    if predicted is None:
        raise _refused(path, f"{path.with_suffix('.npy').name} with its predictions is missing")
    if len(predicted) != len(targets):
        raise _refused(
            path, f"it predicts {len(predicted):,} test examples, and there are {len(targets):,}"
        )
    found = of.score(predicted, targets)
    _must_agree(path, row, of, found)
    return predicted, found


def _rescore(
    path: Path, row: Row, configuration: Configuration
) -> tuple[Predictions, dict[str, Score]]:
    """Scores texts on the packed data of this checkout, since no texts are stored with rows;
    returns both."""
    try:
        this = find(configuration)
    except UserError as error:
        raise _refused(path, str(error)) from error
    if this is None or this.manifest.fingerprint != row.fingerprint:
        raise _refused(
            path,
            f"its data (fingerprint {row.fingerprint[:16]}) are not packed here: type python -m "
            f"data_prep {row.task} with the same tokenizer",
        )
    of: Objective = instantiate(configuration.cfg.objective)
    folder = data_prep.folder(configuration.cfg.task, configuration.cfg.data)
    of.attach(load_texts(folder, this.manifest))
    predicted = runs.read_values(path)
    if predicted is None:
        raise _refused(path, "its predictions are missing")
    if len(predicted) > this.manifest.counts["test"]:
        raise _refused(path, "it predicts more test examples than there are")
    targets = of.targets(np.zeros(0), list(range(len(predicted))), "test")
    found = of.score(predicted, targets)
    _must_agree(path, row, of, found)
    ours, theirs = of.details(predicted, targets), runs.read_details(path)
    if ours.keys() != theirs.keys() or not all(
        np.allclose(ours[name], theirs[name], atol=1e-3) for name in ours
    ):
        raise _refused(path, "the scores of its examples do not follow from its predictions")
    return predicted, found


def _must_agree(path: Path, row: Row, of: Objective, found: dict[str, Score]) -> None:
    """Refuses a row whose claimed scores do not follow from its predictions."""
    if found.keys() != row.test.keys():
        raise _refused(path, f"it has the metrics {', '.join(row.test)}, not {', '.join(found)}")
    for name, claimed in row.test.items():
        if not found[name].agrees(claimed):
            metric = of.headline if name == of.headline.name else Metric(name=name)
            raise _refused(
                path,
                f"its predictions give {metric.sentence(found[name])}, but it claims "
                f"{metric.sentence(claimed)}",
            )
    if row.selection.name not in row.val:
        raise _refused(path, f"its val has no {row.selection.name}")
    said = row.val_score
    if row.selection.share and not share_score(said.count, said.n).agrees(said):
        raise _refused(path, "its val interval does not follow from its val score")


def _configuration(path: Path, row: Row) -> Configuration:
    """Refuses a row unless task, model, protocol and its modifications give the stored
    configuration, the cell's name and the parameter count."""
    if not (config.CONF / "model" / f"{row.model}.yaml").exists():
        raise _refused(
            path,
            f"model {row.model} is not here; add models/{row.model}.py and "
            f"conf/model/{row.model}.yaml "
            "(CONTRIBUTING.md: Add a model), so that its row can be made again",
        )
    if code := [
        key for key, pair in row.modified.items() if _runs_code(key) or _runs_code(pair[-1])
    ]:
        raise _refused(path, f"it modifies {code[0]}, and a submission cannot say what to call")
    given = row.inherited.model_dump(exclude={"sha256"}) if row.inherited else {}
    for name, folder in given.items():
        if folder and (_runs_code(folder) or not Path(folder).is_dir()):
            raise _refused(path, f"the folder that it names as {name} is not here: bring it")
    choices = {name: getattr(row, name) for name in CHOSEN}
    if odd := [name for name, word in choices.items() if not re.fullmatch(r"\w+", word or "none")]:
        raise _refused(path, f"its {odd[0]} is not a name")
    try:
        configuration = Configuration.of(row.overrides)
    except UserError as error:
        raise _refused(path, str(error)) from error
    except Exception as error:
        raise _refused(path, explain(error) or str(error)) from error
    cfg = configuration.cfg
    composed = (cfg.task.name, cfg.task.variant, cfg.model.name, cfg.model.filter, cfg.protocol)
    if composed != (row.task, row.variant, row.model, row.filter, row.protocol):
        raise _refused(
            path, "task, variant, model, filter or protocol are not those of its command"
        )
    ours, theirs = map(config.flatten, (configuration.identity, row.config))
    different = [
        f"{key} is {theirs.get(key)}, not {ours.get(key)}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if different:
        raise _refused(
            path,
            f"its configuration is not that of protocol {row.protocol} with the modifications it "
            f"lists: {'; '.join(different[:3])}",
        )
    if configuration.modified.keys() != row.modified.keys():
        raise _refused(path, "the keys that it lists as modified are not those that differ")
    if identifier(row.config, row.fingerprint) != row.cell:
        raise _refused(path, f"its cell is not {row.cell}, by its configuration and data")
    parameters = count_parameters(blueprint(cfg))
    if parameters != row.parameters:
        raise _refused(path, f"the model has {parameters:,} parameters, not {row.parameters}")
    if transformer_parameters(cfg) != row.transformer_parameters:
        raise _refused(path, "the transformer of its sizes has another number of parameters")
    last = cfg.max_steps
    if row.select != cfg.select or row.last_step != last or not 0 < row.selected_step <= last:
        raise _refused(
            path,
            f"it says {row.select} at step {row.selected_step} of {row.last_step}, and its "
            f"protocol selects {cfg.select} of {last} steps",
        )
    said = (row.preset_source, row.budget_source, row.follows, claimed_cost(row))
    source = cfg.source
    if said != (source.preset, source.budget, source.follows, cfg.model.cost):
        raise _refused(path, "its sources or its claimed cost are not those of its configuration")
    return configuration


def _runs_code(value) -> bool:
    """Returns whether a key or a value could make Hydra import, call or look something up."""
    if isinstance(value, dict):
        return any(_runs_code(v) for pair in value.items() for v in pair)
    if isinstance(value, list):
        return any(map(_runs_code, value))
    return isinstance(value, str) and (
        "${" in value or re.search(r"(^|\.)_\w+_$", value) is not None
    )


def _printable(path: Path, row: Row) -> None:
    """Prints the row once: one that no table can print would break the board for everybody."""
    try:
        texts = concerns(row)
        (summarization.document([row], []) if texts else scores.document([row])).markdown()
        curve = path.with_suffix(".csv")
        points = runs.parse_curve(curve) if curve.exists() else []
        if not all(math.isfinite(value) for point in points for value in point):
            raise ValueError("its curve is not finite")
        provenance([row])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _refused(path, f"no table can print it ({type(error).__name__}: {error})") from error


def add(path: Path, row: Row, stores: Stores, origin: str | None) -> Path:
    """Stores a checked row, its predictions, its curve and the labels of its data on the board.
    origin: the submitter; None for a maintainer's row."""
    curve = path.with_suffix(".csv")
    targets = stores.targets(row.fingerprint)
    if targets is not None:
        runs.write_targets(stores.board, row.fingerprint, targets)
    return runs.write(
        stores.board / "runs" / row.task / row.label,
        row.model_copy(update={"origin": origin}),
        runs.read_values(path),
        runs.parse_curve(curve) if curve.exists() else None,
        runs.read_details(path),
    )
