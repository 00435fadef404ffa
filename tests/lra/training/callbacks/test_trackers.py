"""A tracker never costs a run."""

import pytest
from pytorch_lightning.loggers import CSVLogger

from lra.config import Configuration
from lra.training.callbacks.trackers import LONGEST, Guarded, described
from tests.lra.store.test_row import row


class Broken(CSVLogger):
    def log_metrics(self, metrics, step=None):
        raise ConnectionError("no route to host\nmore")


def test_one_that_breaks_is_left_out_from_then_on(tmp_path, capsys):
    logger = Guarded(Broken(tmp_path))
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    logger.save()
    logger.finalize("success")
    logger.record(row(), tmp_path / "row.json")
    err = capsys.readouterr().err
    assert err == "warning: Broken broke (no route to host); the run goes on.\n"


def test_the_final_scores_are_metrics(tmp_path):
    logger = Guarded(CSVLogger(tmp_path, name="csv"))
    logger.record(row(last_step=5), tmp_path / "row.json")
    text = next(tmp_path.glob("csv/*/metrics.csv")).read_text()
    assert "test/final_accuracy" in text
    assert "0.37" in text


def described_run(*words):
    return described(Configuration.of(["task=text", "protocol=lite", *words]))


def test_a_run_is_named_by_all_that_tells_it_from_others():
    name, tags = described_run("model=performer", "seed=3")
    assert name == "text-performer-lite-seed3"
    assert tags == ["text", "bytes_1000", "performer", "lite"]
    name, tags = described_run("model=performer", "filter=fourier")
    assert name == "text-fourier+performer-lite-seed0"
    assert tags[2:] == ["fourier+performer", "lite"]


def test_modified_runs_differ_in_name_and_do_not_carry_their_protocols_tag():
    names = {described_run("model=fourier", f"optim.lr={lr}")[0] for lr in ("0.002", "0.003")}
    assert names == {"text-fourier-lite-lr=0.002-seed0", "text-fourier-lite-lr=0.003-seed0"}
    assert described_run("model=fourier", "optim.lr=0.002")[1][-1] == "modified"
    assert described_run("model=fourier", "trainer=smoke")[1][-1] == "modified"
    many = [f"model.{key}=0.123" for key in ("dropout", "attention_dropout", "init_std")]
    many += [f"optim.{key}=0.0625" for key in ("clip", "weight_decay", "warmup", "start_factor")]
    many += ["batch_size=7", "max_steps=123456", "val_every=123456", "optim.eps=0.0625"]
    name = described_run("model=transformer", *many, "seed=12")[0]
    assert len(name) == LONGEST
    assert name.endswith("-seed12")  # however long the rest is


@pytest.mark.filterwarnings("ignore")  # warnings of codecarbon
def test_energy_is_estimated_over_all_resumes():
    pytest.importorskip(
        "codecarbon", reason="codecarbon is not installed: pip install -e '.[energy]'"
    )
    from lra.training.callbacks.energy import Energy

    energy = Energy()
    energy.load_state_dict({"kwh": 0.25})
    assert energy.state_dict()["kwh"] >= 0.25
    assert 0.25 < energy.stop() < 0.26
