"""Known costs are measured right, limits are results, and a command goes on where it was stopped.

The tests here time sleeps, which a busy machine does not stretch. A test that compares computations
is slow and wants a quiet machine.
"""

import subprocess
import sys
import time
from statistics import median

import psutil
import pytest

from lra.efficiency import lab, records
from lra.efficiency.lab import Cell, Lab, Limits
from lra.efficiency.report import benches
from lra.errors import UserError
from tests import warm
from tests.conftest import ROOT

LIMITS = Limits(seconds=100, bytes=2 * 10**9)
KNOWN = "tests.lra.efficiency.known."


def cell(model: str, *overrides: str, name: str | None = None) -> Cell:
    cfg = lab.compose(model, 64, 2, ["trainer.threads=1", *overrides])
    return Cell(name or model, cfg, compile=False, overrides=[])


def known(seconds: float, megabytes: int, kind: str = "Known") -> Cell:
    net = ["model.net._target_=" + KNOWN + kind, "optim.clip=null"]
    return cell(
        "transformer", *net, f"+model.net.seconds={seconds}", f"+model.net.megabytes={megabytes}"
    )


def test_a_known_sleep_and_a_known_allocation_are_measured_within_10_percent():
    found = lab.measure(known(0.3, 100), 0, 5, LIMITS)
    assert found.status == "done"
    assert found.others is not None
    for timing, cost in (
        (found.training, found.training_cost),
        (found.inference, found.inference_cost),
    ):
        assert len(timing.step_seconds) >= 5
        assert median(timing.step_seconds) == pytest.approx(0.3, rel=0.1)
        assert cost.memory.peak_bytes == pytest.approx(100e6, rel=0.1)
    assert max(found.training.optimiser_seconds + found.training.data_seconds) < 0.1


@pytest.mark.slow
def test_too_much_memory_is_a_result():
    found = lab.measure(known(0, 1, "Hungry"), 0, 5, Limits(100, 10**9))
    assert (found.status, found.training) == ("oom", None)
    assert "1.0 GB" in found.reason
    assert found.parameters == 2  # known by then


@pytest.mark.slow
def test_too_much_time_is_a_result_and_keeps_what_was_measured():
    found = lab.measure(known(100, 1, "SlowToTrain"), 0, 5, Limits(30, 10**9))
    assert (found.status, found.reason, found.training) == ("timeout", "more than 30 s", None)
    assert len(found.inference.step_seconds) >= 5


def test_signal_9_counts_as_out_of_memory(monkeypatch):
    def watch(child, limits):
        child.kill()
        return None, 0.0

    monkeypatch.setattr(lab, "watch", watch)
    found = lab.measure(known(0, 1), 0, 5, LIMITS)
    assert (found.status, found.inference) == ("oom", None)


LAB = """
from tests.lra.efficiency.test_lab import LIMITS, known, lab
lab.child(known(1000, 1), "time", 5, LIMITS)
"""


@pytest.mark.slow
def test_a_killed_lab_takes_its_child_along():
    killed = subprocess.Popen([sys.executable, "-c", LAB], cwd=ROOT)
    deadline, below = time.monotonic() + 60, []
    while len(below) < 3:  # the server, its tracker of resources, and the child
        assert time.monotonic() < deadline
        time.sleep(0.1)
        below = psutil.Process(killed.pid).children(recursive=True)
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive


def test_a_bug_in_a_model_is_neither():
    with pytest.raises(UserError, match="transformer at 64 could not be measured"):
        lab.measure(cell("transformer", f"model.net._target_={KNOWN}Known"), 0, 5, LIMITS)


@pytest.mark.slow
@pytest.mark.quiet
def test_two_identical_models_come_out_within_5_percent(tmp_path):
    mixer = f"model.block.mixer._target_={KNOWN}Again"
    sizes = ["model.seq_len=512", "batch_size=16", "trainer.threads=2"]
    cells = [cell("transformer", *sizes), cell("transformer", mixer, *sizes, name="again")]
    Lab(cells, 7, tmp_path, LIMITS).run(20)
    measured = records.read_all(tmp_path)
    assert max(m.others for m in measured) < 0.2  # the children's own work is not another's
    (bench,) = benches(measured)
    assert bench.speedup("again", 512, "training", "transformer") == pytest.approx(1, rel=0.05)


def test_rounds_go_through_all_models_and_results_are_not_measured_again(tmp_path, monkeypatch):
    cells = [cell("transformer"), cell("fnet")]
    measured = []

    def measure(cell, round_, steps, limits, cost):
        measured.append((round_, cell.model))
        if len(measured) == 4:
            raise KeyboardInterrupt
        return made(cell, round_, "oom" if cell.model == "fnet" else "done")

    monkeypatch.setattr(lab, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        Lab(cells, 3, tmp_path, LIMITS).run(5)
    assert measured == [(0, "transformer"), (0, "fnet"), (1, "transformer"), (2, "transformer")]
    measured.clear()
    Lab(cells, 3, tmp_path, LIMITS).run(5)
    assert measured == [(2, "transformer")]
    Lab(cells, 3, tmp_path, LIMITS).run(5)
    assert len(measured) == 1


def test_memory_and_operations_are_measured_once(tmp_path, monkeypatch):
    asked = []

    def measure(cell, round_, steps, limits, cost):
        asked.append(cost)
        found = {"memory": {"kind": "rss", "peak_bytes": 1}, "flops": 1, "attention": []}
        kept = found if cost else None
        return made(cell, round_, "done", training_cost=kept, others=0.0 if round_ else 1.0)

    monkeypatch.setattr(lab, "measure", measure)
    Lab([cell("fnet")], 3, tmp_path, LIMITS).run(5)
    assert asked == [True, False, False]
    Lab([cell("fnet")], 3, tmp_path, LIMITS, rerun="disturbed").run(5)  # some record must keep it
    assert asked == [True, False, False, True]


def test_what_was_disturbed_is_measured_again(tmp_path, monkeypatch):
    cells = [cell("transformer"), cell("fnet")]
    for one, others in zip(cells, (0.05, 1.3), strict=True):
        records.write(tmp_path, made(one, 0, "done", others=others))
    monkeypatch.setattr(lab, "measure", lambda c, r, *_: made(c, r, "done", others=0.0))
    assert list(Lab(cells, 1, tmp_path, LIMITS).left()) == []
    assert list(Lab(cells, 1, tmp_path, LIMITS, rerun="disturbed").left()) == [(0, cells[1])]
    Lab(cells, 1, tmp_path, LIMITS, rerun="disturbed").run(5)
    assert not any(m.disturbed for m in records.read_all(tmp_path))


def test_a_higher_limit_tries_again_what_met_it(tmp_path):
    cells = [cell("transformer"), cell("fnet")]
    records.write(tmp_path, made(cells[0], 0, "timeout"))
    records.write(tmp_path, made(cells[1], 0, "oom"))
    assert list(Lab(cells, 1, tmp_path, LIMITS).left()) == []
    longer, larger = Limits(200, LIMITS.bytes), Limits(100, 2 * LIMITS.bytes)
    assert list(Lab(cells, 1, tmp_path, longer).left()) == [(0, cells[0])]
    assert list(Lab(cells, 1, tmp_path, larger).left()) == [(0, cells[1])]


@pytest.mark.slow
def test_small_buffers_that_are_freed_are_no_memory_use():
    """Frees 400 buffers, 40 at a time, in sizes that leave holes between them in a heap."""
    found = lab.measure(known(0, 1, "Churning"), 0, 5, LIMITS)
    assert found.training_cost.memory.peak_bytes == pytest.approx(40 * 1.5e6, rel=0.15)


def test_the_time_is_known_before_the_start(tmp_path, capsys, monkeypatch):
    cells = [cell("transformer"), cell("fnet"), cell("fnet", "model.seq_len=128")]
    records.write(tmp_path, made(cells[0], 0, "done"))
    elsewhere = cell("fourier", "model.d_model=32")
    records.write(tmp_path, made(elsewhere, 0, "done", wall_seconds=11))
    left = Lab(cells, 2, tmp_path, LIMITS)
    # the transformer as before, fnet like the others at 64, and twice as long at 128
    assert left.seconds_left() == 7 + 2 * (7 + 11) / 2 + 2 * (7 + 11)
    assert Lab(cells, 1, tmp_path / "empty", LIMITS).seconds_left() == 3 * 200
    monkeypatch.setattr(lab, "measure", lambda c, r, *_: made(c, r, "done"))
    left.run(5)
    first = capsys.readouterr().out.splitlines()[0]
    assert "5 measurements left, about 1 min 01 s, at most 16 min 40 s" in first


def made(cell: Cell, round_: int, status: str, **changes) -> records.Measurement:
    return records.Measurement(
        cell=cell.id,
        round=round_,
        model=cell.model,
        cost="N",
        protocol="matched",
        length=64,
        batch_size=2,
        compile=False,
        status=status,
        **{"wall_seconds": 7, "limit_seconds": 100, "limit_bytes": LIMITS.bytes} | changes,
        overrides=[],
        environment={},
        commit=None,
        dirty=None,
        started="2026-01-01T00:00:00+00:00",
        config={},
    )


def test_what_only_says_where_is_not_kept():
    typed = ["results.root=/somewhere", "trainer.threads=2", "protocol=paper", "trainer=gpu"]
    assert lab.changing([*typed, "data.root=d", "model.d_model=128"]) == ["model.d_model=128"]


def test_the_cell_is_what_decides_the_measurement():
    assert cell("fnet").id == cell("fnet", "data.root=elsewhere").id
    others = [cell("transformer"), cell("fnet", "model.d_model=128"), cell("fnet", "batch_size=4")]
    others += [cell("fnet", "trainer.threads=2"), cell("fourier+fnet")]
    assert len({c.id for c in [cell("fnet"), *others]}) == 6


@pytest.mark.parametrize(
    "typed, said",
    [
        ("models=performr", "There is no model 'performr'"),
        ("lengths=1k", "lengths=1k: give whole numbers"),
        ("rounds=0", "rounds=0: give whole numbers"),
        ("memory=2", "memory=2: give a share"),
        ("compile=yes", "There is no value of compile 'yes': choose false, true"),
        ("model.d_modl=3", "There is no option"),
    ],
)
def test_mistakes_end_in_one_sentence(typed, said):
    done = warm.run(["-m", "lra.efficiency", typed])
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_from_the_command_line(tmp_path):
    command = ["-m", "lra.efficiency", "models=fnet", "lengths=64", "batch=2"]
    command += ["rounds=1", f"results.root={tmp_path}", "trainer.threads=1"]
    done = warm.run(command)
    assert done.returncode == 0, done.stderr
    found = {m.model: m for m in records.read_all(tmp_path)}
    assert set(found) == {"transformer", "transformer_explicit", "fnet"}
    fast, explicit = (found[name].training_cost for name in ("transformer", lab.EXPLICIT))
    assert fast.attention == ["aten._scaled_dot_product_flash_attention_for_cpu"]
    assert explicit.attention == []
    assert found["fnet"].training_cost.flops > 0
    again = warm.run(command)
    assert fast.flops == explicit.flops
    assert "0 measurements left" in again.stdout


TINY_BART = ["model.d_model=16", "model.n_layers=3", "model.n_heads=2", "model.d_ff=32"]
TINY_BART += ["trainer.threads=1", "task.variants.sample.vocab_size=60", "protocol=lite"]


@pytest.mark.slow
def test_a_family_is_measured_by_its_phases(tmp_path):
    configuration = lab.compose("fourier_bart", 48, 2, TINY_BART)
    bart = Cell("fourier_bart", configuration, False, [])
    found = lab.measure(bart, 0, 2, LIMITS)
    assert found.status == "done"
    for phase in ("encoding", "generation", "training"):
        assert len(getattr(found, phase).step_seconds) >= 2
    assert found.inference is None
    assert found.encoding_cost.flops < found.training_cost.flops
    assert not found.arena
    path = records.write(tmp_path, found)
    assert records.read_all(tmp_path) == [found]
    assert "encoding" in path.read_text()


def test_a_family_has_its_own_baseline_and_is_measured_alone():
    assert lab.named("fourier_bart") == ["bart", "fourier_bart"]
    assert lab.named("fourier_encoder,encoder") == ["encoder", "fourier_encoder"]
    with pytest.raises(UserError, match="no model 'bart'"):
        lab.named("bart,fourier")
