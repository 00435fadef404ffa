"""python -m benchmarks.before path=../before

Compares whole training steps and evaluations of every model with those of another checkout of this
project (git worktree add ../before <commit>). Each state has a process of its own, in which torch
and the network are loaded once; the two work in turns, never at the same time.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks import settings, write
from lra.certificate import named
from lra.cli import Key, number, run
from lra.errors import UserError
from lra.machine import ROOT, cores

KEYS = {
    "path": Key("null", "the other checkout"),
    "models": Key("all", "names between commas"),
    "tasks": Key("image,listops", "names between commas"),
    "protocol": Key("lite", "lite or matched"),
    "rounds": Key("5", "of which the median counts"),
}
HEADER = ["model", "task", "step before, now (ms)", "x", "evaluation (ms)", "x", "peak MB"]

# Runs in both checkouts, of which the older one may have none of this file: reads `train` or
# `evaluate`, and answers with the seconds. Only stable parts of the project are used.
WORKER = """
import json, resource, sys, time
import torch
from hydra.utils import instantiate
from lra.config import Configuration
from lra.machine import cores
from lra.objective import Batch
from lra.training import runtime

runtime.keep_freed_memory()
torch.set_num_threads(cores())
cfg = Configuration.of(sys.argv[1:]).cfg
torch.manual_seed(0)
objective, net = instantiate(cfg.objective), instantiate(cfg.model.net)
shape, N = (cfg.batch_size, cfg.task.documents), cfg.model.seq_len
ids, lengths = torch.randint(1, cfg.task.vocab_size, (*shape, N)), torch.full(shape, N)
if cfg.task.name not in ("image", "pathfinder", "pathx"):
    spread = torch.linspace(N / 4, N, lengths.numel()).long()
    lengths = spread[torch.randperm(len(spread))].view(shape)
    ids *= torch.arange(N) < lengths[..., None]
batch = Batch(ids, lengths, torch.randint(2, shape[:1]), torch.arange(shape[0]))
optimizer = torch.optim.AdamW(net.parameters(), fused=True)

def train():
    net.train()
    objective.loss(net, batch).backward()
    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()

def evaluate():
    net.eval()
    with torch.inference_mode():
        objective.evaluate(net, batch, "val")

ways = {"train": train, "evaluate": evaluate}
print("ready", flush=True)
for line in sys.stdin:
    start = time.perf_counter()
    ways[line.strip()]()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps([seconds, peak]), flush=True)
"""


class State:
    """A process with one network of one checkout."""

    def __init__(self, checkout: Path, words: list[str]):
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, *words],
            cwd=checkout,
            env=dict(os.environ, PYTHONPATH=str(checkout)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            raise UserError(f"{checkout} cannot run {' '.join(words)}; the reason is above.")

    def __call__(self, way: str) -> tuple[float, int]:
        """Returns the seconds of one call, and the process's peak memory so far."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(way, file=self.process.stdin, flush=True)
        seconds, peak = json.loads(self.process.stdout.readline())
        return seconds, peak

    def close(self) -> None:
        self.process.communicate()


def compare(model: str, task: str, protocol: str, other: Path, rounds: int):
    """Returns the ratios before / now of a step and an evaluation, and a line of the table."""
    words = [f"task={task}", f"model={model}", f"protocol={protocol}"]
    states = [State(other, words), State(ROOT, words)]
    cells, ratios, peaks = [model, task], [], [0, 0]
    for way in ("train", "evaluate"):
        seconds: list[list[float]] = [[], []]
        for turn in range(rounds + 1):
            for i, state in enumerate(states):
                time, peaks[i] = state(way)
                if turn:
                    seconds[i].append(time)
        before, now = (statistics.median(times) for times in seconds)
        ratios.append(before / now)
        cells += [f"{1000 * before:.0f}, {1000 * now:.0f}", f"{before / now:.2f}"]
    for state in states:
        state.close()
    cells.append(f"{peaks[0] / 1e6:.0f}, {peaks[1] / 1e6:.0f}")
    return ratios, cells


def at(checkout: Path) -> str:
    """Returns the commit of a checkout."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or "unknown"


def main() -> None:
    given = settings(KEYS)
    if given["path"] == "null":
        raise UserError("Name another checkout of this project: path=../before")
    other, rounds = Path(given["path"]).resolve(), number(given, "rounds")
    lines: list[str] = []

    def say(line: str) -> None:
        print(line, flush=True)
        lines.append(line)

    how = f"{cores()} threads, {given['protocol']}, median of {rounds}, in turns"
    say(f"{how}; before: {at(other)}\n")
    say("| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER))
    medians = []
    for task in given["tasks"].split(","):
        found = []
        for model in named(given["models"]):
            ratios, cells = compare(model, task, given["protocol"], other, rounds)
            found.append(ratios)
            say("| " + " | ".join(cells) + " |")
        for name, column in zip(("steps", "evaluations"), zip(*found, strict=True), strict=True):
            middle = statistics.median(column)
            medians.append(f"{task}, {name}: median {middle:.2f}, least {min(column):.2f}")
    say("\n" + "; ".join(medians))
    if all(given[key] == KEYS[key].default for key in ("models", "tasks", "protocol")):
        write("before", "Whole steps beside those of another commit", "\n".join(lines))


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
