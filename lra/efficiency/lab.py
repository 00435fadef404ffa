"""Measures cells (model, length) in child processes under limits, as far as they are left to do."""

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import mean
from typing import Any

import psutil
from omegaconf import DictConfig, OmegaConf

from lra import config
from lra.cli import duration
from lra.config import Configuration
from lra.config.identity import is_environment
from lra.efficiency import records
from lra.efficiency.records import Measurement
from lra.efficiency.report import BASELINE, EXPLICIT
from lra.environment import thread_count
from lra.errors import KILLED, UserError, one_of
from lra.machine import ROOT, commit, describe
from lra.training.attempt import now

# The overrides for a name that model= does not know.
SPECIAL = {
    EXPLICIT: [
        "model=transformer",
        "model.block.mixer._target_=models.attention.ExplicitAttention",
    ]
}
BASELINES = [BASELINE, EXPLICIT]
POLL = 0.02  # seconds between looks at a child's memory


@cache
def context():
    """Returns the way in which children start: as forks of a server, which has imported torch and
    computed nothing. Raises UserError where there is none."""
    if "forkserver" not in get_all_start_methods():
        raise UserError(
            "The lab measures in forked processes, which this system cannot start: use Linux, "
            "macOS, or WSL on Windows."
        )
    forking = get_context("forkserver")
    forking.set_forkserver_preload(["lra.efficiency.child"])
    return forking


@dataclass
class Cell:
    """A configuration to measure; id is the hash of everything that decides the measurement."""

    model: str
    configuration: Configuration
    compile: bool
    overrides: list[str]
    id: str = field(init=False)

    def __post_init__(self):
        identity, threads = self.configuration.identity, self.cfg.trainer.threads
        self.id = records.cell_id(identity, describe(self.cfg), threads, self.compile)

    @property
    def cfg(self) -> DictConfig:
        return self.configuration.cfg

    def __str__(self) -> str:
        return f"{self.model} at {self.cfg.model.seq_len:,}"


@dataclass(frozen=True)
class Limits:
    seconds: float
    bytes: int


# The texts that the pretrained families are measured on, whose content does not matter: BART's with
# its own vocabulary, and as many generated tokens from every model.
PAIRS = [
    "task=cnn_dailymail",
    "task.variant=sample",
    "task.variants.sample.vocab_size=50265",
    "objective.generation.max_len=32",
    "objective.generation.min_len=32",
]
PIECES = ["task=text", "task.variant=word_pieces_512"]


def compose(model: str, length: int, batch: int, overrides: list[str]) -> Configuration:
    """Returns the configuration of one cell of the lab: on byte text, or on the texts of a
    pretrained family."""
    chosen = SPECIAL.get(model) or config.choices(*config.unlabelled(model))
    task = ["task=text"]
    if config.family(model) == "bart":
        task = [*PAIRS, f"model.max_positions={max(length, 1024)}"]
    elif config.family(model) == "encoder":
        task = PIECES
    sizes = [f"model.seq_len={length}", f"batch_size={batch}"]
    configuration = Configuration.of([*task, *chosen, *sizes, *overrides])
    trainer = configuration.cfg.trainer
    trainer.threads = thread_count(trainer.threads)
    return configuration


def named(models: str) -> list[str]:
    """Returns the models in the order given, the baselines first. A family is measured alone: its
    texts are not the arena's."""
    families = {config.family(model) for model in models.split(",")}
    if len(families) == 1 and (family := families.pop()):
        return list(dict.fromkeys([family, *models.split(",")]))
    known = [*config.models(), *SPECIAL]
    chosen = config.models() if models == "all" else models.split(",")
    for model in chosen:
        name, filter_ = config.unlabelled(model)
        if name not in known or (filter_ and filter_ not in config.filters()):
            raise one_of("model", model, known)
    return list(dict.fromkeys([*BASELINES, *chosen]))


def changing(overrides: list[str]) -> list[str]:
    """Returns the overrides that affect a measurement and are not recorded in another of its
    fields, sorted."""
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return sorted(
        override
        for override, key in zip(overrides, keys, strict=True)
        if key not in ("protocol", "precision") and not is_environment(key)
    )


def memory_of_machine() -> int:
    """Returns the bytes of memory of the machine, or of the control group where it has less."""
    total = psutil.virtual_memory().total
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            total = min(total, int(Path(file).read_text(encoding="utf-8")))
    return total


def busy_elsewhere() -> float:
    """Returns the CPU seconds used so far by all other processes, the lab's forks among them."""
    import resource  # Windows has none, and no forks either

    total = psutil.cpu_times()
    busy = sum(total) - total.idle - getattr(total, "iowait", 0.0)
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return busy - sum(usage.ru_utime + usage.ru_stime for usage in own)


def start_server() -> None:
    """Starts the process that the children are forks of, unless it is there, and waits for its
    imports, which would count as another's work."""
    process = context().Process(target=int)
    process.start()
    process.join()


def measure(cell: Cell, round_: int, steps: int, limits: Limits, cost: bool = True) -> Measurement:
    """Runs the child for the cost, where asked, and the child for the time; returns a measurement.

    Raises UserError if a child fails for another reason than a limit.
    """
    start_server()
    started, start, busy = now(), time.monotonic(), busy_elsewhere()
    costs, without_cost = child(cell, "cost", steps, limits) if cost else ({}, None)
    timed, untimed = child(cell, "time", steps, limits)
    busy += sum(facts.pop("cpu_seconds", 0.0) for facts in (costs, timed))
    facts = costs | timed
    status, reason = untimed or without_cost or ("done", None)
    seconds = time.monotonic() - start
    head, dirty = commit()
    return Measurement(
        cell=cell.id,
        round=round_,
        model=cell.model,
        cost=cell.cfg.model.cost,
        protocol=cell.cfg.protocol,
        length=cell.cfg.model.seq_len,
        batch_size=cell.cfg.batch_size,
        compile=cell.compile,
        status=status,
        reason=reason,
        wall_seconds=seconds,
        others=max(0.0, busy_elsewhere() - busy) / seconds,
        limit_seconds=limits.seconds,
        limit_bytes=limits.bytes,
        overrides=cell.overrides,
        environment=facts.pop("environment"),
        commit=head,
        dirty=dirty,
        started=started,
        config=cell.configuration.identity,
        **facts,
    )


def child(cell: Cell, what: str, steps: int, limits: Limits) -> tuple[dict, tuple | None]:
    """Runs one child; returns its output with the CPU seconds that it took and, if it was stopped,
    ("oom" or "timeout", reason)."""
    spec = {
        "what": what,
        "config": OmegaConf.to_container(cell.cfg, resolve=True),
        "compile": cell.compile,
        "steps": steps,
    }
    with tempfile.TemporaryDirectory() as folder:
        said, errors = Path(folder, "said"), Path(folder, "errors")
        process = context().Process(target=_main, args=(spec, said, errors))
        process.start()
        try:
            stopped, cpu_seconds = watch(process, limits)
        finally:
            process.kill()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, 9)  # any compiler that it started
            process.join()
        code = process.exitcode
        facts: dict[str, Any] = {
            "environment": describe(cell.cfg) | {"threads": cell.cfg.trainer.threads},
            "cpu_seconds": cpu_seconds,
        }
        for line in _lines(said):
            if line.endswith("\n"):  # not a line that a kill cut
                facts |= json.loads(line)
        if not stopped and "oom" in facts:
            stopped = ("oom", facts["oom"])
        if not stopped and code == KILLED:
            stopped = ("oom", "ended by signal 9, as the kernel does when memory is short")
        if not stopped and code:
            sys.stderr.writelines(_lines(errors))
            raise UserError(f"{cell} could not be measured (code {code}): see above.")
    facts.pop("oom", None)
    return facts, stopped


def _main(spec: dict[str, Any], said: Path, errors: Path) -> None:
    """Runs in the child, whose output goes to the two files."""
    os.setsid()
    os.chdir(ROOT)
    for descriptor, path in enumerate((said, errors), start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    from lra.efficiency import child  # there by now

    child.main(spec)


def _lines(path: Path) -> list[str]:
    """Returns the lines of a file; none where the child was stopped before it began."""
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []


def watch(child: BaseProcess, limits: Limits) -> tuple[tuple[str, str] | None, float]:
    """Waits for the child and kills it at a limit; returns ("timeout" or "oom", reason) or None,
    and the CPU seconds that the child took."""
    start, cpu_seconds, stopped = time.monotonic(), 0.0, None
    while child.is_alive() and not stopped:
        with suppress(psutil.Error):  # it has just ended
            process = psutil.Process(child.pid)
            cpu_seconds = sum(process.cpu_times()[:4])  # with those of its own children
            memory = process.memory_info()
            if memory.rss - memory.shared > limits.bytes:
                stopped = "oom", f"more than {limits.bytes / 1e9:.1f} GB"
        if time.monotonic() - start > limits.seconds:
            stopped = "timeout", f"more than {limits.seconds:g} s"
        child.join(POLL)
    return stopped, cpu_seconds


class Lab:
    """The cells of one command, and the measurements that are left to do. A cell that ran out of
    memory or time is not tried again under the same limits."""

    def __init__(
        self, cells: list[Cell], rounds: int, root: Path, limits: Limits, rerun: str = "none"
    ):
        self.cells, self.rounds, self.root, self.limits = cells, rounds, root, limits
        self.found: dict[str, list[Measurement]] = {cell.id: [] for cell in cells}
        self.every = records.read_all(root)
        for measurement in self.every:
            again = rerun == "disturbed" and measurement.disturbed
            if measurement.cell in self.found and not again and not self._raised(measurement):
                self.found[measurement.cell].append(measurement)

    def _raised(self, met: Measurement) -> bool:
        """Returns whether the limit that a measurement met is higher now."""
        if met.status == "timeout":
            return met.limit_seconds < self.limits.seconds
        return met.status == "oom" and met.limit_bytes < self.limits.bytes

    def left(self) -> Iterator[tuple[int, Cell]]:
        """Yields the measurements to do, round after round."""
        for round_ in range(self.rounds):
            for cell in self.cells:
                known = self.found[cell.id]
                failed = any(m.status != "done" for m in known)
                if not failed and all(m.round != round_ for m in known):
                    yield round_, cell

    def most_seconds_left(self) -> float:
        """Returns the seconds left if each of a cell's two children takes all that it may."""
        return 2 * self.limits.seconds * len(list(self.left()))

    def seconds_left(self) -> float:
        """Returns an estimate. A cell takes as long as its model took at its length, with any
        settings; else as long as the others took at the nearest length, times the ratio of the
        lengths if the cell is longer; else all that it may."""
        took: dict[tuple[str, int], float] = {}
        for m in self.every:
            key = m.model, m.length
            took[key] = min(m.wall_seconds, took.get(key, m.wall_seconds))
        usual = defaultdict(list)
        for (_, length), seconds in took.items():
            usual[length].append(seconds)
        most = 2 * self.limits.seconds

        def expected(cell: Cell) -> float:
            length = cell.cfg.model.seq_len
            if (cell.model, length) in took:
                return took[cell.model, length]
            near = min(usual, key=lambda other: abs(other - length), default=None)
            return min(most, mean(usual[near]) * max(1, length / near)) if near else most

        return sum(expected(cell) for _, cell in self.left())

    def run(self, steps: int) -> None:
        todo = list(self.left())
        about, most = duration(self.seconds_left()), duration(self.most_seconds_left())
        print(
            f"{len(self.cells)} cells in {self.rounds} rounds: {len(todo)} measurements left, "
            f"about {about}, at most {most} (a process ends after {self.limits.seconds:g} s or "
            f"{self.limits.bytes / 1e9:.1f} GB)",
            flush=True,
        )
        failed = []
        for round_, cell in todo:
            if any(m.status != "done" for m in self.found[cell.id]):
                continue
            try:
                cost = all(m.training_cost is None for m in self.found[cell.id])
                measurement = measure(cell, round_, steps, self.limits, cost)
            except UserError as error:
                print(f"error: {error}", file=sys.stderr)
                failed.append(f"{cell}, round {round_ + 1}")
                continue
            records.write(self.root, measurement)
            self.found[cell.id].append(measurement)
            self.every.append(measurement)
            left = duration(self.seconds_left())
            print(f"round {round_ + 1}: {cell}: {said(measurement)}; about {left} left", flush=True)
        if failed:
            raise UserError(
                f"Not measured: {'; '.join(failed)}. The same command tries these again."
            )


def said(measurement: Measurement) -> str:
    parts = []
    for name in ("training", "inference", "encoding", "generation"):
        timing = getattr(measurement, name)
        if timing:
            seconds = sorted(timing.step_seconds)
            parts.append(f"{name} {seconds[len(seconds) // 2]:.3f} s a step")
    if measurement.training_cost:
        parts.append(f"{measurement.training_cost.memory.peak_bytes / 1e6:.0f} MB")
    if measurement.status != "done":
        parts.append(f"{measurement.status} ({measurement.reason})")
    return ", ".join(parts)
