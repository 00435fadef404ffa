"""python -m benchmarks.loading

Compares the time to load a batch with a training step of the fastest model, fourier, for every task
that counts in the mean, at the sizes of protocol=lite. Also measures the time that padding to the
longest example of a batch saves on Text.
"""

import statistics
import sys
import time

import numpy as np
import torch
from hydra.utils import instantiate

import data_prep
from benchmarks import settings
from lra import config
from lra.cli import Key, number, run
from lra.training.data import PackedData, TrainBatches

KEYS = {"threads": Key("1", "of torch")}
OVERRIDES = {"retrieval": ["task.variant=scisumm"]}


def main() -> None:
    torch.set_num_threads(number(settings(KEYS), "threads"))
    for task in config.tasks(in_mean=True):
        words = [f"task={task}", *OVERRIDES.get(task, []), "protocol=lite"]
        run = Run([*words, "model=fourier"])
        gather, step = run.gather(), run.step()
        print(
            f"{task}: a batch takes {1e3 * gather:.2f} ms, {100 * gather / step:.2f} % of a step "
            f"of fourier ({1e3 * step:.0f} ms)"
        )
    for variant in ("bytes_1000", "bytes_4000"):
        cfg = config.compose(["task=text", f"task.variant={variant}"])
        if data_prep.read_manifest(data_prep.folder(cfg.task, cfg.data)) is None:
            print(f"text/{variant} is not packed")
            continue
        words = ["task=text", f"task.variant={variant}", "model=fourier", "protocol=lite"]
        plain, bucketed = Run(words), Run([*words, "bucket_by_length=true"])
        ratios = [plain.step(10) / bucketed.step(10) for _ in range(3)]
        print(f"text/{variant}: bucket_by_length=true is {statistics.median(ratios):.2f} x as fast")


class Run:
    def __init__(self, settings: list[str]):
        cfg = config.compose(settings)
        manifest = data_prep.prepare(cfg.task, cfg.data)
        self.data = PackedData(
            data_prep.folder(cfg.task, cfg.data),
            manifest,
            seq_len=cfg.model.seq_len,
            batch_size=cfg.batch_size,
            seed=0,
            limit=None,
            bucket_by_length=cfg.bucket_by_length,
        )
        train = self.data.splits["train"]
        lengths = train.lengths() if cfg.bucket_by_length else None
        self.batches = TrainBatches(len(train), cfg.batch_size, 0, lambda: 0, 0, 1, lengths)
        self.net, self.objective = instantiate(cfg.model.net), instantiate(cfg.objective)
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4, fused=True)

    def gather(self, n: int = 50) -> float:
        """Returns the median seconds of choosing, gathering and padding the examples of a batch."""
        seconds = []
        for i in range(n):
            start = time.perf_counter()
            self.data.splits["train"].__getitems__(self.batches.batch(i))
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds)

    def step(self, n: int = 10) -> float:
        """Returns the mean seconds of a step over batches of all lengths, after two for warm-up."""
        seconds = []
        for i in range(n + 2):
            batch = self.data.splits["train"].__getitems__(self.batches.batch(i))
            start = time.perf_counter()
            loss = self.objective.loss(self.net, batch)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            seconds.append(time.perf_counter() - start)
        return float(np.mean(seconds[2:]))


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
