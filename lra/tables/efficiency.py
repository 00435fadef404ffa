"""Speed and memory by length, and LRA's Table 2 and the Fourier Transformer's efficiency table
beside what was measured here."""

import pandas as pd

from lra import published
from lra.efficiency.records import Measurement
from lra.efficiency.report import BASELINE, EXPLICIT, Bench, Rounds, benches
from lra.tables.table import Document, Table

NAMES = {BASELINE: "transformer (fused)", EXPLICIT: "transformer (N x N in memory)"}
PAPERS = {
    "lra": "Long Range Arena, Table 2 (Tay et al. 2021, arXiv 2011.04006): byte-level text, batch "
    "32, 4x4 TPU V3",
    "fourier": "Fourier Transformer, speed and memory (He et al. 2023, arXiv 2305.15099): text",
}
RATIOS = {"speed_ratio": "speed", "memory_ratio": "memory"}
NEAR = 0.05  # 1,024 stands for their 1K


def document(measurements: list[Measurement], verified_only: bool = False) -> Document:
    figures = published.efficiency(verified_only)
    tables, notes = [], []
    for bench in benches(measurements):
        notes.append(
            f"{bench.conditions}: rounds: {bench.rounds}, measured {bench.origin}, "
            f"torch {bench.first.environment['torch']}; matrix products at "
            f"{bench.matmul_rate / 1e9:.0f} GFLOP/s"
        )
        tables += lab(bench)
        for name, title in PAPERS.items():
            theirs = figures[(figures.table == name) & figures.metric.isin(RATIOS)]
            if theirs.empty:
                notes.append(f"{title}: no figure is verified")
            else:
                tables.append(paper(title, theirs, bench))
        notes += [f"not a quiet machine ({bench.conditions}): {text}" for text in bench.disturbed]
    notes += [
        "text of bytes at full length, without padding; a step is forward, backward and optimiser; "
        "the batch is fetched before it (data, apart); one process a cell and round, a warm-up, "
        "the device synchronised",
        "a time is the median of the rounds' medians (in the .csv with the quartiles of all "
        "steps); a ratio is taken within each round",
        "memory: peak above the level before the model, of the allocator on CUDA, of anonymous "
        "resident memory on CPU, in a process where the C library keeps no freed buffers",
        "a growth is fitted to the lengths that were measured: fewer where time or memory ran out",
        f"{NAMES[BASELINE]}: torch's scaled_dot_product_attention, the baseline users have; "
        f"{NAMES[EXPLICIT]}: the baseline the papers had",
        "FLOPs: matrix products, attention kernels and Fourier transforms; MFU: their share of the "
        "rate of matrix products, at the best of all processes",
        "italics: from memory, not checked against the paper (verified_only=true leaves them out)",
    ]
    return Document("efficiency", tables, list(dict.fromkeys(notes)))


def name_of(model: str) -> str:
    return NAMES.get(model, model)


def lab(bench: Bench) -> list[Table]:
    long = pd.DataFrame(
        [
            line
            for model in bench.models
            for length in bench.lengths
            for phase in ("training", "inference")
            if (line := _long(bench, model, length, phase))
        ]
    )
    made = []
    for phase in ("training", "inference"):
        for what, text in (
            ("steps per second", _speed),
            (
                "times as fast as the fused transformer (as the explicit one)",
                _ratios,
            ),
            ("peak memory, MB", _memory),
        ):
            title = f"{phase.capitalize()}: {what} ({bench.conditions})"
            made.append(_by_length(bench, phase, title, text))
    made[0].long = long
    for table in made[1:]:
        table.long = pd.DataFrame()
    made.append(_details(bench))
    return made


def _by_length(bench: Bench, phase: str, title: str, text) -> Table:
    lines = []
    for model in bench.models:
        first = next(cell for (name, _), cell in bench.cells.items() if name == model).first
        line = {"model": name_of(model), "cost": first.cost}
        for length in bench.lengths:
            cell = bench.cells.get((model, length))
            line[f"{length:,}"] = "-" if cell is None else text(bench, cell, phase)
        if text is _ratios:
            line["overtakes it at"] = bench.overtakes(model, phase)
        else:
            growth = bench.growth(model, phase, "bytes" if text is _memory else "seconds")
            line["grows as"] = "-" if growth is None else f"N^{growth:.2f}"
        lines.append(line)
    return Table(title, pd.DataFrame(lines))


def _speed(bench: Bench, cell: Rounds, phase: str) -> str:
    seconds = cell.seconds(phase)
    if seconds is None:
        return cell.status
    lost = "" if cell.status == "done" else f" ({cell.status} in another round)"
    return f"{1 / seconds:.2f}{lost}"


def _ratios(bench: Bench, cell: Rounds, phase: str) -> str:
    """2.1 (5.0): over the fused transformer, and over the explicit one."""
    key = cell.first.model, cell.first.length, phase
    if cell.seconds(phase) is None:
        return cell.status
    over = [bench.speedup(*key, other) for other in (BASELINE, EXPLICIT)]
    fast, explicit = ("-" if ratio is None else f"{ratio:.2f}" for ratio in over)
    return f"{fast} ({explicit})"


def _memory(bench: Bench, cell: Rounds, phase: str) -> str:
    value = cell.bytes(phase)
    if value is None:
        return "-" if cell.status == "done" else cell.status
    return f"{value / 1e6:,.0f}"


def _details(bench: Bench) -> Table:
    """Of training at the longest length."""
    longest = bench.lengths[-1]
    lines = []
    for model in bench.models:
        cell = bench.cells.get((model, longest))
        if cell is None or cell.seconds("training") is None:
            continue
        seconds = cell.seconds("training")
        low, high = cell.quartiles("training") or (seconds, seconds)
        lines.append(
            {
                "model": name_of(model),
                "ms a step": f"{1000 * seconds:,.0f}",
                "quartiles": f"{1000 * low:,.0f}-{1000 * high:,.0f}",
                "examples/s": f"{cell.first.batch_size / seconds:.1f}",
                "data ms": f"{1000 * cell.part('training', 'data_seconds'):.1f}",
                "optimiser ms": f"{1000 * cell.part('training', 'optimiser_seconds'):.1f}",
                "first step, more ms": f"{1000 * cell.compile_seconds('training'):,.0f}",
                "GFLOP a step": _or_dash(cell.flops("training"), "{:.1f}", 1e-9),
                "MFU": _or_dash(bench.utilisation(model, longest, "training"), "{:.0f} %", 100),
                "parameters": _or_dash(cell.first.parameters, "{:,}"),
                "attention kernel": cell.attention,
            }
        )
    title = f"Training at {longest:,}: where the time goes ({bench.conditions})"
    return Table(title, pd.DataFrame(lines), long=pd.DataFrame())


def _or_dash(value: float | None, form: str, scale: float = 1) -> str:
    return "-" if value is None else form.format(scale * value)


def _long(bench: Bench, model: str, length: int, phase: str) -> dict | None:
    cell = bench.cells.get((model, length))
    if cell is None:
        return None
    seconds = cell.seconds(phase)
    low, high = cell.quartiles(phase) or (None, None)
    key = model, length, phase
    return {
        "conditions": bench.conditions,
        "model": model,
        "length": length,
        "phase": phase,
        "status": "done" if seconds is not None else cell.status,
        "rounds": len(cell.timings(phase)),
        "seconds": seconds,
        "lower_quartile": low,
        "upper_quartile": high,
        "examples_per_second": seconds and cell.first.batch_size / seconds,
        "peak_bytes": cell.bytes(phase),
        "speed_to_fused": bench.speedup(*key, BASELINE),
        "speed_to_explicit": bench.speedup(*key, EXPLICIT),
        "memory_to_fused": bench.memory_ratio(*key, BASELINE),
        "memory_to_explicit": bench.memory_ratio(*key, EXPLICIT),
        "data_seconds": cell.part(phase, "data_seconds"),
        "optimiser_seconds": cell.part(phase, "optimiser_seconds"),
        "compile_seconds": cell.compile_seconds(phase),
        "flops": cell.flops(phase),
        "mfu": bench.utilisation(*key),
        "attention": cell.attention,
    }


def paper(title: str, figures: pd.DataFrame, bench: Bench) -> Table:
    """Ratios to the transformer: published, ours to the explicit one, ours to the fused one."""
    lengths = sorted(figures.length.unique())
    heads = [(metric, n) for metric in RATIOS for n in lengths]
    columns = ["method", "", *(f"{RATIOS[metric]} {n // 1000}K" for metric, n in heads)]
    lines, styles = [], []

    def add(method: str, which: str, cells: list[str], marks: list[str]) -> None:
        lines.append([method, which, *cells])
        styles.append(["", "", *marks])

    for method, group in figures.groupby("method", sort=False):
        theirs = {(f.metric, f.length): f for f in group.itertuples()}
        known = [theirs.get(head) for head in heads]
        marks = ["" if f is None or f.status != published.RECALLED else f.status for f in known]
        add(method, "published", ["-" if f is None else f"{f.value:g}" for f in known], marks)
        model = group.model.iloc[0]
        for label, other in (("ours, to N x N", EXPLICIT), ("ours, to fused", BASELINE)):
            cells = [_ours(bench, model, metric, n, other) for metric, n in heads]
            if set(cells) != {"-"}:
                add("", label, cells, [""] * len(heads))
    frame = pd.DataFrame(lines, columns=columns)
    return Table(
        f"{title}; ours: {bench.conditions}",
        frame,
        pd.DataFrame(styles, columns=columns),
        pd.DataFrame(),
    )


def _ours(bench: Bench, model: str, metric: str, n: int, other: str) -> str:
    near = [length for length in bench.lengths if abs(length / n - 1) <= NEAR]
    if not near:
        return "-"
    ratio = bench.speedup if metric == "speed_ratio" else bench.memory_ratio
    value = ratio(model, near[0], "training", other)
    cell = bench.cells.get((model, near[0]))
    if value is None:
        return "-" if cell is None or cell.status == "done" else cell.status
    return f"{value:.2f}"
