"""A tracker never costs a run."""

import pytest
from pytorch_lightning.loggers import CSVLogger

from lra.training.callbacks.trackers import Guarded
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
