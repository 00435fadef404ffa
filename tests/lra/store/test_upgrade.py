"""Rows, measurements and checkpoints of version 1, stored as that version wrote them."""

import json
import shutil
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from lra import config, rekey
from lra.config import Configuration, upgrade
from lra.efficiency import records
from lra.errors import UserError
from lra.objective.classification import ACCURACY
from lra.store import runs
from lra.store.cell import cell
from lra.store.row import upgrade_row
from lra.training import checkpoint
from lra.training.network import transformer_parameters

OLD = Path(__file__).parent / "version_1"


def old(name):
    return json.loads((OLD / f"{name}.json").read_text())


def test_an_old_row_is_read_as_its_command_would_make_it_today():
    before, row = old("row"), runs.read(OLD / "row.json")
    assert (row.schema_version, row.identity_version) == (3, 2)
    configuration = Configuration.of(row.overrides)
    data = types.SimpleNamespace(fingerprint=row.fingerprint)
    assert row.config == configuration.identity
    assert row.cell == cell(configuration, data).id != before["cell"]
    assert (row.test_score.count, row.test_score.n) == (760, 2000)
    assert row.test_score.value == before["test"]["accuracy"]
    assert (row.test_score.low, row.val_score.high) == (
        before["test"]["low"],
        before["val"]["high"],
    )
    assert row.test_outputs_sha256 == before["test_logits_sha256"]
    assert (row.headline, row.objective, row.filter) == (ACCURACY, "classification", None)
    assert row.budget_source == before["schedule_source"]
    assert row.follows is None  # a part of its budget is ours
    same = ("task", "seed", "commit", "speed", "memory", "environment", "baselines", "started")
    after = row.model_dump()
    for later in ("test_examples_per_second", "first_step_seconds"):
        assert after["speed"].pop(later) is None
    assert [after[key] for key in same] == [before[key] for key in same]


@pytest.mark.parametrize("task", ["listops", "retrieval", "image"])
@pytest.mark.parametrize(
    "words",
    [
        ["model=fourier"],
        ["model=transformer", "model.d_qkv=24", "model.n_layers=3"],
        ["model=performer", "model.pooling=cls", "model.padding_token=true"],
        ["model=luna", "model.positions=sinusoidal", "model.d_ff=96"],
        ["model=mega"],
    ],
    ids="-".join,
)
def test_rows_of_version_2_say_the_size_of_the_transformer(task, words):
    configuration = Configuration.of([f"task={task}", *words, "protocol=lite"])
    found = upgrade.transformer_parameters(configuration.identity)
    assert found == transformer_parameters(configuration.cfg)
    row = upgrade_row({"schema_version": 2, "config": configuration.identity, "warnings": []})
    assert row["transformer_parameters"] == found


def test_a_size_that_a_row_of_version_2_says_stays():
    row = {"schema_version": 2, "config": {}, "warnings": [], "transformer_parameters": 3}
    assert upgrade_row(row)["transformer_parameters"] == 3


def test_modified_settings_have_todays_names():
    before, row = old("modified_row"), runs.read(OLD / "modified_row.json")
    assert before["modified"].keys() == {"optim.lr", "optim.warmup", "trainer.max_steps"}
    assert row.modified.keys() == {"optim.lr", "optim.warmup", "max_steps"}
    assert row.modified["max_steps"] == before["modified"]["trainer.max_steps"]
    assert Configuration.of(row.overrides).identity == row.config


@pytest.mark.parametrize(
    "preset, budget, expected",
    [
        (None, None, None),
        (None, "the setting of Pathfinder, with batches of 32", None),
        (None, "LRA code (mlpen/Nystromformer@5689313, a.py): steps", "mlpen/Nystromformer"),
        (None, "steps: LRA code (mlpen/Nystromformer@5689313, a.py)", None),
        (None, "chosen on Text (conf/schedule/lite/text.yaml)", None),
        ("pkuzengqi/Skyformer@1a677cb, src", "x (mlpen/N@1)", "pkuzengqi/Skyformer"),
    ],
)
def test_the_repository_that_a_row_followed_is_read_once_from_its_sentences(
    preset, budget, expected
):
    assert upgrade.follows(preset, budget) == expected


def test_a_filter_in_front_of_a_mixer_is_a_field_of_its_own():
    row = upgrade_row(old("row") | {"model": "fourier+performer"})
    assert (row["model"], row["filter"]) == ("performer", "fourier")


def test_the_values_1_and_10_were_two_cells_and_are_one():
    one, other = (old("row")["config"] for _ in range(2))
    one["optim"]["clip"], other["optim"]["clip"] = 1, 1.0
    assert upgrade.identity_from_version_1(one) == upgrade.identity_from_version_1(other)


def test_a_row_of_a_later_version_asks_for_an_update(tmp_path):
    (tmp_path / "c-1.json").write_text(json.dumps(old("row") | {"schema_version": 4}))
    with pytest.raises(UserError, match="newer version.*schema 4.*update"):
        runs.read(tmp_path / "c-1.json")


def test_an_old_measurement_belongs_to_todays_cell(tmp_path):
    (tmp_path / "efficiency/performer").mkdir(parents=True)
    shutil.copy(OLD / "measurement.json", tmp_path / "efficiency/performer")
    (found,) = records.read_all(tmp_path)
    sizes = [f"model.seq_len={found.length}", f"batch_size={found.batch_size}"]
    configuration = Configuration.of(["task=text", "model=performer", *sizes])
    assert found.config == configuration.identity
    threads = found.environment["threads"]
    assert found.cell == records.cell_id(found.config, found.environment, threads, False)


def test_rows_and_measurements_are_rewritten_once_with_what_is_beside_them(tmp_path):
    folder = tmp_path / "runs/listops/fourier"
    folder.mkdir(parents=True)
    shutil.copy(OLD / "row.json", folder / f"{old('row')['cell']}-1.json")
    np.save(folder / f"{old('row')['cell']}-1.npy", np.arange(5, dtype=np.uint8))
    curve = "step,train_loss,val_accuracy\n250,2.1,0.2\n"
    (folder / f"{old('row')['cell']}-1.csv").write_text(curve)
    (tmp_path / "efficiency/performer").mkdir(parents=True)
    shutil.copy(OLD / "measurement.json", tmp_path / "efficiency/performer/old.json")
    expected = runs.read(OLD / "row.json")
    assert (rekey.rekey_rows(tmp_path), rekey.rekey_measurements(tmp_path)) == (1, 1)
    assert {p.name for p in folder.iterdir()} == {
        f"{expected.cell}-1{ending}" for ending in (".json", ".npy", ".csv")
    }
    (found,) = runs.read_all(tmp_path)
    assert found.model_dump() == expected.model_dump()
    assert runs.newest_done(folder, expected.cell)[0].model_dump() == expected.model_dump()
    assert (folder / f"{expected.cell}-1.csv").read_text() == curve
    assert runs.predictions(found).tolist() == list(range(5))
    assert not (tmp_path / "efficiency/performer/old.json").exists()
    assert (rekey.rekey_rows(tmp_path), rekey.rekey_measurements(tmp_path)) == (0, 0)


def test_an_old_checkpoint_has_todays_configuration(tmp_path):
    identity = old("row")["config"]
    stored = {
        "lra": {"format": 1, "config": json.dumps(identity), "fingerprint": "f", "cell": "old"},
        "state_dict": {},
    }
    torch.save(stored, tmp_path / "x.ckpt")
    about = checkpoint.load(tmp_path / "x.ckpt")["lra"]
    cfg = json.loads(about["config"])
    assert (cfg["max_steps"], cfg["precision"], cfg["optim"]["decay"]) == (
        5000,
        "32-true",
        "linear",
    )
    assert cfg["objective"]["_target_"] == "lra.objective.classification.Classification"
    assert cfg["model"]["block"]["_target_"] == "models.fourier.FourierBlock"  # it is built again
    configuration = Configuration.of(runs.read(OLD / "row.json").overrides)
    assert about["cell"] == cell(configuration, types.SimpleNamespace(fingerprint="f")).id
    assert config.flatten(cfg)["bucket_by_length"] is False


def test_a_checkpoint_of_a_later_version_is_said(tmp_path):
    torch.save({"lra": {"format": 9}}, tmp_path / "x.ckpt")
    with pytest.raises(UserError, match="another version"):
        checkpoint.load(tmp_path / "x.ckpt")
