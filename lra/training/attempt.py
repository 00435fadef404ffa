"""One try at a cell, from its start to the row that it leaves."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import numpy as np

from lra.config import Configuration
from lra.errors import Diverged, Interrupted, OutOfMemory, UserError
from lra.machine import commit
from lra.objective import Objective
from lra.objective.base import Predictions
from lra.store import runs
from lra.store.cell import Cell
from lra.store.claim import Claim, Lost
from lra.store.row import Row, Status


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Attempt:
    """Collects what the row will say: facts are set as they become known."""

    def __init__(
        self,
        configuration: Configuration,
        objective: Objective,
        cell: Cell,
        claim: Claim | None,
    ):
        """claim: None on the ranks that write nothing."""
        self.cell, self.claim = cell, claim
        cfg = configuration.cfg
        head, dirty = commit()
        self.facts = {
            "cell": cell.id,
            "task": cfg.task.name,
            "variant": cfg.task.variant,
            "fingerprint": cell.manifest.fingerprint,
            "model": cfg.model.name,
            "filter": cfg.model.filter,
            "objective": objective.name,
            "headline": objective.headline,
            "selection": objective.selection,
            "cost": cfg.model.cost,
            "protocol": cfg.protocol,
            "preset_source": cfg.source.preset,
            "budget_source": cfg.source.budget,
            "follows": cfg.source.follows,
            "seed": cfg.seed,
            "inherited": configuration.inherited,
            "trials": cfg.source.trials,
            "commit": head,
            "dirty": dirty,
            "modified": configuration.modified,
            "select": cfg.select,
            "environment": {},
            "started": now(),
            "baselines": objective.trivial(cell.manifest),
            "trivial": cell.manifest.trivial.get("test", {}),
            "config": configuration.identity,
        }

    def write(
        self,
        status: Status,
        error: str | None = None,
        predictions: Predictions | None = None,
        targets: Predictions | None = None,
        curve: runs.Curve | None = None,
        details: dict[str, np.ndarray] | None = None,
    ) -> Row:
        """Stores the row and returns it as stored.

        predictions: of the scored test examples; targets: of the whole test split.
        """
        row = Row(**self.facts, status=status, error=error, finished=now())
        # not is_main_process(): Lightning forgets the ranks at the end of a training
        if self.claim is not None:
            self.claim.check()
            if targets is not None:
                runs.write_targets(self.cell.results, row.fingerprint, targets)
            path = runs.write(self.cell.rows, row, predictions, curve, details)
            row = runs.read(path)
        return row


@contextmanager
def recorded(attempt: Attempt) -> Iterator[None]:
    """Turns whatever ends the block early into a row, then lets it pass on. Nothing that ends it
    before training began leaves a row, but for a lack of memory, which is a result."""
    try:
        yield
    except Lost:
        raise
    except Interrupted as stop:
        if attempt.cell.began.exists():
            attempt.write("interrupted", str(stop))
        raise
    except Diverged as error:
        attempt.write("diverged", str(error))
        raise
    except BaseException as error:
        if is_out_of_memory(error):
            attempt.write("oom", str(error).splitlines()[0])
            raise OutOfMemory(
                "Out of memory; the row says so. A smaller batch_size needs less, but the row is "
                "then modified."
            ) from error
        if not attempt.cell.began.exists():
            raise
        status: Status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with suppress(UserError):  # a full disk: the error that led here says more
            attempt.write(status, f"{type(error).__name__}: {error}")
        raise


def is_out_of_memory(error: BaseException) -> bool:
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error)
    if isinstance(error, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text
    ):
        return True
    # Hydra wraps what goes wrong while the network is built
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)
