"""The environment variables that decide how a run computes: ranks and threads."""

import os

from lra.errors import UserError
from lra.machine import cores

# of a process among those of one launch: torchrun's and Lightning's, Slurm's
PROCESS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")
ON_ITS_NODE = ("LOCAL_RANK", "SLURM_LOCALID")
NODE = ("NODE_RANK", "GROUP_RANK")
WORLD = ("WORLD_SIZE", "SLURM_NTASKS")


def whole_number(name: str) -> int | None:
    """Returns a variable's value; None where it is not set, or empty. Of a list, as OMP_NUM_THREADS
    may be, the first counts. Raises UserError for anything but a whole number."""
    text = os.environ.get(name, "").split(",")[0].strip()
    if not text:
        return None
    if not text.isdecimal():
        raise UserError(f"{name}={os.environ[name]} in the environment is not a number: unset it.")
    return int(text)


def thread_count(wanted: int | None, otherwise: int | None = None) -> int:
    """Returns the threads asked for, else OMP_NUM_THREADS, else `otherwise` or the number of
    cores."""
    return wanted or whole_number("OMP_NUM_THREADS") or otherwise or cores()


def is_main_process() -> bool:
    """Returns False on the other ranks of a distributed run, which write nothing.

    A process is a rank only where the world is larger than one: a lone RANK says nothing.
    """
    names = [*NODE, *(PROCESS if _world() > 1 else ())]
    return not any(whole_number(name) for name in names)


def local_rank() -> int:
    """Returns the place of this process among the ranks of its machine, 0 where it is alone."""
    found = [whole_number(name) for name in ON_ITS_NODE] if _world() > 1 else []
    return next((rank for rank in found if rank is not None), 0)


def _world() -> int:
    return max(whole_number(name) or 1 for name in WORLD)


def forget_ranks(trainer) -> None:
    """Takes the ranks out of the environment of a run on one device.

    They belong to the launch that the run is a part of, `srun -n 4 bash -c 'python run.py
    seed=$SLURM_PROCID'`, say: each of the four is a run of its own. trainer: the config group.
    """
    if trainer.devices == 1 and trainer.num_nodes == 1:
        for name in (*PROCESS, *NODE, *WORLD, "TORCHELASTIC_RUN_ID"):  # Lightning heeds them all
            os.environ.pop(name, None)
