"""python -m benchmarks.step model=fourier

Measures a training step against two bounds, and Lightning's loop, with the callbacks of a run,
against a bare loop with the same module. The bounds:
- the FLOPs of the step's matrix products, over the rate at which this process multiplies matrices;
- the bytes of the activations that the gradient needs, over the rate at which it copies: each, and
  its gradient, is written once and read once.
"""

import contextlib
import io
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
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


def kept_bytes(loss: Callable[[], torch.Tensor], net: torch.nn.Module) -> int:
    """Returns the bytes that autograd keeps for the gradient, without the network's parameters."""
    own = {p.untyped_storage().data_ptr() for p in (*net.parameters(), *net.buffers())}
    kept = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss()  # the graph holds the storages until here, so that no address is taken twice
    return sum(kept.values())


def copy_rate() -> float:
    """Returns the bytes a second, read and written, of a copy that no cache holds, best of 10."""
    a = torch.ones(2**26)
    b, best = torch.empty_like(a), 0.0
    for _ in range(10):
        start = time.perf_counter()
        b.copy_(a)
        best = max(best, 2 * a.nbytes / (time.perf_counter() - start))
    return best


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
                    RunProgress(32, watch, stopwatch),
                    Clock(),
                ],
                **runtime.LIGHTNING,
            )
            with contextlib.redirect_stderr(io.StringIO()):
                trainer.fit(module, data)
        return statistics.median(b - a for a, b in zip(ends[2:], ends[3:], strict=False))

    indices = batches.batch(0)
    batch = data.splits["train"].__getitems__(indices)
    module.train()
    flops = count(lambda: loss_of(batch).backward()).flops
    moved = 4 * kept_bytes(lambda: loss_of(batch), net)
    ratios, steps, rates, bandwidths = [], [], [], []
    for _ in range(3):
        rates.append(matmul_rate())
        bandwidths.append(copy_rate())
        plain, loop = bare(STEPS), lightning(STEPS)
        steps.append(plain)
        ratios.append(loop / plain)
    step, rate = statistics.median(steps), statistics.median(rates)
    print(
        f"{cfg.task.name}/{cfg.task.variant}, {cfg.model.name}, {cfg.protocol}, "
        f"batch {cfg.batch_size}, {cores()} threads"
    )
    bandwidth = statistics.median(bandwidths)
    products, copies = flops / rate, moved / bandwidth
    print(f"step {step:.3f} s")
    print(f"products: {flops / 1e9:.1f} GFLOP, at {rate / 1e9:.0f} GFLOP/s {products:.3f} s")
    print(f"activations: {moved / 1e9:.2f} GB, at {bandwidth / 1e9:.0f} GB/s {copies:.3f} s")
    larger, both = max(products, copies), products + copies
    print(f"the larger is {100 * larger / step:.0f} % of the step, both {100 * both / step:.0f} %")
    print(f"Lightning's loop: {100 * (statistics.median(ratios) - 1):+.1f} % against a bare loop")


if __name__ == "__main__":
    sys.exit(run(main, __doc__))
