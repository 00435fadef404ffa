import inspect
import json
import types
from pathlib import Path

import pytest
from hydra.utils import instantiate
from torch import nn

import lra.config.composition
import lra.config.identity
from lra import config
from lra.config import Configuration
from lra.config.identity import ADDED, CHOICES, ENVIRONMENT, identity
from lra.errors import UserError
from lra.report.inherited import belongs
from lra.store import runs
from lra.store.cell import cell
from tests.conftest import ROOT

DATA = types.SimpleNamespace(fingerprint="f")


def cell_id(*overrides):
    return cell(Configuration.of(list(overrides)), DATA).id


DECIDES = """
seed=1 optim.lr=0.5 optim.clip=null max_steps=7 model.block.keep_ratio=0.3 model=transformer
protocol=lite task.variant=short precision=bf16-mixed batch_size=8 bucket_by_length=true
model.d_qkv=32 filter=progressive optim.decay=cosine max_eval_examples=9 score_test=false
model.net.init_std=3 objective.outputs=11
"""
WHERE = """
data.root=x data.archive=x results.root=x logger=wandb rerun=true trainer=gpu trainer.threads=3
trainer.devices=2 trainer.checkpoint_seconds=1 source.budget=x source.trials=7 wait=true
task.order=9 task.in_mean=false
"""


@pytest.mark.parametrize("override", DECIDES.split())
def test_a_setting_that_decides_the_result_makes_another_cell(override):
    assert cell_id(override) != cell_id()


TYPED = [*DECIDES.split(), "task.variants.standard.counts.train=500", "+model.net.x=1"]


@pytest.mark.parametrize("override", TYPED)
def test_a_setting_that_is_not_the_protocols_is_modified_whatever_else_is_typed(override):
    chosen = override.partition("=")[0] in CHOICES
    assert (Configuration.of([override]).modified == {}) == chosen
    other = Configuration.of([override, "optim.eps=1"]).modified.keys()
    assert other == {"optim.eps", *Configuration.of([override]).modified}


@pytest.mark.parametrize("override", ["~model.net.init_std", "~optim.clip", "~seed"])
def test_a_setting_cannot_be_taken_out(override):
    with pytest.raises(UserError, match="cannot be taken out; give it a value"):
        Configuration.of([override])


@pytest.mark.parametrize("override", ["model.net.d_ff=128", "model.net.pooling=mean"])
def test_a_repeated_setting_with_the_value_that_it_follows_is_the_same_cell(override):
    assert cell_id(override) == cell_id()
    assert Configuration.of([override]).modified == {}


@pytest.mark.parametrize("override", WHERE.split())
def test_where_it_is_computed_makes_none(override):
    assert cell_id(override) == cell_id()
    assert Configuration.of([override]).modified == {}


SAME = """
optim.clip=1 optim.clip=1.0 optim.clip=1e0
optim.weight_decay=0 optim.weight_decay=0.0
max_steps=5000 max_steps=5e3 max_steps=5000.0
optim.lr=1e-3 optim.lr=0.001 optim.lr='1e-3'
batch_size=32 batch_size=32.0
optim.betas=[0.9,0.999] optim.betas=[9e-1,0.999]
model.d_model=64 model.d_model=64.0
model.block.filter_layers=[0] model.block.filter_layers=[0.0]
bucket_by_length=false bucket_by_length=0
"""


@pytest.mark.parametrize("override", SAME.split())
def test_a_value_counts_as_validated_however_it_is_typed(override):
    """All of these are the protocol's own values, so the cell is the protocol's, and conforms."""
    assert cell_id(override) == cell_id()
    assert Configuration.of([override]).modified == {}


@pytest.mark.parametrize(
    "model, pair",
    [
        ("performer", ("model.block.mixer.features=64", "model.block.mixer.features=64.0")),
        ("fourier", ("model.block.keep_ratio=1", "model.block.keep_ratio=1.0")),
        ("sinkhorn", ("model.block.mixer.temperature=2", "model.block.mixer.temperature=2e0")),
        ("mega", ("model.block.mixer.chunk=128", "model.block.mixer.chunk=128.0")),
    ],
)
def test_a_setting_that_only_a_constructor_checks_counts_the_same_way(model, pair):
    assert cell_id(f"model={model}", pair[0]) == cell_id(f"model={model}", pair[1])
    one, other = (Configuration.of([f"model={model}", "task.variant=short", p]) for p in pair)
    assert one.modified == other.modified != {}
    for configuration in (one, other):  # the run uses the same value
        assert isinstance(instantiate(configuration.cfg.copy().model.net), nn.Module)


def test_the_run_uses_the_values_that_validation_returned():
    cfg = Configuration.of(["optim.clip=1", "max_steps=5e3", "optim.betas=[0.9,0.99]"]).cfg
    assert (cfg.optim.clip, type(cfg.optim.clip)) == (1.0, float)
    assert (cfg.max_steps, type(cfg.max_steps)) == (5000, int)
    assert cfg.model.block.d_ff == cfg.model.d_ff == 128


def test_a_setting_that_follows_another_keeps_following_it():
    cfg = Configuration.of(["model.seq_len=100.0", "results.root=here"]).cfg
    assert cfg.model.net.seq_len == 100
    cfg.results.root = "there"
    assert cfg.results.path == "there"


def test_files_of_models_may_move():
    """A class counts by its name: the module of a class is nowhere in an identity."""
    tree = {"model": {"block": {"_target_": "models.fourier.FourierBlock", "keep_ratio": 0.2}}}
    moved = {"model": {"block": {"_target_": "models.a.b.FourierBlock", "keep_ratio": 0.2}}}
    assert (
        identity(tree)
        == identity(moved)
        != identity(json.loads(json.dumps(tree).replace("FourierBlock", "OtherBlock")))
    )
    for model in config.models():
        assert "models." not in json.dumps(Configuration.of([f"model={model}"]).identity)


def test_a_setting_that_is_null_counts_as_absent():
    assert identity({"a": None, "b": {"c": None}, "d": 1.0}) == {"b": {}, "d": 1}


def test_a_setting_of_before_there_was_a_choice_is_left_out_by_its_full_key(monkeypatch):
    monkeypatch.setitem(ADDED, "optim.clip", 1)
    assert "clip" not in Configuration.of([]).identity["optim"]
    assert Configuration.of(["optim.clip=2"]).identity["optim"]["clip"] == 2
    assert identity({"trainer2": {"clip": 1}}) == {"trainer2": {"clip": 1}}


def test_composed_once(monkeypatch):
    """A conforming cell is composed once, a modified one compares itself with one reference."""
    composed = []
    real = lra.config.composition.hydra_compose
    monkeypatch.setattr(
        lra.config.composition, "hydra_compose", lambda *a, **k: composed.append(a) or real(*a, **k)
    )
    for words, times in (
        (["seed=1234", "model=performer", "task.variant=short", "trainer.threads=1"], 1),
        (["seed=1235", "model=performer", "optim.lr=0.5", "trainer.threads=1"], 2),
    ):
        composed.clear()
        configuration = Configuration.of(words)
        for _ in range(3):
            assert configuration.identity
            configuration.modified  # noqa: B018
        assert len(composed) == times


def test_a_modified_cell_lists_the_keys():
    overrides = ["optim.lr=0.5", "model.n_heads=4", "seed=3", "task.variant=short"]
    expected = {"optim.lr": [0.001, 0.5], "model.n_heads": [2, 4]}
    assert Configuration.of(overrides).modified == expected
    smoke = {"batch_size": [32, 4], "max_steps": [5000, 4], "val_every": [250, 2]}
    assert Configuration.of(["trainer=smoke"]).modified == smoke | {"max_eval_examples": [None, 8]}


@pytest.mark.parametrize(
    "override", ["~preset", "+model.net.x=1", "trainer=smoke", "optim.lr=1", "budget=lite/listops"]
)
def test_whatever_may_modify_a_cell_is_compared(override):
    """Only choices of the protocol's own configurations, and settings of the environment, are
    taken for conforming without a comparison."""
    assert not lra.config.identity._conforms(override)


def test_the_filter_stands_in_front_of_any_mixer():
    plain, filtered = (Configuration.of(["model=performer", *f]) for f in ([], ["filter=fourier"]))
    assert (plain.label, filtered.label) == ("performer", "fourier+performer")
    assert filtered.modified == {}
    assert filtered.cfg.model.block.mixer == plain.cfg.model.block.mixer
    assert cell_id("model=performer") != cell_id("model=performer", "filter=fourier")
    alone = config.compose(["model=fourier"]).model.block
    behind = config.compose(["model=transformer", "filter=fourier"]).model.block
    assert alone == behind


def test_building_the_network_does_not_make_a_cell_modified():
    """instantiate resolves interpolations in place; Training works on a copy."""
    configuration = Configuration.of(["model=performer", "optim.lr=0.5"])
    instantiate(configuration.cfg.copy().model.net)
    assert configuration.modified.keys() == {"optim.lr"}


ROWS = sorted((ROOT / "results/board/runs").glob("*/*/*.json"))


@pytest.mark.parametrize("path", ROWS, ids=lambda p: p.stem)
def test_a_committed_row_conforms_and_its_command_typed_today_finds_it(path):
    row = runs.read(path)
    assert row.modified == {} or belongs(row)
    begins = row.inherited
    for folder in (begins and begins.init, begins and begins.tokenizer):
        if folder and not Path(folder).is_dir():
            pytest.skip(f"{folder}, with which the row begins, is not here: a run leaves it")
    configuration = Configuration.of(row.overrides)
    if begins and begins.init and configuration.inherited["sha256"] != begins.sha256:
        pytest.skip(f"{begins.init} has other weights than those with which the row begins")
    now, then = map(config.flatten, (configuration.identity, row.config))
    added = {key: now[key] for key in now.keys() - then.keys()}
    lines = "".join(f"\n    {json.dumps(key)}: {value!r}," for key, value in added.items())
    assert not added, (
        "Settings were added, so that older rows lose their cells. Where these values mean what "
        f"was done before, add to ADDED in {inspect.getfile(lra.config.identity)}:{lines}"
    )
    assert now == then
    named = cell(configuration, types.SimpleNamespace(fingerprint=row.fingerprint)).id
    assert (named, path.stem) == (row.cell, row.name)


def test_every_name_in_the_lists_is_a_setting():
    known = config.flatten(config.plain(config.compose(["logger=wandb"])))
    groups = {".".join(key.split(".")[:n]) for key in known for n in range(1, key.count(".") + 2)}
    optional = {"task.maker", "task.tokenizer", "task.answers", "task.own_rouge"}
    optional |= {"model.answers", "model.family", "model.types"}  # of texts and pretrained models
    assert groups | optional >= ENVIRONMENT | set(ADDED)
    assert groups | {"filter", "protocol"} >= CHOICES
