"""The pictures show what the rows say, and the same rows give the same bytes."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PathCollection

from lra import config
from lra.efficiency.report import benches
from lra.errors import UserError
from lra.report import plots
from lra.report.style import MODELS as MODELS_IN_ORDER
from lra.store import runs
from lra.store.row import Inherited
from tests.lra.report.tables.test_efficiency import arena, measured
from tests.lra.report.tables.test_papers import scored
from tests.lra.report.tables.test_summarization import summary

MODELS = {"transformer": 300, "performer": 400, "fnet": 350}


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


@pytest.fixture
def bench():
    return benches([*arena(), *(measured("fnet", n, n / 4096) for n in (1024, 2048, 4096))])[0]


def chosen():
    return [
        scored(model, task, correct, protocol="lite")
        for model, correct in MODELS.items()
        for task in ("listops", "image")
    ]


def texts(figure):
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_the_trade_off_has_a_bubble_for_each_model_at_its_speed_and_accuracy(bench):
    figure = plots.trade_off(chosen(), "lite", bench)
    (axes,) = figure.axes
    bubbles = [c for c in axes.collections if isinstance(c, PathCollection)]
    centres = {tuple(map(float, c.get_offsets()[0])) for c in bubbles if len(c.get_offsets())}
    # seconds a step at 4,096, the median of two rounds: 32, 16 and 1
    assert centres == {(1.0, 30.0), (2.0, 40.0), (32.0, 35.0)}
    assert texts(figure) == {"transformer (fused)", "performer", "fnet", "majority label"}
    assert "ListOps, Image" in axes.get_ylabel()
    assert "4,096" in axes.get_xlabel()
    (front,) = [line for line in axes.lines if line.get_label() == "none is faster and better"]
    assert list(zip(*front.get_data(), strict=True)) == [(2.0, 40.0), (32.0, 35.0)]
    sizes = [text.get_text() for text in axes.get_legend().get_texts()]
    assert sum(size.endswith(" MB") for size in sizes) == 3
    assert "1 seed;" in axes.get_title(loc="left")


def test_the_bar_of_a_mean_over_tasks_joins_their_intervals():
    one = [scored("fnet", "listops", 400)]
    low, high = (one[0].test_score.low, one[0].test_score.high)
    value = one[0].test_score.value
    below, above = plots._reach([one, one])
    assert below == pytest.approx(100 * (value - low) / 2**0.5)
    assert above == pytest.approx(100 * (high - value) / 2**0.5)


def test_noise_does_not_fill_the_panel_of_a_curve(tmp_path):
    row = scored("fnet", "pathfinder", 500).model_copy(update={"baselines": {}})
    path = runs.write(
        tmp_path / "runs/pathfinder/fnet", row, curve=[(50, 1.0, 0.498), (100, 1.0, 0.504)]
    )
    axes = plots.curves([runs.read(path)]).axes[0]
    low, high = axes.get_ylim()
    assert high - low == pytest.approx(plots.LEAST)
    assert low < 49.8 < 50.4 < high


def test_no_two_names_lie_on_each_other():
    figure, axes = plt.subplots()
    axes.scatter([1, 1.01, 1.02], [1, 1, 1])
    plots.label(axes, [(x, 1, "a model", 3, "black") for x in (1, 1.01, 1.02)])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_the_curves_are_means_of_the_seeds_with_a_band(tmp_path):
    seeds = [[0.2, 0.4], [0.3, 0.6]]
    stored = []
    for seed, values in enumerate(seeds):
        row = scored("fnet", "listops", 400, seed)
        curve = [(50 * (i + 1), 1.0, v) for i, v in enumerate(values)]
        path = runs.write(tmp_path / "runs/listops/fnet", row, curve=curve)
        stored.append(runs.read(path))
    figure = plots.curves(stored)
    axes = figure.axes[0]
    line = next(line for line in axes.lines if line.get_label() == "fnet")
    assert line.get_ydata() == pytest.approx([25, 50])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(20)
    assert band[:, 1].max() == pytest.approx(60)


def test_the_exponents_stand_beside_the_names(bench):
    figure = plots.lengths(bench)
    legends = {t.get_text() for axes in figure.axes for t in axes.get_legend().get_texts()}
    assert "performer  $N^{1.00}$" in legends
    assert "transformer (fused)  $N^{2.00}$" in legends


def test_inherited_settings_have_a_line_each_and_first_weights_a_colour():
    weights = Inherited(init="results/work/x/pretrained", sha256="0123456789abcdef")
    half, none = {"keep_ratio": 0.5, "restore": "nearest"}, {"keep_ratio": 0.2, "restore": "none"}
    rules = {"lead-1": {"test": 24.0}}
    figure = plots.inherited(
        [
            summary(
                30,
                cell="a",
                model="bart",
                settings={},
                inherited=weights,
                identity={"init": "w"},
                baselines=rules,
            ),
            summary(20, cell="b", model="bart", settings={}, baselines=rules),
            summary(
                28,
                cell="c",
                settings=half,
                inherited=weights,
                identity={"init": "w"},
                baselines=rules,
            ),
            summary(18, cell="d", settings=half, baselines=rules),
            summary(17, cell="e", settings=none, baselines=rules),
        ]
    )
    (axes,) = figure.axes
    names = [
        "bart",
        "fourier_bart, keep 0.5, restore nearest",
        "fourier_bart, keep 0.2, restore none",
    ]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == names
    drawn = {
        (container.get_label(), names[round(float(line.get_ydata()[0]))]): line.get_xdata()[0]
        for container in axes.containers
        for line in [container.lines[0]]
    }
    assert drawn == {
        ("pretrained 01234567", names[0]): 29,  # `summary` puts ROUGE-L 1 below its number
        ("random weights", names[0]): 19,
        ("pretrained 01234567", names[1]): 27,
        ("random weights", names[1]): 17,
        ("random weights", names[2]): 16,
    }
    assert texts(figure) == {"lead-1"}
    assert plots.inherited([summary()]) is None


def test_no_two_models_look_alike_and_they_differ_in_grey():
    look = plots.styles(MODELS_IN_ORDER)
    assert set(MODELS_IN_ORDER) == set(config.choices_of("model"))
    assert len({(style["color"], style["ls"]) for style in look.values()}) >= 24
    assert len({tuple(style.values()) for style in look.values()}) == len(MODELS_IN_ORDER)
    assert plots.styles(["fourier (yours)"])["fourier (yours)"] == look["fourier"]
    grey = [
        np.dot([0.299, 0.587, 0.114], plots.matplotlib.colors.to_rgb(style["color"]))
        for style in look.values()
    ]
    assert max(grey) - min(grey) > 0.4


def test_the_same_rows_give_the_same_bytes(bench, tmp_path):
    for folder in ("a", "b"):
        plots.save(plots.trade_off(chosen(), "lite", bench), tmp_path / folder, "x")
    for ending in ("png", "pdf"):
        one, other = (tmp_path / f / f"x.{ending}" for f in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_the_filter_picture_is_of_a_trained_fourier_model(run):
    assert run("model=fourier").returncode == 0
    (path,) = run.results.glob("work/*/selected.ckpt")
    data = config.compose([o for o in run.common if o.startswith("data.")]).data
    figure = plots.spectra(path, data)
    titles = [axes.get_title() for axes in figure.axes]
    assert "lowest 12 of 60 kept" in titles[0]
    assert "before: 60 positions" in titles[-2]
    assert "after: 12 positions" in titles[-1]


def test_a_model_without_a_filter_has_no_such_picture(run):
    assert run("model=fnet").returncode == 0
    (path,) = run.results.glob("work/*/selected.ckpt")
    data = config.compose([o for o in run.common if o.startswith("data.")]).data
    with pytest.raises(UserError, match="which has no Fourier filter"):
        plots.spectra(path, data)


def test_names_of_levels_that_lie_close_share_a_text():
    levels = {"lead-3": 24.6, "b": 10.0, "lead-1": 25.0}
    assert plots.labels(levels, 0.5) == [(10.0, "b"), (24.6, "lead-3, lead-1")]
    assert plots.labels(levels, 0.1) == [(10.0, "b"), (24.6, "lead-3"), (25.0, "lead-1")]
