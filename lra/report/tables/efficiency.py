"""Speed and memory by length, beside the figures for bytes of text in LRA's Table 2 and in the
efficiency tables of the Fourier Transformer and Skyformer."""

import pandas as pd

from lra.efficiency.records import Measurement
from lra.efficiency.report import BASELINE, EXPLICIT, Bench, Rounds, benches, name_of
from lra.report import published
from lra.report.tables.table import Document, Table

PAPERS = {
    "lra": "Long Range Arena, Table 2 (Tay et al. 2021, arXiv 2011.04006): byte-level text, batch "
    "32, 4x4 TPU V3",
    "fourier": "Fourier Transformer, speed and memory (He et al. 2023, arXiv 2305.15099): text",
    "skyformer": "Skyformer, Table 2 (Chen et al. 2021, arXiv 2111.00035): text, Tesla V100; "
    "ratios of its training hours and GB",
}
RATIOS = {"speed_ratio": "speed", "memory_ratio": "memory"}
ABSOLUTE = {"steps_per_s": "steps/s", "memory_gb": "GB"}
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
        if apart := bench.repeatability():
            usual, most = (f"{100 * share:.0f} %" for share in apart)
            notes.append(
                f"{bench.conditions}: the rounds' speed-ups in training over the fused transformer "
                f"differ by {usual} (median of the cells), by {most} at most"
            )
        if bench.first.compile and bench.first.environment["device_type"] == "cpu":
            notes.append(f"{bench.conditions}: peak memory holds the compiler, too")
        tables += lab(bench)
        for name, title in PAPERS.items():
            theirs = figures[(figures.table == name) & (figures.task == "text")]
            if name == "skyformer":
                theirs = _ratios_of(theirs)
            if theirs.empty:
                notes.append(f"{title}: no figure is verified")
                continue
            tables.append(paper(title, theirs, bench, RATIOS))
            if set(ABSOLUTE) <= set(theirs.metric):
                tables.append(paper(f"{title}, as printed", theirs, bench, ABSOLUTE))
        notes += [f"not a quiet machine ({bench.conditions}): {text}" for text in bench.disturbed]
    notes += [
        "text of bytes at full length, without padding; a step is forward, backward and optimiser; "
        "the batch is fetched before it (data, apart); one process a cell and round, a warm-up, "
        "the device synchronised",
        "a time is the median of the rounds' medians (in the .csv with the quartiles of all "
        "steps); a ratio is taken between rounds that are nearest in time",
        "memory: peak above the level before the model, of the allocator on CUDA, of anonymous "
        "resident memory on CPU, in a process where the C library keeps no freed buffers; times "
        "are taken where it keeps them, faster and with more memory: oom can stand beside a peak",
        "a growth is fitted to the lengths that were measured: fewer where time or memory ran out",
        f"{name_of(BASELINE)}: torch's scaled_dot_product_attention, the baseline users have; "
        f"{name_of(EXPLICIT)}: the baseline the papers had",
        "FLOPs: matrix products, attention kernels and Fourier transforms; MFU: their share of the "
        "rate of matrix products, at the best of all processes",
        "italics: from memory, not checked against the paper (verified_only=true leaves them out)",
    ]
    return Document("efficiency", tables, list(dict.fromkeys(notes)))


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
    frame = pd.DataFrame(lines)
    lengths = [column for column in frame if column not in ("model", "grows as", "cost")]
    rest = [column for column in ("grows as", "cost") if column in frame]
    return Table(title, frame, terminal=["model", *reversed(lengths), *rest])


def _speed(bench: Bench, cell: Rounds, phase: str) -> str:
    seconds = cell.seconds(phase)
    lost = cell.status(phase)
    if seconds is None:
        return lost
    return f"{1 / seconds:.2f}" + ("" if lost == "done" else f" ({lost} in another round)")


def _ratios(bench: Bench, cell: Rounds, phase: str) -> str:
    """Returns the speed-up over the fused transformer and, in brackets, over the explicit one."""
    key = cell.first.model, cell.first.length, phase
    if cell.seconds(phase) is None:
        return cell.status(phase)
    over = [bench.speedup(*key, other) for other in (BASELINE, EXPLICIT)]
    fast, explicit = ("-" if ratio is None else f"{ratio:.2f}" for ratio in over)
    return f"{fast} ({explicit})"


def _memory(bench: Bench, cell: Rounds, phase: str) -> str:
    value = cell.bytes(phase)
    if value is None:
        return next((m.status for m in cell.rounds if m.status != "done"), "-")
    return f"{value / 1e6:,.0f}"


def _details(bench: Bench) -> Table:
    """Returns the table of training at the longest length."""
    longest = bench.longest
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
                **(
                    {"compiling, s": f"{cell.compile_seconds('training'):.1f}"}
                    if cell.first.compile
                    else {}
                ),
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
        "status": "done" if seconds is not None else cell.status(phase),
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
        "compile_seconds": cell.compile_seconds(phase) if cell.first.compile else None,
        "flops": cell.flops(phase),
        "mfu": bench.utilisation(*key),
        "attention": cell.attention,
    }


def _ratios_of(figures: pd.DataFrame) -> pd.DataFrame:
    """Returns the hours and GB that Skyformer prints as ratios to its transformer."""
    base = figures[figures.model == BASELINE].set_index("metric").value
    if base.empty:
        return figures.head(0)
    speed, memory = (figures[figures.metric == name] for name in ("train_hours", "memory_gb"))
    return pd.concat(
        [
            speed.assign(metric="speed_ratio", value=base["train_hours"] / speed.value),
            memory.assign(metric="memory_ratio", value=memory.value / base["memory_gb"]),
        ]
    )


def paper(title: str, figures: pd.DataFrame, bench: Bench, metrics: dict[str, str]) -> Table:
    """Returns the table of a paper's figures and ours.

    metrics: RATIOS to the transformer (ours to the explicit and to the fused one), or ABSOLUTE.
    """
    figures = figures[figures.metric.isin(metrics)]
    lengths = sorted(figures.length.unique())
    heads = [(metric, n) for metric in metrics for n in lengths]
    columns = ["method", "", *(f"{metrics[metric]} {n // 1000}K" for metric, n in heads)]
    compared: tuple[tuple[str, str | None], ...] = (
        ("ours, to N x N", EXPLICIT),
        ("ours, to fused", BASELINE),
    )
    if metrics is ABSOLUTE:
        compared = (("ours", None),)
    lines, styles = [], []

    def add(method: str, which: str, cells: list[str], marks: list[str]) -> None:
        lines.append([method, which, *cells])
        styles.append(["", "", *marks])

    for method, group in figures.groupby("method", sort=False):
        theirs = {(f.metric, f.length): f for f in group.itertuples()}
        known = [theirs.get(head) for head in heads]
        marks = ["" if f is None or f.status != published.RECALLED else f.status for f in known]
        add(method, "published", ["-" if f is None else f"{f.value:.3g}" for f in known], marks)
        model = group.model.iloc[0]
        for label, other in compared:
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


def _ours(bench: Bench, model: str, metric: str, n: int, other: str | None) -> str:
    """Returns our value in training at the length that stands for n. other: the model that a ratio
    refers to."""
    near = [length for length in bench.lengths if abs(length / n - 1) <= NEAR]
    cell = bench.cells.get((model, near[0])) if near else None
    if cell is None:
        return "-"
    key = model, near[0], "training"
    seconds, peak = cell.seconds("training"), cell.bytes("training")
    value = {
        "steps_per_s": seconds and 1 / seconds,
        "memory_gb": peak and peak / 1e9,
        "speed_ratio": other and bench.speedup(*key, other),
        "memory_ratio": other and bench.memory_ratio(*key, other),
    }[metric]
    if value is None:
        own = seconds if metric in ("steps_per_s", "speed_ratio") else peak
        lost = cell.status("training")
        return "-" if own is not None or lost == "done" else lost
    return f"{value:.2f}"
