"""Pictures of rows and measurements, drawn by matplotlib."""

from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from lra import config
from lra.efficiency.report import BASELINE, EXPLICIT, Bench, name_of
from lra.errors import UserError
from lra.files import replacing
from lra.report.groups import Entry, Key, entries, measured_as
from lra.report.inherited import TOLD, begins, filtered
from lra.report.papers import Ours, complete
from lra.report.published import METRIC
from lra.report.statistics import interval
from lra.report.style import COLOURS, MARKERS, style
from lra.store import runs
from lra.store.row import MAJORITY, Row

matplotlib.rcParams |= {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.bbox": "tight",
    "savefig.dpi": 160,
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


def styles(names: list[str]) -> dict[str, dict]:
    """Returns matplotlib's colour and marker for each model (style.py)."""
    found = {name: style(name) for name in names}
    return {
        name: {"color": s.colour, "marker": s.marker, "ls": "--" if s.dashed else "-"}
        for name, s in found.items()
    }


AREA = 900  # of the largest bubble, in square points


def trade_off(chosen: list[Row], protocol: str, bench: Bench) -> Figure | None:
    """Draws the mean test score against training speed at the longest length; area: peak memory."""
    ours = Ours(chosen, protocol)
    tasks, models = complete(ours)
    longest = bench.longest
    points: list[tuple[str, float, float, float]] = []
    reach: dict[str, tuple[float, float]] = {}  # of the 95 % interval, below and above
    for model in models:
        cell = bench.at_longest(measured_as(model), *ours.sizes(model, tasks))
        if cell is not None and cell.seconds("training") and cell.bytes("training"):
            score = sum(ours.percent(model, task) for task in tasks) / len(tasks)
            speed = cell.first.batch_size / cell.seconds("training")
            points.append((model, speed, score, cell.bytes("training") / 1e6))
            reach[model] = _reach([ours.rows[model, task] for task in tasks])
    if len(points) < 2:
        return None
    figure, axes = plt.subplots(figsize=(7, 4.4))
    trivial = [ours.baselines(task) for task in tasks]
    for rule in sorted(set.intersection(*map(set, trivial))):
        level = sum(accuracies[rule] for accuracies in trivial) / len(tasks)
        axes.axhline(level, color="0.5", lw=0.8, ls=":")
        axes.annotate(
            rule,
            (1, level),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
            fontsize=7,
        )
    look = styles([name for name, *_ in points])
    most = max(memory for *_, memory in points)
    for name, speed, score, memory in points:
        axes.scatter(
            speed,
            score,
            s=AREA * memory / most,
            color=look[name]["color"],
            alpha=0.55,
            edgecolors="black",
            linewidths=0.6,
        )
        below, above = reach[name]
        axes.errorbar(speed, score, yerr=[[below], [above]], fmt=".", ms=4, lw=0.9, color="black")
    front = [p for p in points if not any(o[1] >= p[1] and o[2] >= p[2] and o != p for o in points)]
    front.sort(key=lambda point: point[1])
    if len(front) > 1:
        front_line = [speed for _, speed, *_ in front], [score for *_, score, _ in front]
        said = "none is faster and better"
        axes.plot(*front_line, ls="--", lw=1, color="0.4", zorder=0, label=said)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(
        FuncFormatter(lambda x, _: f"{x:g}" if f"{x:e}"[0] in "25" else "")
    )
    axes.margins(x=0.18, y=0.2)
    for megabytes in _round_sizes(most):
        area = AREA * megabytes / most
        axes.scatter([], [], s=area, color="0.8", edgecolors="black", label=f"{megabytes:,.0f} MB")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), labelspacing=1.8, handletextpad=2)
    seeds = sorted({len(r) for (m, t), r in ours.rows.items() if m in models and t in tasks})
    axes.set_xlabel(f"training examples per second at {longest:,} bytes\n({bench.conditions})")
    axes.set_ylabel(f"mean test {METRIC.heading}\n({', '.join(config.title(t) for t in tasks)})")
    axes.set_title(
        f"protocol {protocol}, {_seeds(seeds)}; bars: 95 % intervals; area: peak training memory",
        fontsize=9,
        loc="left",
    )
    radius = {name: (AREA / np.pi * memory / most) ** 0.5 for name, *_, memory in points}
    names = [(x, y, name_of(n), radius[n], look[n]["color"]) for n, x, y, _ in points]
    label(axes, names)
    return figure


def _seeds(counts: list[int]) -> str:
    """Returns a sorted list of numbers of seeds in words: 1 seed, 2 to 3 seeds."""
    many = " to ".join(dict.fromkeys([str(counts[0]), str(counts[-1])]))
    return f"{many} seed{'s' if counts[-1] > 1 else ''}"


def _reach(of_tasks: list[list[Row]]) -> tuple[float, float]:
    """Returns how far the interval of the mean over tasks reaches below and above it, in percent.
    The tasks' errors are independent."""
    below, above = [], []
    for rows in of_tasks:
        scores = [row.test_score for row in rows]
        low, high = interval(scores, rows[0].headline)
        value = np.mean([score.value for score in scores])
        below.append(value - low)
        above.append(high - value)
    low, high = (100 * float(np.hypot.reduce(side)) / len(of_tasks) for side in (below, above))
    return low, high


def _round_sizes(most: float) -> list[float]:
    """Returns three sizes for a legend, each about a quarter of the next."""
    sizes = (most, most / 4, most / 16)
    return [float(f"{size:.0e}") for size in sizes]


ANGLES = (0, 180, 90, 270, 45, 135, 315, 225)  # degrees, in order of preference


def label(axes, points: list[tuple[float, float, str, float, str]]) -> None:
    """Writes each name beside its bubble, at the nearest place that overlaps no other bubble and no
    other name. A name further away gets a line to its bubble.

    points: (x, y, name, radius of the bubble in points, colour of the name).
    """
    figure = axes.figure
    figure.canvas.draw()
    scale = figure.dpi / 72
    centres = [axes.transData.transform(point[:2]) for point in points]
    bubbles = [
        Bbox([centre - 0.9 * scale * radius, centre + 0.9 * scale * radius])
        for centre, (*_, radius, _) in zip(centres, points, strict=True)
    ]
    taken: list[Bbox] = []
    for i, (x, y, text, radius, colour) in enumerate(points):
        others = bubbles[:i] + bubbles[i + 1 :] + taken
        for gap, angle in product((3, 14, 28), np.radians(ANGLES)):
            right, up = np.cos(angle), np.sin(angle)
            note = axes.annotate(
                text,
                (x, y),
                xytext=((radius + gap) * right, (radius + gap) * up),
                textcoords="offset points",
                ha="left" if right > 0.1 else "right" if right < -0.1 else "center",
                va="bottom" if up > 0.1 else "top" if up < -0.1 else "center",
                fontsize=8,
                color=colour,
                arrowprops={"arrowstyle": "-", "lw": 0.6} if gap > 3 else None,
            )
            note.update_positions(figure.canvas.get_renderer())
            box = Text.get_window_extent(note)  # without the line
            if axes.bbox.containsx(box.x1) and not any(box.overlaps(other) for other in others):
                break
            note.remove()
        else:
            note = axes.annotate(text, (x, y), fontsize=8, color=colour)  # no place is free
        note.update_positions(figure.canvas.get_renderer())
        taken.append(Text.get_window_extent(note))


LEAST = 10  # percentage points that an axis of curves spans


def curves(chosen: list[Row]) -> Figure | None:
    """Draws the val metric by step; the band is from the lowest to the highest seed."""
    panels: dict[Key, dict[str, list]] = defaultdict(dict)
    for key, lines in entries(chosen).items():
        for entry in lines:
            pairs = [(row, runs.read_curve(row)) for row in entry.rows]
            known = [(row, curve) for row, curve in pairs if curve is not None]
            if known:
                panels[key][entry.name] = known
    if not panels:
        return None
    columns = min(4, len(panels))
    height = -(-len(panels) // columns)
    size = 3.2 * columns, 2.8 * height
    figure, grid = plt.subplots(height, columns, figsize=size, squeeze=False)
    look = styles(sorted({model for models in panels.values() for model in models}))
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    ordered = sorted(panels.items(), key=lambda panel: (panel[0].protocol, *panel[0]))
    for axes, (key, models) in zip(grid.flat, ordered, strict=False):
        first = next(iter(models.values()))[0][0]
        metric = first.selection
        for model, pairs in sorted(models.items()):
            steps = sorted(set.intersection(*(set(curve.step) for _, curve in pairs)))
            values = np.array(
                [metric.scale * c.set_index("step").val[steps].to_numpy() for _, c in pairs]
            )
            axes.plot(steps, values.mean(0), ms=3.5, lw=1.2, label=model, **look[model])
            if len(pairs) > 1:
                axes.fill_between(
                    steps, values.min(0), values.max(0), color=look[model]["color"], alpha=0.2, lw=0
                )
        baselines = runs.baselines([row for pairs in models.values() for row, _ in pairs])
        majority = baselines.get(MAJORITY, {}).get("val")
        if majority is not None and metric == first.headline:
            axes.axhline(metric.scale * majority, color="0.5", lw=0.8, ls=":")
        low, high = axes.get_ylim()
        if metric.scale == 100 and high - low < LEAST:  # noise is not to look like learning
            axes.set_ylim((low + high - LEAST) / 2, (low + high + LEAST) / 2)
        axes.set_title(f"{key.task}/{key.variant}, {key.protocol}", fontsize=8)
        axes.set_ylabel(f"val {metric.heading}" if axes in grid[:, 0] else "")
        axes.set_xlabel("step")
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        [handles[name] for name in look], list(look), loc="outside lower center", ncols=len(look)
    )
    figure.suptitle(
        "dotted: the majority label; band: from the lowest to the highest seed", fontsize=8
    )
    return figure


def labels(levels: dict[str, float], room: float) -> list[tuple[float, str]]:
    """Returns (place, text) of the names of levels; those nearer to each other than `room` share a
    text."""
    found: list[tuple[float, str]] = []
    for name, level in sorted(levels.items(), key=lambda pair: pair[1]):
        if found and level - found[-1][0] < room:
            found[-1] = (found[-1][0], f"{found[-1][1]}, {name}")
        else:
            found.append((level, name))
    return found


def inherited(chosen: list[Row]) -> Figure | None:
    """Draws the test score of each setting of the filter, with its 95 % interval: a panel for each
    table of texts or of pretrained models, a colour for each kind of first weights."""
    tables = {k: lines for k, lines in entries(chosen, told=TOLD).items() if len(lines) > 1}
    if not tables:
        return None
    settings = {key: sorted({_place(e) for e in lines}) for key, lines in tables.items()}
    heights = [len(names) + 3.5 for names in settings.values()]
    figure, grid = plt.subplots(
        len(tables),
        1,
        figsize=(7.5, 0.32 * sum(heights) + 0.8),
        squeeze=False,
        height_ratios=heights,
    )
    kinds = sorted({begins(e.first) for lines in tables.values() for e in lines})
    look = {
        kind: {"color": colour, "marker": marker}
        for kind, colour, (marker, _) in zip(kinds, COLOURS, MARKERS, strict=False)
    }
    for axes, (key, lines) in zip(grid[:, 0], tables.items(), strict=True):
        places, metric = settings[key], lines[0].metric
        for entry in lines:
            kind = begins(entry.first)
            shift = 0.3 * ((kinds.index(kind) + 0.5) / len(kinds) - 0.5)
            value, (low, high) = metric.scale * entry.mean, entry.interval
            reach = [[value - metric.scale * low], [metric.scale * high - value]]
            place = places.index(_place(entry)) + shift
            axes.errorbar(value, place, xerr=reach, ls="", ms=5, lw=1.2, label=kind, **look[kind])
        rules = runs.baselines([row for entry in lines for row in entry.rows])
        levels = {rule: metric.scale * values["test"] for rule, values in rules.items()}
        for level in levels.values():
            axes.axvline(level, color="0.5", lw=0.8, ls=":")
        low, high = axes.get_xlim()
        for level, text in labels(levels, 0.03 * (high - low)):
            axes.annotate(
                text,
                (level, 1.02),
                xycoords=("data", "axes fraction"),
                fontsize=7,
                rotation=30,
                rotation_mode="anchor",
            )
        axes.set_yticks(range(len(places)), [name for *_, name in places])
        axes.set_ylim(len(places) - 0.5, -0.5)
        axes.set_xlabel(f"test {metric.heading}")
        axes.set_title(
            f"{config.title(key.task)}, {key.variant}, {key.protocol}", loc="left", pad=56
        )
    handles: dict[str, Any] = {}
    for axes in grid.flat:
        handles |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
    figure.legend(
        [handles[kind] for kind in kinds], kinds, loc="outside lower center", ncols=len(kinds)
    )
    return figure


def _place(entry: Entry) -> tuple[float, str, str]:
    """Returns the place of a line from top to bottom, and its name: the plain model, then the
    filters, that which keeps most first."""
    keep = entry.first.config["model"].get("keep_ratio")
    by_filter = filtered(entry.first)
    name = f"{entry.name}, {by_filter}" if by_filter else entry.name
    return -2.0 if keep is None else -keep, by_filter, name


GROUPS = {
    "claims N^2": ("N^2",),
    "claims N log N or N^1.5": ("N log N", "N^1.5"),
    "claims N": ("N",),
}


def lengths(bench: Bench) -> Figure:
    """Draws time and memory of training by length, with the fitted exponents; the transformers are
    in every panel."""
    costs = {model: cell.first.cost for (model, _), cell in bench.cells.items()}
    references = [BASELINE, EXPLICIT]
    quantities = {"ms a training step": ("seconds", 1000), "peak memory, MB": ("bytes", 1e-6)}
    figure, grid = plt.subplots(len(GROUPS), 2, figsize=(12, 10.5), sharex=True, sharey="col")
    for axes_row, (group, claimed) in zip(grid, GROUPS.items(), strict=True):
        models = [m for m in bench.models if costs[m] in claimed and m not in references]
        look = styles(models)
        look[BASELINE] = styles([BASELINE])[BASELINE] | {"lw": 2}
        look[EXPLICIT] = look[BASELINE] | {"ls": "--"}
        for axes, (title, (what, scale)) in zip(axes_row, quantities.items(), strict=True):
            for model in [*references, *models]:
                points = [
                    (n, scale * value)
                    for n in bench.lengths
                    if (cell := bench.cells.get((model, n)))
                    and (value := getattr(cell, what)("training")) is not None
                ]
                if points:
                    growth = bench.growth(model, "training", what)
                    fitted = f"  $N^{{{growth:.2f}}}$" if growth is not None else ""
                    axes.plot(
                        *zip(*points, strict=True),
                        **({"lw": 1.2, "ms": 4} | look[model]),
                        label=f"{name_of(model)}{fitted}",
                    )
            axes.set(xscale="log", yscale="log", title=f"{group}: {title}")
            axes.set_xticks(bench.lengths, [f"{n:,}" for n in bench.lengths])
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.0f}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.03), fontsize=7)
    for axes in grid[-1]:
        axes.set_xlabel("length N")
    figure.suptitle(f"{bench.conditions}; fitted exponents beside the names", fontsize=9)
    return figure


def spectra(path: Path, data_cfg) -> Figure:
    """Draws the effect of a trained Fourier filter on the first example of its test split."""
    import torch
    from hydra.utils import instantiate
    from scipy.fft import dct

    import data_prep
    from data_prep.pack import load
    from lra.training import checkpoint
    from lra.training.data import Packed
    from models.fourier import FourierBlock

    stored = checkpoint.load(path)
    cfg = checkpoint.settings(stored)
    cfg.data = data_cfg
    net = instantiate(cfg.model.net).eval()
    weights = {name.removeprefix("net."): t for name, t in stored["state_dict"].items()}
    net.load_state_dict(weights)
    model = config.label(cfg.model.name, cfg.model.filter)
    if not any(isinstance(block, FourierBlock) and block.filters for block in net.blocks):
        raise UserError(f"{path} is of {model}, which has no Fourier filter.")
    manifest = data_prep.prepare(cfg.task, cfg.data)
    split = load(data_prep.folder(cfg.task, cfg.data), manifest, "test")
    ids, lengths_, *_ = Packed(split, cfg.task.documents, cfg.model.seq_len).__getitems__([0])

    # the input of every layer, and the filter's input and output, of the first document
    entering, filtered = [], {}
    with torch.no_grad():
        x, mask = net.embedding(ids[0, :1], torch.arange(ids.shape[2]) < lengths_[0, :1, None])
        for layer, block in enumerate(net.blocks):
            entering.append(x[0].double().numpy())
            if isinstance(block, FourierBlock) and block.filters:
                normed = block.before(x, mask)
                real = normed * mask[..., None] if block.padding == "zero" else normed
                short, _ = block.shorten(normed, mask)
                filtered[layer] = real[0].double().numpy(), short[0].double().numpy()
            x, mask = block(x, mask)
        entering.append(x[0].double().numpy())

    layer, (before, after) = next(iter(filtered.items()))
    cls = int(cfg.model.pooling == "cls")
    before, after = before[cls:], after[cls:]
    N, M = len(before), len(after)
    figure = plt.figure(figsize=(10, 6.4))
    halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.1])
    top, bottom = halves
    panels = top.subplots(1, len(entering), sharey=True, squeeze=False)[0]
    names = [f"entering layer {i}" for i in range(len(entering) - 1)] + ["after the last layer"]
    for i, (axes, x, name) in enumerate(zip(panels, entering, names, strict=True)):
        x = before if i == layer else x[cls:]
        energy = (dct(x, type=2, norm="ortho", axis=0) ** 2).mean(1)
        axes.semilogy(np.arange(1, len(energy) + 1), energy, lw=0.6, color=COLOURS[0])
        axes.set_xscale("log")
        axes.set_xlabel("frequency index + 1")
        if i == layer:
            share = energy[:M].sum() / energy.sum()
            axes.axvspan(1, M, color=COLOURS[1], alpha=0.25, lw=0)
            name += (
                f", normed: lowest {M:,} of {N:,} kept,\n{share:.0%} of the energy "
                f"(of white noise it would be {M / N:.0%})"
            )
        else:
            name += f": {len(x)} positions"
        axes.set_title(name, fontsize=8)
    panels[0].set_ylabel("energy, mean over channels")
    left, right = bottom.subplots(1, 2)
    limit = np.quantile(np.abs(before), 0.99)
    show = {"aspect": "auto", "cmap": "PuOr", "interpolation": "nearest"}
    left.imshow(before.T, vmin=-limit, vmax=limit, **show)
    left.set_title(f"before: {N} positions x {before.shape[1]} channels", fontsize=8)
    limit = np.quantile(np.abs(after), 0.99)
    right.imshow(after.T, vmin=-limit, vmax=limit, **show)
    right.set_title(f"after: {M} positions, the same text at {M / N:.0%} of the length", fontsize=8)
    for axes in (left, right):
        axes.set(xlabel="position", ylabel="channel")
        axes.grid(False)
    figure.suptitle(
        f"{model} on {cfg.task.name}/{cfg.task.variant}, first example of the "
        f"test split, {int(lengths_[0, 0]):,} of {N:,} positions real",
        fontsize=9,
    )
    return figure


def save(figure: Figure, folder: Path, name: str) -> None:
    for ending in ("pdf", "png"):
        path = folder / f"{name}.{ending}"
        with replacing(path) as temporary:
            # Without a date or version, the same rows give the same bytes.
            metadata = {"CreationDate": None} if ending == "pdf" else {"Software": None}
            figure.savefig(temporary, format=ending, metadata=metadata)
    plt.close(figure)
    print(f"written: {folder / name}.pdf, .png")
