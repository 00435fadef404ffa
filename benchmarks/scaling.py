"""python -m benchmarks.scaling

Measures how the time and the peak memory of one block grow with the length, beside the growth that
the method claims. A step is forward and backward, batch 2, at the sizes of `matched`; each (model,
length) runs in a separate process. The exponent is the slope of log(time) over log(N) between the
last three lengths, where the part that grows fastest counts most. models=all writes
results/scaling.md.
"""

import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch
from hydra.utils import instantiate

from benchmarks import settings
from lra import config
from lra.certificate import named
from lra.cli import Key, numbers, run
from lra.efficiency.report import exponent
from lra.errors import UserError
from lra.files import replacing
from lra.machine import cores
from lra.training import runtime
from lra.training.callbacks.memory import PeakMemory

BATCH, ROUNDS = 2, 5
KEYS = {
    "models": Key("all", "names between commas"),
    "lengths": Key("512,1024,2048,4096,8192", "tokens; the last three give the exponent"),
}


def build(model: str, N: int, d_model: int = 64):
    """Builds the first block of `model`, without dropout."""
    sizes = [f"model.seq_len={N}", f"model.d_model={d_model}", f"model.d_ff={2 * d_model}"]
    cfg = config.compose([f"model={model}", "model.dropout=0", *sizes])
    torch.manual_seed(0)
    return instantiate(cfg.model.block)(d_model, layer=0)


def measure(model: str, N: int, d_model: int = 64, batch: int = BATCH, rounds: int = ROUNDS):
    """Returns the median seconds, and the peak bytes above the level before the first step."""
    torch.set_num_threads(cores())
    block = build(model, N, d_model)
    x, mask = torch.randn(batch, N, d_model), torch.ones(batch, N, dtype=torch.bool)

    def step() -> float:
        start = time.perf_counter()
        block(x, mask)[0].sum().backward()
        return time.perf_counter() - start

    runtime.return_freed_memory()
    memory = PeakMemory("cpu")
    for _ in range(2):  # the second has the gradients of the first in memory
        step()
    memory.stop()
    runtime.keep_freed_memory()  # as training does
    seconds = [step() for _ in range(rounds + 1)][1:]
    return {"seconds": statistics.median(seconds), "bytes": memory.memory().peak_bytes}


def measure_apart(*arguments) -> dict:
    """Returns measure(...) as computed in a process of its own: a fork of one with the imports."""
    context = get_context("forkserver")
    # torch and Lightning; this file would be there twice, since it is also the main module
    context.set_forkserver_preload(["lra.training.callbacks.memory"])
    try:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(measure, *arguments).result()
    except Exception as error:
        said = " ".join(map(str, arguments))
        raise UserError(f"{said} could not be measured: {error}") from error


def main() -> None:
    given = settings(KEYS)
    chosen, lengths = named(given["models"]), numbers(given, "lengths")
    if len(set(lengths[-3:])) < 2:
        raise UserError(f"lengths={given['lengths']}: give two or more different ones.")
    header = ["model", "claimed", "time grows as", "memory grows as"]
    header += [f"ms at {n:,}" for n in lengths] + [f"MB at {lengths[-1]:,}"]
    text = (
        "<!-- written by python -m benchmarks.scaling; do not edit -->\n\n# Growth with length\n\n"
    )
    text += f"One block, forward and backward, batch {BATCH}, d_model 64, {cores()} threads.\n\n"
    text += "| " + " | ".join(header) + " |\n|" + "---|" * len(header) + "\n"
    for model in chosen:
        found = [measure_apart(model, n) for n in lengths]
        growth = (
            exponent(lengths[-3:], [f[key] for f in found[-3:]]) for key in ("seconds", "bytes")
        )
        line = [model, config.cost(model)] + ["-" if a is None else f"N^{a:.2f}" for a in growth]
        line += [f"{1000 * f['seconds']:.1f}" for f in found] + [f"{found[-1]['bytes'] / 1e6:.0f}"]
        print(" | ".join(line), flush=True)
        text += "| " + " | ".join(line) + " |\n"
    if given["models"] == "all":
        with replacing(Path("results/scaling.md")) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print("written: results/scaling.md")


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
