"""The small print of a run: threads, loggers, Lightning's switches, the line before step one."""

import contextlib
import ctypes
import json
import logging
import sys
import warnings
from typing import Any

from omegaconf import DictConfig, OmegaConf

from lra.config import Configuration
from lra.environment import is_main_process, local_rank, thread_count
from lra.errors import UserError
from lra.store.cell import Cell

# Lightning's features that this project does itself, or does not want.
LIGHTNING: dict[str, Any] = {
    "max_epochs": -1,
    "enable_checkpointing": False,  # checkpoint.py
    "num_sanity_val_steps": 0,
    "use_distributed_sampler": False,  # data.py shares batches among ranks
    "enable_model_summary": False,
    "inference_mode": True,
}


def quiet() -> None:
    """Silences Lightning's tips and greetings, and its advice to load data with workers: these
    would cost more than the microseconds that a batch takes."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*is supported for historical reasons but its usage is discouraged.*",
        ".*LeafSpec.*is deprecated.*",
        ".*You are using `torch.load` with `weights_only=False`.*",
    ):
        warnings.filterwarnings("ignore", message=message)


def keep_freed_memory() -> None:
    """Makes glibc keep freed buffers; does nothing without glibc.

    By default glibc hands the buffers of every step back to the kernel and faults them in again,
    page by page, at the next step. Keeping them makes a CPU step faster, the more the larger the
    buffers are, at the price of more resident memory.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no buffer is a mapping of its own, however large
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: nothing at the top is given back


def return_freed_memory() -> None:
    """Makes glibc give freed buffers back, so that resident memory is the memory in use, to the
    page. Slow."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 2**16)  # M_MMAP_MAX: as many mappings as glibc's default
        libc.mallopt(-3, 2**16)  # M_MMAP_THRESHOLD: larger buffers are mappings of their own
        libc.mallopt(-1, 0)  # M_TRIM_THRESHOLD
        libc.malloc_trim(0)  # gives back what is free already


def threads(wanted: int | None, resumed: dict | None) -> None:
    """Sets torch's number of threads. Another number gives other sums, so a resumed run keeps its
    number unless another one is wanted."""
    import torch

    before = resumed["lra"]["environment"]["threads"] if resumed else None
    torch.set_num_threads(thread_count(wanted or before))


def take_device(cfg: DictConfig) -> None:
    """Makes the GPU of this rank torch's current one, before anything touches a GPU: else every
    rank of a machine would open a context on the first one, and take that one's memory for its
    own."""
    import torch

    if cfg.trainer.accelerator == "gpu" and torch.cuda.is_available():
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())


def changed(environment: dict, resumed: dict) -> dict[str, list]:
    """Returns the facts of the machine that differ from the checkpoint's: key -> [then, now]."""
    then = resumed["lra"]["environment"]
    return {
        key: [then.get(key), environment.get(key)]
        for key in sorted(then.keys() | environment.keys())
        if then.get(key) != environment.get(key)
    }


def to_json(cfg: DictConfig) -> str:
    return json.dumps(OmegaConf.to_container(cfg, resolve=True), sort_keys=True)


def trainer(**settings):
    """Returns Lightning's trainer. Raises UserError where it refuses the Slurm job around it."""
    import pytorch_lightning as pl

    try:
        return pl.Trainer(**settings, **LIGHTNING)
    except (RuntimeError, ValueError) as error:
        if "slurm" not in str(error).lower():
            raise
        raise UserError(
            f"This Slurm job does not fit trainer.devices and trainer.num_nodes: {error}"
        ) from error


def strategy(name: str):
    """Returns Lightning's strategy by name, ddp without the exchange of buffers.

    Buffers here are constants. Sending them before every batch would make ranks with fewer batches
    of an evaluation wait for ever.
    """
    if name != "ddp":
        return name
    from pytorch_lightning.strategies import DDPStrategy

    return DDPStrategy(forward_sync_buffers=False)


def announce(
    configuration: Configuration,
    cell: Cell,
    environment: dict,
    parameters: int,
    resumed: dict | None,
) -> None:
    """Prints the line before the first step."""
    cfg = configuration.cfg
    if not is_main_process():
        return
    where = environment["device"]
    if environment["device_type"] == "cpu":
        where += f", {environment['threads']} threads"
    start = f", from step {resumed['global_step']}" if resumed else ""
    print(
        f"{cfg.task.name}/{cfg.task.variant} ({cell.manifest.fingerprint[:8]}) · "
        f"{configuration.label} · {cfg.protocol} · seed {cfg.seed} · "
        f"cell {cell.id} · {parameters:,} parameters · "
        f"{cfg.max_steps:,} steps of {cfg.batch_size}{start} · {where} · "
        f"{cfg.precision}" + (" · compiling" if cfg.trainer.compile else ""),
        file=sys.stderr,
    )
