"""trainer.micro_batch: how many examples of a step's batch go through the network at once.

A step uses the gradient of its whole batch. If the batch does not fit into memory, the gradient is
summed over parts. `auto` finds the largest part that fits by trying a step before training: on CPU
in a child process, since running out of memory there is not an exception but a SIGKILL. The size
found stays in the checkpoint and the row (environment.micro_batch). If an attempt runs out of
memory all the same, the next attempt takes parts of half the size.
"""

import gc
import json
import subprocess
import sys
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from lra.errors import KILLED
from lra.machine import ROOT
from lra.store import runs
from lra.store.cell import Cell
from lra.store.row import Row

DOES_NOT_FIT = 3  # exit code of the child
SPARE = 0.9  # a trial that takes a larger share of the free memory does not fit


def choose(cfg: DictConfig, cell: Cell, batch_size: int, resumed: dict | None) -> int | None:
    """Returns how many examples go through at once; None: the whole batch.

    batch_size: the share of one device.
    """
    wanted = cfg.trainer.micro_batch
    if wanted != "auto":
        return wanted if wanted and wanted < batch_size else None
    attempts = [row for row, _ in runs.read_cell(cell.rows, cell.id)]
    if attempts and attempts[-1].status == "oom":
        return max(1, halved(attempts, batch_size))
    before = resumed["lra"]["environment"].get("micro_batch") if resumed else None
    return before or largest(cfg, batch_size)


def halved(attempts: list[Row], batch_size: int) -> int:
    """Returns the size after attempts at a cell, the last of which ran out of memory; 0: no smaller
    size exists."""
    last = attempts[-1].environment.get("micro_batch")
    if last is None:  # killed before it was recorded: each attempt in a row halves
        in_a_row = list(takewhile(lambda row: row.status == "oom", reversed(attempts)))
        last = batch_size >> (len(in_a_row) - 1)
    return last // 2


def largest(cfg: DictConfig, batch_size: int) -> int:
    """Returns the first of batch_size, its half, its quarter, ... that fits; 1 if none does."""
    size = batch_size
    while size > 1 and not fits(cfg, size):
        size = -(-size // 2)
    return size


def fits(cfg: DictConfig, size: int) -> bool:
    """Returns whether a step on `size` examples of the full length fits into memory."""
    import torch

    if cfg.trainer.accelerator == "gpu" and torch.cuda.is_available():
        try:
            one_step(cfg, size, "cuda")
        except torch.OutOfMemoryError:
            return False
        finally:
            gc.collect()  # an optimiser and its parameters refer to each other
            torch.cuda.empty_cache()
        return True
    text = json.dumps([OmegaConf.to_container(cfg, resolve=True), size])
    command = [sys.executable, "-m", "lra.training.micro_batch"]
    child = subprocess.run(command, input=text, text=True, cwd=ROOT, capture_output=True)
    if child.returncode not in (0, DOES_NOT_FIT, KILLED):
        raise RuntimeError(f"a trial step failed: {child.stderr}")
    return child.returncode == 0


def one_step(cfg: DictConfig, size: int, device: str) -> None:
    """Takes a training step on `size` random examples of the full length."""
    import torch
    from hydra.utils import instantiate

    from lra.training.data import full_length
    from lra.training.module import Learner

    objective = instantiate(cfg.objective)
    net = instantiate(cfg.model.net)
    module = Learner(net, objective, cfg.optim, max_steps=1, seed=0).to(device)
    optimizer = module.configure_optimizers()["optimizer"]
    batch = full_length(cfg, objective, size).__getitems__(list(range(size))).on(device)
    with torch.autocast(device, torch.bfloat16, enabled=cfg.precision == "bf16-mixed"):
        loss = objective.loss(net, batch)
    loss.backward()
    optimizer.step()


def main() -> None:
    """Runs the child of `fits`: exit code 0 if the step fits and leaves some memory free."""
    import psutil

    from lra.training.attempt import is_out_of_memory
    from lra.training.callbacks.memory import PeakMemory, anonymous_resident

    with suppress(OSError):  # if memory runs out, the kernel ends this process first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
    tree, size = json.loads(sys.stdin.read())
    free = psutil.virtual_memory().available + anonymous_resident()[0]
    memory = PeakMemory("cpu")
    try:
        one_step(OmegaConf.create(tree), size, "cpu")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(DOES_NOT_FIT)
    memory.stop()
    if memory.memory().peak_bytes > SPARE * free:
        sys.exit(DOES_NOT_FIT)


if __name__ == "__main__":
    main()
