import re
import tomllib

import pytest
import torch
import yaml
from hydra.utils import instantiate

from lra import config
from lra.config import Configuration
from lra.errors import UserError
from lra.training.run import count_parameters, transformer_parameters
from tests.conftest import MODELS, ROOT

TASKS = config.tasks()
PROTOCOLS = sorted(p.stem for p in (config.CONF / "protocol").glob("*.yaml"))
PRESETS = sorted((config.CONF / "preset").rglob("*.yaml"))


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
    words = [f"task={task}", f"model={model}", f"protocol={protocol}"]
    if protocol == "paper" and not has_preset:
        with pytest.raises(UserError, match="protocol=paper has no settings"):
            Configuration.of(words)
        return
    assert Configuration.of(words).modified == {}


@pytest.mark.parametrize("preset", PRESETS, ids=lambda p: str(p.relative_to(config.CONF)))
def test_presets_add_no_key_and_name_their_source(preset):
    protocol, task, model = preset.relative_to(config.CONF / "preset").with_suffix("").parts
    groups = [f"task={task}", f"model={model}", f"protocol={protocol}"]
    with_preset = config.flatten(config.plain(config.compose(groups)))
    without = config.flatten(config.plain(config.compose([*groups, "~preset"])))
    assert with_preset.keys() == without.keys()
    assert with_preset["task.variant"] in config.compose(groups).task.variants
    follows = with_preset["source.follows"]
    assert with_preset["source.preset"].startswith(f"{follows}@" if follows else "")
    assert follows or "nothing tuned" in with_preset["source.preset"]  # a choice of our own


def test_models_are_called_as_their_files():
    for model in MODELS:
        assert config.compose([f"model={model}"]).model.name == model


# Models whose mechanism has more or fewer weights than attention's four projections.
NOT_SIZE_MATCHED = {
    "fnet": "no weights at all",
    "linformer": "a projection of the sequence, features x N",
    "longconv": "kernels as long as the sequence",
    "longformer": "projections of their own for global tokens",
    "mega": "gates, and a bias for each distance",
    "synthesizer": "a key for each position",
}


def test_all_models_have_one_size_under_matched():
    """Models that cannot have it are flagged in their rows."""
    other = set()
    for model in MODELS:
        cfg = config.compose([f"model={model}"])
        with torch.device("meta"):
            size = count_parameters(instantiate(cfg.model.net))
        expected = transformer_parameters(cfg)
        if abs(size - expected) > 0.1 * expected:
            other.add(model)
    assert other == NOT_SIZE_MATCHED.keys()


@pytest.mark.parametrize("model", MODELS)
def test_every_model_says_how_its_cost_grows(model):
    assert config.cost(model) in ("N", "N log N", "N^1.5", "N^2")


def test_the_filter_needs_a_plain_block():
    for model in ("luna", "mega"):
        with pytest.raises(UserError, match=f"filter=fourier does not go with model={model}"):
            Configuration.of([f"model={model}", "filter=fourier"])


@pytest.mark.parametrize("task", TASKS)
def test_lite_is_matched_cut_short(task):
    lite, matched = (
        config.flatten(config.plain(config.compose([f"task={task}", f"protocol={p}"])))
        for p in ("lite", "matched")
    )
    different = {key for key in lite if lite[key] != matched[key]}
    documents = {"text": {"task.variant", "model.seq_len"}, "retrieval": {"model.seq_len"}}
    cut = documents.get(task, set())
    setting = {
        "source.budget",
        "source.follows",
        "optim.lr",
        "optim.warmup",
        "model.init_std",
        "batch_size",
    }
    assert {"protocol", "max_steps"} | cut <= different
    assert different <= {"protocol", "max_steps", "val_every"} | cut | setting
    assert (lite["max_steps"], lite["batch_size"]) == (1000, 32)
    if task == "listops":
        assert different == {"protocol", "max_steps"}


@pytest.mark.parametrize("variant", ["text", "text task.variant=bytes_4000", "retrieval"])
def test_lite_reads_1000_bytes_of_a_document(variant):
    cfg = config.compose([*f"task={variant}".split(), "protocol=lite"])
    assert cfg.model.seq_len == 1000


def test_environment_yml_agrees_with_pyproject():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (entry["pip"] for entry in conda if isinstance(entry, dict))
    assert sorted(pip) == sorted(wanted)
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9.]+", pin) for pin in wanted)
    assert f"python{project['requires-python']}" in conda


def test_tasks_come_in_the_order_of_the_tables():
    assert TASKS == ["listops", "text", "retrieval", "image", "pathfinder", "pathx"]
    assert config.tasks(in_mean=True) == TASKS[:-1]
    assert [config.title(task) for task in (*TASKS, "gone")][-2:] == ["Path-X", "gone"]


@pytest.mark.parametrize(
    "name, parts", [("performer", ("performer", None)), ("fourier+fnet", ("fnet", "fourier"))]
)
def test_a_label_is_a_model_and_the_filter_in_front_of_it(name, parts):
    assert config.unlabelled(name) == parts
    assert config.label(*parts) == name
    assert Configuration.of(config.choices(*parts)).label == name


def test_a_composed_configuration_is_nobody_elses():
    """Composing is cached; what one caller changes, no other sees."""
    config.compose(["seed=3"]).seed = 4
    assert config.compose(["seed=3"]).seed == 3


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("model", ["fnet", "fourier", "transformer"])
@pytest.mark.parametrize("task", ["listops", "text", "retrieval"])
def test_the_usual_variant_is_the_one_that_composing_gives(task, model, protocol):
    words = [f"task={task}", f"model={model}", f"protocol={protocol}"]
    expected = config.compose(words).task.variant
    assert config.usual_variant(task, protocol, model) == expected
