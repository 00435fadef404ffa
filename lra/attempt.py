"""One try at a cell, from its start to the row that it leaves whatever happens."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import numpy as np

from lra import config, rows
from lra.cell import Cell
from lra.claim import Claim, Lost
from lra.environment import commit, is_main_process
from lra.errors import UserError
from lra.interrupt import Interrupted


class OutOfMemory(UserError):
    """A result as well: the row says oom."""


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Attempt:
    """Collects what the row will say: facts are set as they become known."""

    def __init__(self, cfg, cell: Cell, claim: Claim | None):
        """claim: None on the ranks that write nothing."""
        self.cell, self.claim = cell, claim
        head, dirty = commit()
        self.facts = {
            "cell": cell.id,
            "task": cfg.task.name,
            "variant": cfg.task.variant,
            "fingerprint": cell.manifest.fingerprint,
            "model": config.label(cfg.model),
            "cost": cfg.model.cost,
            "protocol": cfg.protocol,
            "preset_source": cfg.source.preset,
            "schedule_source": cfg.source.schedule,
            "seed": cfg.seed,
            "trials": cfg.source.trials,
            "commit": head,
            "dirty": dirty,
            "modified": config.modified(cfg),
            "select": cfg.select,
            "environment": {},
            "started": now(),
            "baselines": cell.manifest.baselines,
            "config": config.identity(cfg),
        }

    def write(
        self,
        status: rows.Status,
        error: str | None = None,
        predictions: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        curve: rows.Curve | None = None,
    ) -> rows.Row:
        """predictions: of the test examples that were scored; labels: of the whole test split."""
        row = rows.Row(**self.facts, status=status, error=error, finished=now())
        if is_main_process():
            self.claim.check()
            if labels is not None:
                rows.write_labels(self.cell.results, row.fingerprint, labels)
            path = rows.write(self.cell.rows, row, predictions, curve)
            row = rows.read(path)
        return row


@contextmanager
def recorded(attempt: Attempt) -> Iterator[None]:
    """Turns whatever ends the block early into a row, then lets it pass on."""
    from lra.watch import Diverged

    try:
        yield
    except Lost:
        raise
    except Interrupted as stop:
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
        status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
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
