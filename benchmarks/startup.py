"""python -m benchmarks.startup

Measures the seconds from typing `python run.py` to the end of its first training step, with the
data ready and the file cache warm.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import settings
from lra.cli import Key, number, run
from lra.machine import ROOT

KEYS = {"rounds": Key("5", "starts, after one that warms the file cache")}


def main() -> None:
    rounds = number(settings(KEYS), "rounds")
    subprocess.run([sys.executable, "-m", "data_prep", "listops"], cwd=ROOT, check=True)
    seconds = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as results:
            command = [sys.executable, "run.py", "trainer=smoke", f"results.root={results}"]
            command += ["batch_size=32", "trainer.checkpoint_seconds=0"]
            start = time.perf_counter()
            child = subprocess.Popen(
                command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
            # The end of the first step is visible by its checkpoint, the first one written.
            while not list(Path(results).glob("smoke/work/*/last.ckpt")):
                assert child.poll() is None, "the run failed"
                time.sleep(0.01)
            seconds.append(time.perf_counter() - start)
            assert child.wait() == 0, "the run failed"
    print(
        f"python run.py to the end of its first step: median of {rounds}: "
        f"{statistics.median(seconds[1:]):.1f} s ({min(seconds[1:]):.1f} to {max(seconds[1:]):.1f})"
    )


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
