"""python -m benchmarks.step model=fourier

Measures
(b) the matrix-multiply lower bound of a training step, as a share of the step: the FLOPs of its
    matrix products over the rate at which this process multiplies matrices;
(c) Lightning's loop, with callbacks of a run, against a bare loop with the same module.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate

import data_prep
from lra.cli import run
from lra.config import Configuration
from lra.efficiency.flops import count, matmul_rate
from lra.machine import cores
from lra.training import checkpoint, runtime
from lra.training.callbacks.loss_watch import LossWatch
from lra.training.callbacks.progress import RunProgress
from lra.training.callbacks.speed import Stopwatch
from lra.training.data import PackedData, TrainBatches
from lra.training.interrupt import StopSignal
from lra.training.module import Learner

STEPS = 30


def main() -> None:
    runtime.quiet()
    runtime.keep_freed_memory()
    torch.set_num_threads(cores())
    cfg = Configuration.of(sys.argv[1:]).cfg
    manifest = data_prep.prepare(cfg.task, cfg.data)
    data = PackedData(
        data_prep.folder(cfg.task, cfg.data),
        manifest,
        seq_len=cfg.model.seq_len,
        batch_size=cfg.batch_size,
        seed=0,
        limit=None,
    )
    objective, net = instantiate(cfg.objective), instantiate(cfg.model.net)
    module = Learner(net, objective, cfg.optim, max_steps=10**6, seed=0)
    batches = TrainBatches(len(data.splits["train"]), cfg.batch_size, 0, lambda: 0, 0, 1)

    def loss_of(batch) -> torch.Tensor:
        return objective.loss(net, batch)

    def bare(steps: int) -> float:
        optimizer = module.configure_optimizers()["optimizer"]
        module.train()
        seconds = []
        for indices in islice(batches, steps + 2):
            start = time.perf_counter()
            loss = loss_of(data.splits["train"].__getitems__(indices))
            loss.backward()
            module.on_before_optimizer_step(optimizer)
            optimizer.step()
            optimizer.zero_grad()
            seconds.append(time.perf_counter() - start)
        return statistics.median(seconds[2:])

    def lightning(steps: int) -> float:
        stopwatch, ends = Stopwatch(), []
        watch = LossWatch(objective.selection, None, 10**6, cfg.optim.lr)

        class Clock(pl.Callback):
            def on_train_batch_end(self, *_):
                ends.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder, StopSignal() as stop:
            keep = checkpoint.Checkpoints(
                Path(folder) / "last.ckpt",
                {},
                select="best_val",
                metric=objective.selection,
                seconds=1e9,
                stop=stop,
                claim=None,
            )
            trainer = pl.Trainer(
                accelerator="cpu",
                max_steps=steps + 3,
                val_check_interval=10**9,
                check_val_every_n_epoch=None,
                logger=instantiate(cfg.logger)(save_dir=folder),
                callbacks=[
                    watch,
                    keep,
                    stopwatch,
                    RunProgress(steps, 32, watch, stopwatch),
                    Clock(),
                ],
                **runtime.LIGHTNING,
            )
            with contextlib.redirect_stderr(io.StringIO()):
                trainer.fit(module, data)
        return statistics.median(b - a for a, b in zip(ends[2:], ends[3:], strict=False))

    indices = batches.batch(0)
    batch = data.splits["train"].__getitems__(indices)
    flops = count(lambda: loss_of(batch).backward()).flops
    ratios, steps, rates = [], [], []
    for _ in range(3):
        rates.append(matmul_rate())
        plain, loop = bare(STEPS), lightning(STEPS)
        steps.append(plain)
        ratios.append(loop / plain)
    step, rate = statistics.median(steps), statistics.median(rates)
    print(
        f"{cfg.task.name}/{cfg.task.variant}, {cfg.model.name}, {cfg.protocol}, "
        f"batch {cfg.batch_size}, {cores()} threads"
    )
    print(
        f"step {step:.3f} s; its matrix products: {flops / 1e9:.1f} GFLOP, at {rate / 1e9:.0f} "
        f"GFLOP/s {flops / rate:.3f} s: {100 * flops / rate / step:.0f} % of the step"
    )
    print(f"Lightning's loop: {100 * (statistics.median(ratios) - 1):+.1f} % against a bare loop")


if __name__ == "__main__":
    sys.exit(run(main, __doc__))
