"""What the measurements say: medians, ratios to the transformer, growth, where a model overtakes.

A number is the median over the rounds; a ratio is taken within each round before that, so that a
machine that slows down between rounds does not enter it.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from statistics import mean, median, quantiles

from lra.efficiency.records import Measurement, Timing

BASELINE, EXPLICIT = "transformer", "transformer_explicit"


@dataclass
class Cell:
    """The rounds of one model at one length. phase: training or inference."""

    rounds: list[Measurement]

    @property
    def first(self) -> Measurement:
        return self.rounds[0]

    @property
    def status(self) -> str:
        return next((m.status for m in self.rounds if m.status != "done"), "done")

    def timings(self, phase: str) -> dict[int, Timing]:
        return {m.round: getattr(m, phase) for m in self.rounds if getattr(m, phase)}

    def seconds(self, phase: str) -> float | None:
        """Of a step."""
        return _median(median(t.step_seconds) for t in self.timings(phase).values())

    def quartiles(self, phase: str) -> tuple[float, float] | None:
        """Of the seconds of all timed steps of all rounds."""
        steps = [s for t in self.timings(phase).values() for s in t.step_seconds]
        if len(steps) < 2:
            return None
        low, _, high = quantiles(steps, n=4)
        return low, high

    def bytes(self, phase: str) -> float | None:
        return _median(t.memory.peak_bytes for t in self.timings(phase).values())

    def part(self, phase: str, name: str) -> float | None:
        """Median of data_seconds or optimiser_seconds."""
        return _median(
            median(getattr(t, name)) for t in self.timings(phase).values() if getattr(t, name)
        )

    def compile_seconds(self, phase: str) -> float | None:
        """What the first step took beyond a later one: compiling, and tables made once."""
        return _median(
            t.first_seconds - median(t.step_seconds) for t in self.timings(phase).values()
        )

    def flops(self, phase: str) -> int | None:
        return next((t.flops for t in self.timings(phase).values()), None)

    def utilisation(self, phase: str) -> float | None:
        """MFU: the counted operations over the step's time, as a share of the rate at which the
        same process multiplied matrices."""
        return _median(
            t.flops / median(t.step_seconds) / m.matmul_flops_per_second
            for m in self.rounds
            if (t := getattr(m, phase))
        )

    @property
    def attention(self) -> str:
        """The kernels that ran, in short: flash_attention_for_cpu."""
        names = {
            name.removeprefix("aten.").removeprefix("_scaled_dot_product_")
            for phase in ("training", "inference")
            for t in self.timings(phase).values()
            for name in t.attention
        }
        return ", ".join(sorted(names)) or "none fused"


def _median(values) -> float | None:
    known = list(values)
    return median(known) if known else None


@dataclass
class Bench:
    """All that was measured under the same conditions: cells by (model, length)."""

    cells: dict[tuple[str, int], Cell]

    @property
    def first(self) -> Measurement:
        return next(iter(self.cells.values())).first

    @property
    def conditions(self) -> str:
        m, where = self.first, self.first.environment
        on_cpu = where["device_type"] == "cpu"
        parts = [
            f"protocol {m.protocol}",
            f"batch {m.batch_size}",
            where["device"] + (f" x {where['threads']} threads" if on_cpu else ""),
            where["precision"],
            *(["compiled"] if m.compile else []),
            *m.overrides,
        ]
        return ", ".join(parts)

    @property
    def rounds(self) -> int:
        return max(len(cell.rounds) for cell in self.cells.values())

    @cached_property
    def models(self) -> list[str]:
        return sorted({model for model, _ in self.cells})

    @cached_property
    def lengths(self) -> list[int]:
        return sorted({length for _, length in self.cells})

    def speedup(self, model: str, length: int, phase: str, over: str) -> float | None:
        """How many times faster than the model `over` at the same length."""
        return self._ratio(model, length, phase, over, lambda t: median(t.step_seconds))

    def memory_ratio(self, model: str, length: int, phase: str, over: str) -> float | None:
        """Its peak over that of the model `over`: below 1 is less."""
        ratio = self._ratio(model, length, phase, over, lambda t: t.memory.peak_bytes)
        return 1 / ratio if ratio else None

    def _ratio(self, model, length, phase, over, value) -> float | None:
        pair = [self.cells.get((name, length)) for name in (model, over)]
        if None in pair:
            return None
        ours, theirs = (cell.timings(phase) for cell in pair)
        return _median(value(theirs[r]) / value(ours[r]) for r in ours.keys() & theirs.keys())

    def growth(self, model: str, phase: str, what: str) -> float | None:
        """Exponent a of time (what="seconds") or memory ("bytes") ~ N^a, over all lengths."""
        pairs = [
            (length, value)
            for length in self.lengths
            if (cell := self.cells.get((model, length)))
            and (value := getattr(cell, what)(phase)) is not None
        ]
        return exponent(*zip(*pairs, strict=True)) if len(pairs) > 1 else None

    def overtakes(self, model: str, phase: str) -> str:
        """From which length on the model is faster than the fast transformer: between two measured
        lengths by a straight line in logarithms."""
        ratios = [
            (length, ratio)
            for length in self.lengths
            if (ratio := self.speedup(model, length, phase, BASELINE)) is not None
        ]
        if model == BASELINE or not ratios:
            return "-"
        slower = [i for i, (_, ratio) in enumerate(ratios) if ratio <= 1]
        if not slower:
            return f"below {ratios[0][0]:,}"
        if slower[-1] == len(ratios) - 1:
            return f"not up to {ratios[-1][0]:,}"
        (n0, r0), (n1, r1) = ratios[slower[-1]], ratios[slower[-1] + 1]
        share = -math.log(r0) / (math.log(r1) - math.log(r0))
        return f"{math.exp(math.log(n0) + share * math.log(n1 / n0)):,.0f}"

    @property
    def disturbed(self) -> list[str]:
        return [
            f"{m.model} at {m.length:,}, round {m.round + 1}: {m.others:.1f} cores busy elsewhere"
            for cell in self.cells.values()
            for m in cell.rounds
            if m.disturbed
        ]


def exponent(lengths, values) -> float:
    """Least-squares slope in logarithms."""
    x, y = [math.log(n) for n in lengths], [math.log(v) for v in values]
    mean_x, mean_y = mean(x), mean(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def benches(measurements: list[Measurement]) -> list[Bench]:
    """One for each set of conditions, in a fixed order."""
    groups: dict[tuple, dict[tuple[str, int], list[Measurement]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for m in measurements:
        where = m.environment
        conditions = (
            m.protocol,
            m.batch_size,
            where["device"],
            where["threads"],
            where["precision"],
            where["torch"],
            m.compile,
            tuple(m.overrides),
        )
        groups[conditions][m.model, m.length].append(m)
    return [
        Bench({key: Cell(_newest(ms)) for key, ms in sorted(cells.items())})
        for _, cells in sorted(groups.items(), key=lambda pair: str(pair[0]))
    ]


def _newest(measurements: list[Measurement]) -> list[Measurement]:
    """The rounds of the cell that was measured last: a model whose settings have changed since is
    another cell."""
    cell = max(measurements, key=lambda m: m.started).cell
    return sorted((m for m in measurements if m.cell == cell), key=lambda m: m.round)
