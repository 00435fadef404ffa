"""python -m benchmarks.jobs

Compares a sweep of two runs whose jobs go side by side, each with its share of the cores, with the
same sweep one run after the other, each with all cores. Whole commands, from typing to the rows.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import settings, write
from lra.certificate import named
from lra.cli import Key, number, run
from lra.errors import UserError
from lra.machine import ROOT, cores

KEYS = {
    "task": Key("listops", "one task"),
    "models": Key("fourier,local,transformer", "names between commas"),
    "steps": Key("40", "of each run"),
    "rounds": Key("3", "of which the median counts"),
}


def seconds_of(words: list[str], jobs: int) -> float:
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "run.py", "-m", *words, f"results.root={results}"]
        command += ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - start
        rows = list(Path(results).glob("runs/*/*/*.json"))
    if done.returncode or len(rows) != 2:
        raise UserError(f"{' '.join(command)} failed:\n{done.stderr or done.stdout}")
    return seconds


def main() -> None:
    given = settings(KEYS)
    subprocess.run([sys.executable, "-m", "data_prep", given["task"]], cwd=ROOT, check=True)
    steps, rounds = number(given, "steps"), number(given, "rounds")
    lines = [
        f"two runs of {given['task']}, lite, {steps} steps; {cores()} cores, median of {rounds}\n",
        "| model | side by side | one after the other | ratio |\n|---|---|---|---|",
    ]
    print("\n".join(lines))
    for model in named(given["models"]):
        words = [f"task={given['task']}", f"model={model}", "protocol=lite", "seed=0,1"]
        words += [f"max_steps={steps}", f"val_every={steps}", "max_eval_examples=32"]
        times = [[seconds_of(words, jobs) for jobs in (2, 1)] for _ in range(rounds)]
        beside, after = (statistics.median(column) for column in zip(*times, strict=True))
        lines.append(f"| {model} | {beside:.1f} s | {after:.1f} s | {beside / after:.2f} |")
        print(lines[-1], flush=True)
    if given["models"] == KEYS["models"].default:
        write("jobs", "Two runs side by side", "\n".join(lines))


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
