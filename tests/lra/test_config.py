import re
import tomllib
import types

import pytest
import torch
import yaml
from hydra.utils import instantiate

from lra import config, rows
from lra.cell import cell
from lra.errors import UserError
from lra.training import transformer_parameters
from tests.conftest import MODELS, ROOT

TASKS = sorted(p.stem for p in (config.CONF / "task").glob("*.yaml"))
PROTOCOLS = sorted(p.stem for p in (config.CONF / "protocol").glob("*.yaml"))
PRESETS = sorted((config.CONF / "preset").rglob("*.yaml"))


class FakeManifest:
    fingerprint = "f"


def cell_id(*overrides):
    return cell(config.compose(list(overrides)), FakeManifest()).id


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", ["image", "retrieval"])  # one document, and two
def test_every_model_is_built_for_a_task(task, model):
    with torch.device("meta"):
        instantiate(config.compose([f"task={task}", f"model={model}"]).model.net)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["transformer", "fourier", "performer"])
@pytest.mark.parametrize("task", TASKS)
def test_every_protocol_composes_and_conforms_to_itself(task, model, protocol):
    has_preset = (config.CONF / f"preset/{protocol}/{task}/{model}.yaml").exists()
    cfg = config.compose([f"task={task}", f"model={model}", f"protocol={protocol}"])
    if protocol == "paper" and not has_preset:
        with pytest.raises(UserError, match="protocol=paper has no settings"):
            config.check(cfg)
        return
    config.check(cfg)
    assert config.modified(cfg) == {}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: str(p.relative_to(config.CONF)))
def test_presets_add_no_key_and_name_their_source(preset):
    protocol, task, model = preset.relative_to(config.CONF / "preset").with_suffix("").parts
    groups = [f"task={task}", f"model={model}", f"protocol={protocol}"]
    with_preset = config.flatten(config.plain(config.compose(groups)))
    without = config.flatten(config.plain(config.compose([*groups, "~preset"])))
    assert with_preset.keys() == without.keys()
    assert with_preset["task.variant"] in config.compose(groups).task.variants
    assert with_preset["source.preset"]


def test_models_are_called_as_their_files():
    for model in MODELS:
        assert config.compose([f"model={model}"]).model.name == model


# Models whose mechanism has more or fewer weights than attention's four projections.
NOT_SIZE_MATCHED = {
    "fnet": "no weights at all",
    "linformer": "a projection of the sequence, features x N",
    "longformer": "projections of their own for global tokens",
    "mega": "gates, and a bias for each distance",
    "synthesizer": "a key for each position",
}


def test_all_models_have_one_size_under_matched():
    """Those that cannot are flagged in their rows."""
    other = set()
    for model in MODELS:
        cfg = config.compose([f"model={model}"])
        with torch.device("meta"):
            size = sum(p.numel() for p in instantiate(cfg.model.net).parameters())
        expected = transformer_parameters(cfg)
        if abs(size - expected) > 0.1 * expected:
            other.add(model)
    assert other == NOT_SIZE_MATCHED.keys()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_says_how_its_cost_grows(model):
    assert config.cost(model) in ("N", "N log N", "N^1.5", "N^2")


def test_the_filter_stands_in_front_of_any_mixer():
    plain, filtered = (config.compose(["model=performer", *f]) for f in ([], ["filter=fourier"]))
    assert (config.label(plain.model), config.label(filtered.model)) == (
        "performer",
        "fourier+performer",
    )
    assert config.modified(filtered) == {}
    assert filtered.model.block.mixer == plain.model.block.mixer
    assert cell_id("model=performer") != cell_id("model=performer", "filter=fourier")
    alone = config.compose(["model=fourier"]).model.block
    behind = config.compose(["model=transformer", "filter=fourier"]).model.block
    assert alone == behind


def test_the_filter_needs_a_plain_block():
    for model in ("luna", "mega"):
        with pytest.raises(UserError, match=f"filter=fourier does not go with model={model}"):
            config.check(config.compose([f"model={model}", "filter=fourier"]))


@pytest.mark.parametrize("task", TASKS)
def test_lite_is_matched_cut_short(task):
    lite, matched = (
        config.flatten(config.plain(config.compose([f"task={task}", f"protocol={p}"])))
        for p in ("lite", "matched")
    )
    different = {key for key in lite if lite[key] != matched[key]}
    documents = {"text": {"task.variant", "model.seq_len"}, "retrieval": {"model.seq_len"}}
    cut = documents.get(task, set())
    setting = {"source.schedule", "optim.lr", "optim.warmup", "model.init_std", "batch_size"}
    assert {"protocol", "trainer.max_steps"} | cut <= different
    assert different <= {"protocol", "trainer.max_steps", "trainer.val_every"} | cut | setting
    assert (lite["trainer.max_steps"], lite["batch_size"]) == (1000, 32)
    if task == "listops":
        assert different == {"protocol", "trainer.max_steps"}


@pytest.mark.parametrize("variant", ["text", "text task.variant=bytes_4000", "retrieval"])
def test_lite_reads_1000_bytes_of_a_document(variant):
    cfg = config.compose([*f"task={variant}".split(), "protocol=lite"])
    assert cfg.model.seq_len == 1000


DECIDES = """
seed=1 optim.lr=0.5 trainer.max_steps=7 model.block.keep_ratio=0.3 model=transformer protocol=lite
task.variant=short trainer.precision=bf16-mixed batch_size=8 bucket_by_length=true model.d_qkv=32
"""
ENVIRONMENT = """
data.root=x data.archive=x results.root=x logger=wandb rerun=true trainer=gpu trainer.threads=3
trainer.devices=2 trainer.checkpoint_seconds=1 source.schedule=x
"""


@pytest.mark.parametrize("override", DECIDES.split())
def test_what_decides_a_result_makes_another_cell(override):
    assert cell_id(override) != cell_id()


@pytest.mark.parametrize("override", ENVIRONMENT.split())
def test_where_it_is_computed_does_not(override):
    assert cell_id(override) == cell_id()


ROWS = sorted((ROOT / "results/runs").glob("*/*/*.json"))


@pytest.mark.parametrize("path", ROWS, ids=lambda p: p.stem)
def test_keys_that_came_later_leave_older_rows_their_cells(path):
    """A committed row conforms, and its command typed today finds it."""
    row = rows.read(path)
    assert row.modified == {}
    names = {
        "task": row.task,
        "task.variant": row.variant,
        "model": row.model,
        "protocol": row.protocol,
        "seed": row.seed,
    }
    cfg = config.compose([f"{key}={value}" for key, value in names.items()])
    assert config.identity(cfg) == row.config
    assert cell(cfg, types.SimpleNamespace(fingerprint=row.fingerprint)).id == row.cell


def test_a_modified_cell_lists_the_keys():
    cfg = config.compose(["optim.lr=0.5", "model.n_heads=4", "seed=3", "task.variant=short"])
    assert config.modified(cfg) == {"optim.lr": [0.001, 0.5], "model.n_heads": [2, 4]}
    assert config.modified(config.compose(["trainer=smoke"])) != {}


@pytest.mark.parametrize(
    "override, said",
    [
        ("task.variant=shrt", "Did you mean short"),
        ("seed=-1", "seed=-1"),
        ("optim.schedule=steps", "'linear', 'rsqrt' or 'cosine'"),
        ("batch_size=0", "batch_size=0"),
        ("+optim.momentum=1", "optim.momentum"),
        ("trainer.precision=16", "bf16-mixed"),
        ("model.input=continuous", "grey values, which task=listops has not"),
        ("bucket_by_length=3", "bucket_by_length=3"),
        ("data.processes=-1", "data.processes=-1"),
        ("data.seed=abc", "data.seed=abc"),
        ("task.variants.standard.counts.val=0", "counts.val=0: give a whole number"),
    ],
)
def test_a_wrong_value_is_said(override, said):
    with pytest.raises(UserError, match=said):
        config.check(config.compose([override]))


def test_environment_yml_agrees_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert sorted(pip) == sorted(wanted)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin in wanted)
    assert f"python{project['requires-python']}" in conda


@pytest.mark.parametrize(
    "overrides, words",
    [
        (["model.block.filter_layers=[5]"], "there are 2 layers"),
        (["model.block.filter_layers=[-1]"], "there are 2 layers"),
        (["model.n_layers=1", "filter=progressive"], "there are 1 layers"),
        (["model=performer", "model.attention_dropout=0.5"], "model=performer has no attention_dr"),
        (["model=mega", "model.n_heads=7"], "model=mega has no n_heads"),
        (["model=luna", "model.d_qkv=32"], "model=luna has no d_qkv"),
        (["model.d_model=0"], "model.d_model=0"),
        (["model.dropout=abc"], "model.dropout=abc"),
        (["model.attention_dropout=1.5"], "model.attention_dropout=1.5"),
    ],
)
def test_a_setting_that_the_model_does_not_have_is_an_error(overrides, words):
    with pytest.raises(UserError, match=re.escape(words)):
        config.check(config.compose(overrides))


def test_building_the_network_does_not_make_a_cell_modified():
    """instantiate resolves interpolations in place; Training works on a copy."""
    cfg = config.compose(["model=performer"])
    instantiate(cfg.copy().model.net)
    assert config.modified(cfg) == {}
