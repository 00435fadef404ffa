"""Numbers from measurements: medians, ratios to the transformer, growth, where a model overtakes.

A number is the median over the rounds. A ratio is taken first, between each round and the other
model's round that is nearest in time, so that a machine that slows down does not change it.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from statistics import mean, median, quantiles

from lra.efficiency.records import Cost, Measurement, Timing

BASELINE, EXPLICIT = "transformer", "transformer_explicit"
NAMES = {BASELINE: "transformer (fused)", EXPLICIT: "transformer (N x N in memory)"}


def name_of(model: str) -> str:
    """Returns the model's name in tables and pictures of the lab."""
    return NAMES.get(model, model)


def sizes(config: dict) -> tuple:
    """Returns the settings that make the speeds of two models of one name comparable."""
    return tuple(config.get("model", {}).get(k) for k in ("d_model", "n_layers", "n_heads", "d_ff"))


@dataclass
class Rounds:
    """The rounds of one model at one length. phase: training or inference."""

    rounds: list[Measurement]

    @property
    def first(self) -> Measurement:
        return self.rounds[0]

    @property
    def quiet(self) -> list[Measurement]:
        """The rounds that no other process disturbed; all rounds if every one was disturbed."""
        return [m for m in self.rounds if not m.disturbed] or self.rounds

    def timed(self, phase: str) -> list[Measurement]:
        return [m for m in self.quiet if getattr(m, phase)]

    def timings(self, phase: str) -> list[Timing]:
        return [getattr(m, phase) for m in self.timed(phase)]

    def status(self, phase: str) -> str:
        """Returns oom or timeout if that kept the phase of a round from being timed, else done."""
        lost = [m.status for m in self.rounds if m.status != "done" and not getattr(m, phase)]
        return lost[0] if lost else "done"

    def seconds(self, phase: str) -> float | None:
        """Returns the seconds of a step."""
        return _median(median(t.step_seconds) for t in self.timings(phase))

    def quartiles(self, phase: str) -> tuple[float, float] | None:
        """Returns the quartiles of the seconds of all timed steps of all rounds."""
        steps = [s for t in self.timings(phase) for s in t.step_seconds]
        if len(steps) < 2:
            return None
        low, _, high = quantiles(steps, n=4)
        return low, high

    def cost(self, phase: str) -> Cost | None:
        """Returns the cost in the first round that has it: no load changes a cost."""
        known = (getattr(m, f"{phase}_cost", None) for m in self.rounds)
        return next(filter(None, known), None)

    def bytes(self, phase: str) -> int | None:
        """Returns the peak memory."""
        cost = self.cost(phase)
        return cost.memory.peak_bytes if cost else None

    def flops(self, phase: str) -> int | None:
        cost = self.cost(phase)
        return cost.flops if cost else None

    def part(self, phase: str, name: str) -> float | None:
        """Returns the median of data_seconds or optimiser_seconds."""
        return _median(median(getattr(t, name)) for t in self.timings(phase) if getattr(t, name))

    def compile_seconds(self, phase: str) -> float | None:
        """Returns the seconds of the first step beyond a later one: compiling, and tables made
        once."""
        return _median(t.first_seconds - median(t.step_seconds) for t in self.timings(phase))

    @property
    def attention(self) -> str:
        """The kernels that ran, by short names such as flash_attention_for_cpu."""
        costs = filter(None, map(self.cost, ("training", "inference")))
        names = {
            name.removeprefix("aten.").removeprefix("_scaled_dot_product_")
            for cost in costs
            for name in cost.attention
        }
        return ", ".join(sorted(names)) or "none fused"


def _ratios(cell: Rounds, over: Rounds, phase: str) -> list[float]:
    """Returns for each round how many times faster it is than the other model's round that is
    nearest in time."""
    ours, theirs = cell.timed(phase), over.timed(phase)
    if not theirs:
        return []
    return [_step_seconds(_nearest(theirs, m), phase) / _step_seconds(m, phase) for m in ours]


def _step_seconds(measurement: Measurement, phase: str) -> float:
    return median(getattr(measurement, phase).step_seconds)


def _nearest(others: list[Measurement], to: Measurement) -> Measurement:
    """Returns the measurement taken closest in time to `to`."""

    def distance(other: Measurement) -> tuple:
        start, own = (datetime.fromisoformat(m.started) for m in (other, to))
        return abs((start - own).total_seconds()), abs(other.round - to.round)

    return min(others, key=distance)


def _median(values) -> float | None:
    known = list(values)
    return median(known) if known else None


@dataclass
class Bench:
    """The measurements under the same conditions: cells by (model, length)."""

    cells: dict[tuple[str, int], Rounds]

    @property
    def first(self) -> Measurement:
        return next(iter(self.cells.values())).first

    @property
    def conditions(self) -> str:
        m, where = self.first, self.first.environment
        on_cpu = where["device_type"] == "cpu"
        parts = [
            *(["yours"] if m.yours else []),
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
        return max(len(cell.quiet) for cell in self.cells.values())

    @cached_property
    def models(self) -> list[str]:
        return sorted({model for model, _ in self.cells})

    @cached_property
    def lengths(self) -> list[int]:
        return sorted({length for _, length in self.cells})

    @cached_property
    def longest(self) -> int:
        """The longest of the lengths at which most models were measured."""
        measured = [length for _, length in self.cells]
        return max(self.lengths, key=lambda length: (measured.count(length), length))

    def at_longest(self, model: str, *wanted: tuple) -> Rounds | None:
        """Returns the model's cell at the longest length; None unless it has the wanted sizes."""
        cell = self.cells.get((model, self.longest))
        return cell if cell and set(wanted) == {sizes(cell.first.config)} else None

    def speedup(self, model: str, length: int, phase: str, over: str) -> float | None:
        """Returns how many times faster a model is than the model `over` at the same length."""
        ours, theirs = (self.cells.get((name, length)) for name in (model, over))
        if ours is None or theirs is None:
            return None
        return _median(_ratios(ours, theirs, phase))

    def repeatability(self) -> tuple[float, float] | None:
        """Returns by how much the rounds' ratios to the fused transformer differ in training,
        largest over smallest less one: the median over the cells, and the maximum."""
        found = []
        for (model, length), cell in self.cells.items():
            base = self.cells.get((BASELINE, length))
            ratios = _ratios(cell, base, "training") if base and model != BASELINE else []
            if len(ratios) > 1:
                found.append(max(ratios) / min(ratios) - 1)
        return (median(found), max(found)) if found else None

    def memory_ratio(self, model: str, length: int, phase: str, over: str) -> float | None:
        """Returns the peak memory over the peak of the model `over`: below 1 is less."""
        pair = [self.cells.get((name, length)) for name in (model, over)]
        ours, theirs = (cell.bytes(phase) if cell else None for cell in pair)
        return ours / theirs if ours and theirs else None

    def utilisation(self, model: str, length: int, phase: str) -> float | None:
        """Returns the MFU: the counted operations over the step's time, as a share of the machine's
        rate."""
        cell = self.cells[model, length]
        flops, seconds = cell.flops(phase), cell.seconds(phase)
        return flops / seconds / self.matmul_rate if flops and seconds else None

    @cached_property
    def matmul_rate(self) -> float:
        """The FLOP/s of matrix products, the best that any process reached. A single process
        measures a short burst and is often disturbed."""
        rates = [m.matmul_flops_per_second for cell in self.cells.values() for m in cell.rounds]
        return max(filter(None, rates), default=math.nan)

    def growth(self, model: str, phase: str, what: str) -> float | None:
        """Returns the exponent a of time (what="seconds") or memory ("bytes") ~ N^a, over all
        lengths."""
        pairs = [
            (length, value)
            for length in self.lengths
            if (cell := self.cells.get((model, length)))
            and (value := getattr(cell, what)(phase)) is not None
        ]
        return exponent(*zip(*pairs, strict=True)) if len(pairs) > 1 else None

    def overtakes(self, model: str, phase: str) -> str:
        """Returns the length from which on the model is faster than the fused transformer, between
        two measured lengths by a straight line in logarithms."""
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
    def origin(self) -> str:
        """The days of the measurements, and the commits that made them."""
        every = [m for cell in self.cells.values() for m in cell.rounds]
        days = sorted({m.started[:10] for m in every})
        commits = sorted({(m.commit or "-")[:7] + ("+" if m.dirty else "") for m in every})
        return f"{' to '.join(dict.fromkeys([days[0], days[-1]]))}, commit {', '.join(commits)}"

    @property
    def disturbed(self) -> list[str]:
        return [
            f"{m.model} at {m.length:,}, round {m.round + 1}: {m.others:.1f} cores busy elsewhere"
            for cell in self.cells.values()
            for m in cell.quiet
            if m.disturbed
        ]


def exponent(lengths, values) -> float | None:
    """Returns the least-squares slope in logarithms; None if a value was too small to measure."""
    if min(values) <= 0:
        return None
    x, y = [math.log(n) for n in lengths], [math.log(v) for v in values]
    mean_x, mean_y = mean(x), mean(y)
    products = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return products / sum((a - mean_x) ** 2 for a in x)


def benches(every: list[Measurement]) -> list[Bench]:
    """Returns one bench for each set of conditions, in a fixed order."""
    groups: dict[tuple, dict[tuple[str, int], list[Measurement]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for m in filter(lambda m: m.arena, every):
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
            m.yours,
        )
        groups[conditions][m.model, m.length].append(m)
    return [
        Bench({key: Rounds(_newest(ms)) for key, ms in sorted(cells.items())})
        for _, cells in sorted(groups.items(), key=lambda pair: str(pair[0]))
    ]


def by_cell(measurements: Iterable[Measurement]) -> list[Rounds]:
    """Returns the rounds of each cell, in a fixed order."""
    cells: dict[str, list[Measurement]] = defaultdict(list)
    for m in measurements:
        cells[m.cell].append(m)
    return [Rounds(sorted(ms, key=lambda m: m.round)) for _, ms in sorted(cells.items())]


def largest(found: list[Bench]) -> Bench | None:
    """Returns the bench with most cells. A bench of compiled or changed models counts only if no
    other exists."""

    def order(bench: Bench) -> tuple:
        return not (bench.first.compile or bench.first.overrides), len(bench.cells)

    return max(found, key=order, default=None)


def _newest(measurements: list[Measurement]) -> list[Measurement]:
    """Returns the rounds of the cell that was measured last. A model whose settings have changed
    since is another cell."""
    cell = max(measurements, key=lambda m: m.started).cell
    return sorted((m for m in measurements if m.cell == cell), key=lambda m: m.round)
