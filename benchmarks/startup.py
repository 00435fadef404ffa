"""python -m benchmarks.startup [rounds]

Seconds from typing `python run.py` to its first training step: data ready, file cache warm.
"""

import statistics
import subprocess
import sys
import tempfile
import time

from lra.environment import ROOT


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    subprocess.run([sys.executable, "-m", "data_prep", "listops"], cwd=ROOT, check=True)
    seconds = []
    for _ in range(rounds + 1):
        with tempfile.TemporaryDirectory() as results:
            start = time.perf_counter()
            child = subprocess.Popen(
                [
                    sys.executable,
                    "run.py",
                    "trainer=smoke",
                    f"results.root={results}",
                    "batch_size=32",
                ],
                cwd=ROOT,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for line in child.stderr:
                if "parameters" in line:
                    seconds.append(time.perf_counter() - start)
                    break
            child.communicate()
    print(
        f"python run.py to its first step: median {statistics.median(seconds[1:]):.1f} s of "
        f"{rounds} ({min(seconds[1:]):.1f} to {max(seconds[1:]):.1f})"
    )


if __name__ == "__main__":
    main()
