"""trainer.compile=true: the same cell, trained and scored by torch.compile."""

import pytest

from lra.store import runs
from tests.conftest import Runner
from tests.test_run import until_checkpoint

# the compiler itself instantiates a torch.autograd.Function, and uses what torch deprecates
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
WORDS = ["model=fourier", "model.dropout=0", "max_steps=12", "val_every=6"]


def curve(run):
    (row,) = run.rows()
    return row, runs.read_curve(row)


def test_a_compiled_run_is_the_same_cell_with_the_same_curve(tiny_root, tmp_path):
    eager, compiled = (Runner(tiny_root, tmp_path / name) for name in ("eager", "compiled"))
    assert eager(*WORDS).returncode == 0
    done = compiled(*WORDS, "trainer.compile=true", cold=True)
    assert done.returncode == 0, done.stderr
    (a, theirs), (b, ours) = curve(eager), curve(compiled)
    assert a.cell == b.cell
    assert b.environment["compile"] is True
    assert "compile" not in a.environment
    assert not b.modified.keys() - a.modified.keys()
    assert ours.train_loss.to_numpy() == pytest.approx(theirs.train_loss.to_numpy(), rel=1e-4)
    assert "compiling" in done.stdout
    assert b.speed.first_step_seconds > 3 * a.speed.first_step_seconds

    checkpoint = next(compiled.results.glob("work/*/selected.ckpt"))
    again = compiled(f"evaluate={checkpoint}", "trainer.compile=true", cold=True)
    assert again.returncode == 0, again.stderr
    assert "Equal to" in again.stdout


def test_an_eager_checkpoint_resumes_compiled_and_says_so(tiny_root, tmp_path):
    run = Runner(tiny_root, tmp_path / "results")
    long = ["model=fourier", "max_steps=400", "val_every=200"]
    child = run.start(*long, "trainer.checkpoint_seconds=0")
    until_checkpoint(run, child)
    child.kill()
    child.communicate()
    done = run(*long, "trainer.compile=true", cold=True)
    assert done.returncode == 0, done.stderr
    (row,) = run.rows()
    assert row.resumes[-1].changed == {"compile": [None, True]}
