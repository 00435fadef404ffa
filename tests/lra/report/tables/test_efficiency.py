from statistics import median

import pytest

from lra.efficiency.records import Cost, Measurement, Timing
from lra.efficiency.report import benches, exponent, largest
from lra.report.tables import efficiency
from lra.store.row import Memory


def timing(seconds):
    return Timing(
        first_seconds=3 * seconds,
        step_seconds=[seconds * f for f in (0.9, 1.0, 1.0, 1.1, 5.0)],
        data_seconds=[0.001] * 5,
        optimiser_seconds=[0.002] * 5,
    )


def cost(megabytes):
    return Cost(
        memory=Memory(peak_bytes=int(megabytes * 1e6), kind="RssAnon"),
        flops=2 * 10**9,
        attention=["aten._scaled_dot_product_flash_attention_for_cpu"],
    )


def measured(model, length, seconds, megabytes=100, round_=0, **changes):
    environment = {
        "device": "a machine",
        "device_type": "cpu",
        "threads": 2,
        "precision": "32-true",
        "torch": "2.13.0",
    }
    values = {
        "cell": f"{model}{length}",
        "round": round_,
        "model": model,
        "cost": "N",
        "protocol": "matched",
        "length": length,
        "batch_size": 32,
        "compile": False,
        "status": "done",
        "inference": timing(seconds / 4),
        "training": timing(seconds),
        "inference_cost": cost(megabytes / 2),
        "training_cost": cost(megabytes),
        "parameters": 1000,
        "matmul_flops_per_second": 10**11,
        "others": 0.0,
        "wall_seconds": 10,
        "limit_seconds": 180,
        "limit_bytes": 10**10,
        "overrides": [],
        "environment": environment,
        "commit": None,
        "dirty": None,
        "started": "2026-01-01T00:00:00+00:00",
        "config": {},
    }
    return Measurement(**values | changes)


def arena():
    """The transformer grows as N^2, the other as N, from twice the time at 1,024."""
    found = []
    for round_, drift in enumerate((1.0, 3.0)):
        for n in (1024, 2048, 4096):
            k = n / 1024
            at = {"round_": round_, "started": f"2026-01-01T0{round_}:00:00+00:00"}
            found += [
                measured("transformer", n, drift * k**2, 100 * k, **at),
                measured("transformer_explicit", n, drift * 4 * k**2, 800 * k, **at),
                measured("performer", n, drift * 2 * k, 50 * k, **at),
            ]
    return found


def test_a_machine_that_slows_down_between_rounds_leaves_ratios_alone():
    (bench,) = benches(arena())
    for n, ratio in ((1024, 0.5), (2048, 1.0), (4096, 2.0)):
        assert bench.speedup("performer", n, "training", "transformer") == pytest.approx(ratio)
        explicit = bench.speedup("performer", n, "inference", "transformer_explicit")
        assert explicit == pytest.approx(4 * ratio)
        assert bench.memory_ratio("performer", n, "training", "transformer") == pytest.approx(0.5)


def test_a_round_is_compared_with_the_nearest_in_time():
    """A model that joins later, on a machine that has become three times slower since."""
    found = arena() + [
        measured("transformer", 1024, 3.0, round_=2, started="2026-02-01T00:00:00+00:00"),
        measured("fnet", 1024, 1.5, started="2026-02-01T00:10:00+00:00"),
    ]
    (bench,) = benches(found)
    assert bench.speedup("fnet", 1024, "training", "transformer") == pytest.approx(2)


def test_how_well_rounds_agree_is_said():
    again = measured("performer", 2048, 6.0, round_=2, started="2026-01-01T01:10:00+00:00")
    (bench,) = benches(arena())
    assert bench.repeatability() == pytest.approx((0, 0))  # drift is no disagreement
    found = [*arena(), again]  # beside round 2 of the transformer: 12 s; 12 before
    again.training = timing(10.0)
    (bench,) = benches(found)
    assert bench.repeatability() == pytest.approx((0, 0.2))
    assert any(
        "by 0 % (median of the cells), by 20 % at most" in note
        for note in efficiency.document(found).notes
    )
    assert benches([measured("performer", 2048, 1.0)])[0].repeatability() is None


def test_one_longer_length_of_one_model_is_not_where_models_are_compared():
    (bench,) = benches([*arena(), measured("performer", 8192, 1.0)])
    assert bench.longest == 4096


def test_what_was_compiled_is_not_what_the_others_are_compared_by():
    compiled = [measured(m, n, 1, compile=True) for m in ("fnet", "luna") for n in range(64, 99)]
    assert not largest(benches(arena() + compiled)).first.compile
    assert largest(benches(compiled)).first.compile
    assert largest([]) is None


def test_one_slow_step_does_not_move_the_median():
    (bench,) = benches([measured("transformer", 1024, 2.0)])
    cell = bench.cells["transformer", 1024]
    assert cell.seconds("training") == median([1.8, 2, 2, 2.2, 10])
    assert cell.compile_seconds("training") == pytest.approx(4.0)
    assert bench.utilisation("transformer", 1024, "training") == pytest.approx(0.01)


def test_growth_is_fitted():
    (bench,) = benches(arena())
    assert bench.growth("transformer", "training", "seconds") == pytest.approx(2)
    assert bench.growth("performer", "training", "seconds") == pytest.approx(1)
    assert bench.growth("performer", "training", "bytes") == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "seconds, text",
    [
        ((2, 4, 8), "2,048"),  # equal there
        ((0.5, 1, 2), "below 1,024"),
        ((20, 40, 80), "not up to 4,096"),
        ((2**1.5, 2**2.5, 2**3.5), "2,896"),  # half an octave above 2,048
    ],
)
def test_where_a_model_overtakes_the_fast_transformer(seconds, text):
    lengths = (1024, 2048, 4096)
    found = [measured("transformer", n, (n / 1024) ** 2) for n in lengths]
    found += [measured("performer", n, s) for n, s in zip(lengths, seconds, strict=True)]
    (bench,) = benches(found)
    assert bench.overtakes("performer", "training") == text


def test_out_of_memory_and_time_are_said_where_a_number_would_stand():
    found = [
        measured("transformer", 1024, 1.0),
        measured("transformer_explicit", 1024, 1, status="oom", training=None, inference=None),
        measured("performer", 1024, 1, status="timeout", training=None),
    ]
    text = efficiency.document(found).markdown()
    assert "| transformer (N x N in memory) | N | oom | - |" in text
    assert "| performer | N | timeout | - |" in text
    assert "| performer | N | 4.00 | - |" in text  # inference, which was in time


def test_the_papers_ratios_stand_beside_ours_to_both_transformers():
    found = arena()
    tables = [t for t in efficiency.document(found).tables if t.title.startswith("Long Range")]
    table, printed = tables
    lines = table.frame.values.tolist()
    at = next(i for i, line in enumerate(lines) if line[0] == "Performer")
    assert lines[at][1:4] == ["published", "1.2", "1.9"]
    assert lines[at + 1][1:4] == ["ours, to N x N", "2.00", "4.00"]
    assert lines[at + 2][1:4] == ["ours, to fused", "0.50", "1.00"]
    assert not any(line[0] == "Linformer" for line in lines[at + 1 : at + 3])
    first, second = printed.frame.values.tolist()[:2]  # the transformer, as the paper prints it
    assert first[:3] == ["Transformer", "published", "8.1"]
    assert second[1:3] == ["ours", f"{1 / median((1, 3)):.2f}"]


def test_skyformers_hours_and_gigabytes_are_ratios_to_its_transformer():
    document = efficiency.document(arena())
    (table,) = [t for t in document.tables if t.title.startswith("Skyformer")]
    line = table.frame[table.frame["method"] == "Kernelized Attention"].iloc[0]
    assert line["speed 4K"] == "1.1"
    assert line["memory 4K"] == "0.553"


def test_what_is_from_memory_is_in_italics_or_left_out():
    document = efficiency.document(arena())
    (table,) = [t for t in document.tables if t.title.startswith("Fourier Transformer")]
    assert (table.styles == "recalled").any(axis=None)
    verified = efficiency.document(arena(), verified_only=True)
    assert not any(t.title.startswith("Fourier Transformer") for t in verified.tables)


def test_conditions_never_share_a_table():
    found = arena() + [measured("transformer", 1024, 1, batch_size=8, cell="other")]
    assert len(benches(found)) == 2


def test_a_disturbed_round_is_left_out_where_there_is_a_quiet_one():
    found = [measured("fnet", 1024, 9.0, others=1.5), measured("fnet", 1024, 1.0, round_=1)]
    found[1].training_cost = None  # measured once, in the first round: no load changes it
    (bench,) = benches(found)
    cell = bench.cells["fnet", 1024]
    assert cell.seconds("training") == 1.0
    assert not bench.disturbed
    assert cell.bytes("training")
    assert bench.rounds == 1


def test_what_is_too_small_to_measure_has_no_growth():
    assert exponent([64, 128], [0, 4096]) is None
    assert exponent([64, 128], [1, 4]) == pytest.approx(2)


def test_the_rate_of_products_is_the_best_of_all_processes():
    found = [measured("fnet", 1024, 1.0), measured("luna", 1024, 1.0, matmul_flops_per_second=1e10)]
    (bench,) = benches(found)
    assert bench.matmul_rate == 1e11


def test_a_single_step_has_no_quartiles():
    found = measured("fnet", 1024, 1.0)
    found.training.step_seconds = [1.0]
    assert "1,000-1,000" in efficiency.document([found]).markdown()


def test_a_disturbed_measurement_is_named():
    notes = efficiency.document([measured("transformer", 1024, 1, others=1.5)]).notes
    assert any("transformer at 1,024, round 1: 1.5 cores busy elsewhere" in note for note in notes)


def test_a_model_whose_settings_changed_is_measured_by_its_last_cell():
    old = measured("performer", 1024, 9.0)
    new = measured("performer", 1024, 1.0, cell="new", started="2026-02-01T00:00:00+00:00")
    (bench,) = benches([old, new])
    assert bench.cells["performer", 1024].seconds("training") == 1.0


def test_measurements_in_any_order_give_the_same_bytes():
    for form in ("markdown", "csv", "latex"):
        first, again = (efficiency.document(m) for m in (arena(), arena()[::-1]))
        assert getattr(first, form)() == getattr(again, form)()
