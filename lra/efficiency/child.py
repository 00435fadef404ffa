"""One child process of the lab, which measures one thing.

Is given {"what": "cost" or "time", "config": ..., "compile": ..., "steps": ...}. Prints one JSON
object a line, each as soon as it is known, so that a time-out does not lose earlier measurements.

cost is peak memory and operations; time is the time of a step. Two processes measure them, because
they need opposite settings of the C library: buffers that are kept for the next step make steps
faster, but the buffers stay resident, in pieces, and would count as the model's memory.
"""

import json
import os
import threading
import time
from contextlib import nullcontext, suppress
from itertools import count as endless
from multiprocessing import parent_process
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from lra.efficiency import flops
from lra.efficiency.records import Cost, Timing
from lra.machine import describe
from lra.objective import Batch, Objective
from lra.training import runtime
from lra.training.attempt import is_out_of_memory
from lra.training.callbacks.memory import PeakMemory
from lra.training.callbacks.speed import synchronise
from lra.training.data import TrainBatches, full_length
from lra.training.module import Learner, seed_everything
from lra.training.network import count_parameters

SECONDS = 2.0  # short steps are repeated for as long as this
MOST_STEPS = 100
SAMPLED = 1.0  # memory is watched for as long as this, so that a sample meets a short step's peak
WARM_UP = 5.0  # one step, and a second one if the first took less than this


class Subject:
    """The model with its optimiser and its batches, on one device."""

    def __init__(self, cfg, compile: bool):
        on_gpu = cfg.trainer.accelerator == "gpu" and torch.cuda.is_available()
        self.device = torch.device("cuda" if on_gpu else "cpu")
        self.half = cfg.precision == "bf16-mixed"
        self.cfg, self.batch_size = cfg, cfg.batch_size
        self.objective: Objective = instantiate(cfg.objective)
        self.data = full_length(cfg, self.objective, 8 * cfg.batch_size)
        self.sampler = TrainBatches(len(self.data), cfg.batch_size, 0, lambda: 0, 0, 1)
        self.memory = PeakMemory("gpu" if on_gpu else "cpu")
        seed_everything(cfg.seed)
        self.net = instantiate(cfg.model.net).to(self.device)
        self.parameters = count_parameters(self.net)
        self.module = Learner(self.net, self.objective, cfg.optim, max_steps=10**9, seed=cfg.seed)
        self.optimiser = self.module.configure_optimizers()["optimizer"]
        self.forward: Any = torch.compile(self.net) if compile else self.net

    def batch(self, i: int, size: int | None = None) -> Batch:
        indices = self.sampler.batch(i)[: size or self.batch_size]
        return self.data.__getitems__(indices).on(self.device)

    def loss(self, net, batch: Batch) -> torch.Tensor:
        with torch.autocast(self.device.type, torch.bfloat16) if self.half else nullcontext():
            return self.objective.loss(net, batch)

    @property
    def phases(self) -> list[str]:
        """The parts of the work that are measured: for a network that writes texts each by its own
        name."""
        if hasattr(self.net, "generate"):
            return ["encoding", "generation", "training"]
        return ["inference", "training"]

    def compute(
        self, batch: Batch, phase: str, net=None, without: Any = torch.inference_mode
    ) -> None:
        """Computes a phase for a batch. net: in place of the one that may be compiled. without: the
        context in which gradients are left out."""
        net = net or self.forward
        if phase == "training":
            self.loss(net, batch).backward()
            return
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)
        objective: Any = self.objective
        with without(), half:
            if phase == "encoding":
                self.net.encode(*objective.source(batch, "test"))
            elif phase == "generation":
                objective.generate(self.net, batch)
            else:
                objective.loss(net, batch)

    def optimise(self) -> None:
        self.module.on_before_optimizer_step(self.optimiser)
        self.optimiser.step()
        self.optimiser.zero_grad()

    def mode(self, phase: str) -> None:
        self.net.train(phase == "training")
        self.forward.train(phase == "training")

    def time(self, phase: str, steps: int) -> Timing:
        self.mode(phase)
        train = phase == "training"
        first, step_seconds, data_seconds, optimiser_seconds = 0.0, [], [], []
        warm, clock = False, time.perf_counter
        for i in endless():
            start = clock()
            batch = self.batch(i)
            synchronise(self.device)
            fetched = clock()
            self.compute(batch, phase)
            synchronise(self.device)
            computed = clock()
            if train:
                self.optimise()
            synchronise(self.device)
            end = clock()
            if i == 0:
                first = end - fetched
            if warm:
                step_seconds.append(end - fetched)
                data_seconds.append(fetched - start)
                optimiser_seconds += [end - computed] if train else []
            warm = i > 0 or first > WARM_UP
            enough = sum(step_seconds) >= SECONDS or len(step_seconds) >= MOST_STEPS
            if len(step_seconds) >= steps and enough:
                break
        return Timing(
            first_seconds=first,
            step_seconds=step_seconds,
            data_seconds=data_seconds,
            optimiser_seconds=optimiser_seconds,
        )

    def cost(self, phase: str) -> Cost:
        """Returns peak memory and operations. Training goes last, since a peak includes all that
        the process did before."""
        self.mode(phase)
        train = phase == "training"
        start = time.monotonic()
        for i in endless():
            self.compute(self.batch(i), phase)
            if train:
                self.optimise()
            synchronise(self.device)
            steps = i + 1
            enough = steps >= (2 if train else 1)  # the second step has the optimiser's state
            if enough and time.monotonic() - start > SAMPLED:
                break
        memory = self.memory.memory()
        counted = self.count(phase)
        return Cost(memory=memory, flops=counted.flops, attention=counted.attention)

    def count(self, phase: str) -> flops.Count:
        """Counts a whole batch from batches of one and two: operations are linear in the batch."""

        def step(size: int):
            # torch's counter cannot follow parameters through modules in inference mode
            self.compute(self.batch(0, size), phase, self.net, nullcontext)
            self.optimiser.zero_grad()

        one = flops.count(lambda: step(1))
        more = flops.count(lambda: step(2)).flops - one.flops if self.batch_size > 1 else 0
        return flops.Count(one.flops + (self.batch_size - 1) * more, one.attention)


def end_with_the_lab() -> None:
    """Ends this process when the lab that started it is killed."""
    lab: Any = parent_process()

    def watch() -> None:
        lab.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def say(**what) -> None:
    print(json.dumps(what), flush=True)


def main(spec: dict[str, Any]) -> None:
    with suppress(OSError):  # if memory runs out, the kernel ends this process first
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
    end_with_the_lab()
    cfg = OmegaConf.create(spec["config"])
    runtime.quiet()
    runtime.threads(cfg.trainer.threads, None)
    say(environment=describe(cfg))
    try:
        if spec["what"] == "cost":
            runtime.return_freed_memory()
            subject = Subject(cfg, spec["compile"])
            say(parameters=subject.parameters)
            for phase in subject.phases:
                if phase != "generation":  # its operations depend on the ids that it finds
                    say(**{f"{phase}_cost": subject.cost(phase).model_dump()})
        else:
            runtime.keep_freed_memory()
            subject = Subject(cfg, spec["compile"])
            say(parameters=subject.parameters)
            dtype = torch.bfloat16 if subject.half else torch.float32
            say(matmul_flops_per_second=flops.matmul_rate(subject.device, dtype))
            for phase in subject.phases:
                say(**{phase: subject.time(phase, spec["steps"]).model_dump()})
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        say(oom=str(error).splitlines()[0])
