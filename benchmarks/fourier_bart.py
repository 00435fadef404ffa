"""python -m benchmarks.fourier_bart

Compares Fourier-BART with BART at the size of bart.base, with random weights: the encoder, a
training step (teacher forcing, forward and backward) and generation. All variants of a part work in
turns in one process; the ratio is of CPU seconds, which other work on the machine disturbs less
than the clock. Peak memory is measured in a process for each. A claim of speed names its part:
generation is the decoder's work, which the filter does not shorten.
"""

import json
import statistics
import subprocess
import sys
import time
import warnings

import torch
import torch.nn.functional as F

from benchmarks import settings, write
from lra.cli import Key, number, numbers, run
from lra.efficiency import flops
from lra.errors import UserError
from lra.machine import ROOT, cores
from lra.training import runtime
from lra.training.callbacks.memory import PeakMemory
from models.bart import Bart
from models.fourier_bart import FourierBart

SIZES = {
    "vocab_size": 50265,
    "d_model": 768,
    "n_layers": 6,
    "n_heads": 12,
    "d_ff": 3072,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
VARIANTS = {
    "bart": None,
    "keep 0.5": (0.5, "none"),
    "keep 0.2": (0.2, "none"),
    "keep 0.5, restored": (0.5, "nearest"),
}
FILTER_LAYER, TARGET, BEAMS, GENERATED = 2, 128, 4, 32
KEYS = {
    "lengths": Key("1024,4096", "tokens of the source"),
    "batch": Key("4", "examples; 1 above 2,048 tokens"),
    "rounds": Key("4", "of which the median counts"),
    "generate": Key("true", "false leaves generation out"),
    "apart": Key(None, "a variant: prints the peak memory of encoding and of a step"),
}


def network(variant: str, length: int) -> Bart:
    torch.manual_seed(0)
    positions = {"seq_len": length, "max_positions": length}
    if VARIANTS[variant] is None:
        return Bart(init=None, **positions, **SIZES)
    keep_ratio, restore = VARIANTS[variant]
    filter_ = {"keep_ratio": keep_ratio, "restore": restore, "filter_layers": [FILTER_LAYER]}
    return FourierBart(init=None, **positions, **SIZES, **filter_, padding="own")


class Subject:
    """A network, and the parts of its work."""

    def __init__(self, variant: str, length: int, batch: int):
        self.net = network(variant, length)
        torch.manual_seed(1)
        self.ids = torch.randint(4, 50000, (batch, length))
        self.lengths = torch.full((batch,), length)
        self.target = torch.randint(4, 50000, (batch, TARGET))

    def encode(self) -> None:
        self.net.eval()
        with torch.inference_mode():
            self.net.encode(self.ids, self.lengths)

    def step(self) -> None:
        self.net.train()
        logits = self.net(self.ids, self.lengths, self.target)
        F.cross_entropy(logits.flatten(0, 1), self.target.flatten()).backward()
        self.net.zero_grad()

    def generate(self) -> None:
        self.net.eval()
        beams = {"num_beams": BEAMS, "max_new_tokens": GENERATED, "min_new_tokens": GENERATED}
        self.net.generate(self.ids[:1], self.lengths[:1], **beams)


def in_turns(subjects: list[Subject], part: str, rounds: int) -> list[tuple[float, float]]:
    """Returns the median CPU and clock seconds of each."""
    found: list[list[tuple[float, float]]] = [[] for _ in subjects]
    for turn in range(rounds + 1):
        for subject, times in zip(subjects, found, strict=True):
            clock, cpu = time.perf_counter(), time.process_time()
            getattr(subject, part)()
            if turn:
                times.append((time.process_time() - cpu, time.perf_counter() - clock))
    return [
        (statistics.median(c for c, _ in each), statistics.median(w for _, w in each))
        for each in found
    ]


def formula(length: int, keep_ratio: float) -> float:
    """Returns the operations of the encoder's layers: 24 L d^2 + 4 L^2 d each."""

    def layer(L: float) -> float:
        d = SIZES["d_model"]
        return 24 * L * d**2 + 4 * L**2 * d

    rest = SIZES["n_layers"] - FILTER_LAYER
    return FILTER_LAYER * layer(length) + rest * layer(-(-length * keep_ratio // 1))


def measure_apart(variant: str, length: int, batch: int) -> None:
    runtime.return_freed_memory()
    subject, found = Subject(variant, length, batch), {}
    for part in ("encode", "step"):
        memory = PeakMemory("cpu")
        getattr(subject, part)()
        memory.stop()
        found[part] = memory.memory().peak_bytes
    found["flops"] = flops.count(subject.encode).flops
    print(json.dumps(found))


def apart(variant: str, length: int, batch: int) -> dict:
    words = [f"apart={variant}", f"lengths={length}", f"batch={batch}"]
    command = [sys.executable, "-m", "benchmarks.fourier_bart", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise UserError(f"{variant} could not be measured: {done.stderr.splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    warnings.simplefilter("ignore")
    given = settings(KEYS)
    batch, rounds = number(given, "batch"), number(given, "rounds")
    lengths = numbers(given, "lengths")
    torch.set_num_threads(cores())
    if given["apart"]:
        measure_apart(given["apart"], lengths[0], batch)
        return
    header = ["length", "part", *VARIANTS]
    lines = [
        f"{cores()} threads, bart.base, filter before layer {FILTER_LAYER}, target {TARGET}, batch "
        f"{batch} (1 above 2,048); times: CPU seconds, median of {rounds}, in turns\n",
        "| " + " | ".join(header) + " |\n|" + "---|" * len(header),
    ]
    print("\n".join(lines))

    def show(length: int, part: str, cells: list[str]) -> None:
        lines.append("| " + " | ".join([f"{length:,}", part, *cells]) + " |")
        print(lines[-1], flush=True)

    for length in lengths:
        B = batch if length <= 2048 else 1
        costs = [apart(variant, length, B) for variant in VARIANTS]
        for part in ("encode", "step"):
            bytes_ = [cost[part] for cost in costs]
            cells = [f"{b / 1e6:.0f} MB = {b / bytes_[0]:.2f}" for b in bytes_]
            show(length, f"memory, {part}", cells)
        counted = [cost["flops"] for cost in costs]
        keeps = [1.0 if pair is None else pair[0] for pair in VARIANTS.values()]
        cells = [
            f"{n / 1e9:.0f} G, {n / (B * formula(length, keep)):.3f} of the formula"
            for n, keep in zip(counted, keeps, strict=True)
        ]
        show(length, "operations, encode", cells)
        runtime.keep_freed_memory()
        subjects = [Subject(variant, length, B) for variant in VARIANTS]
        parts = ["encode", "step"] + ["generate"] * (given["generate"] == "true")
        for part in parts:
            times = in_turns(subjects, part, rounds)
            cells = [
                f"{cpu:.2f} s = {times[0][0] / cpu:.2f} (clock {times[0][1] / wall:.2f})"
                for cpu, wall in times
            ]
            show(length, part, cells)
        del subjects
    if all(given[key] == KEYS[key].default for key in ("lengths", "batch", "generate")):
        write("fourier_bart", "Fourier-BART beside BART", "\n".join(lines))


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
