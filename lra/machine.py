"""Facts about the machine and the checkout, for rows and checkpoints. Imports nothing of lra."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def commit() -> tuple[str | None, bool | None]:
    """Returns (commit, whether the code differs from it, new files included); outside git
    (None, None)."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != ROOT:
            return None, None  # installed inside somebody else's checkout
        code = ("run.py", "lra", "models", "data_prep", "conf")  # the code that can change a number
        changes = git("status", "--porcelain", "--", *code)
        return git("rev-parse", "HEAD"), bool(changes)
    except (OSError, subprocess.CalledProcessError):
        return None, None


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            for line in info:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def tf32() -> list[str]:
    """Returns the operations on float32 that a GPU may compute with mantissas of 10 bits. torch's
    default is convolutions alone."""
    import torch

    switches = {
        "products": torch.get_float32_matmul_precision() != "highest",
        "convolutions": torch.backends.cudnn.allow_tf32,
    }
    return [name for name, on in switches.items() if on]


def describe(cfg) -> dict:
    """Returns device, cores, threads, precision and versions of a run, as plain types."""
    import torch

    on_gpu = cfg.trainer.accelerator == "gpu" and torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else _cpu_name(),
        "device_type": "cuda" if on_gpu else "cpu",
        "devices": cfg.trainer.devices,
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "precision": cfg.precision,
        "attention": "torch scaled_dot_product_attention",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        # Importing Lightning for its version would take seconds.
        "lightning": version("pytorch-lightning"),
        "numpy": version("numpy"),
        "cuda": torch.version.cuda if on_gpu else None,
        "tf32": tf32() if on_gpu else None,
    }
