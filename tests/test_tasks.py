"""End to end: every task through run.py, from tiny archives; and the signal in the real data."""

import os

import numpy as np
import pytest
import torch
from hydra.utils import instantiate

import data_prep
from lra import config
from lra.config import Configuration
from lra.store import runs
from lra.training.data import PackedData, full_length
from tests import conftest, originals, warm
from tests.conftest import ROOT

TASKS = sorted(originals.SETTINGS)
MODELS = ["fourier", "transformer"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with archives/ for LRA_ARCHIVES and data/ for data.root."""
    path = tmp_path_factory.mktemp("tasks")
    originals.write_all(path / "archives")
    return path


def run(root, results, task, *overrides, flags=()):
    command = [
        *(str(ROOT / "run.py"), *flags, f"task={task}"),
        *(*({"listops": conftest.TINY} | originals.SETTINGS)[task], "trainer=smoke"),
        *(f"data.root={root}/data", f"results.root={results}", "trainer.threads=1", *overrides),
    ]
    env = os.environ | {"LRA_ARCHIVES": str(root / "archives")}
    return warm.run(command, env, timeout=1800 if flags else 300)  # a sweep of all models is long


CASES = [
    pytest.param(
        task, model, marks=() if model == "fourier" or task == "retrieval" else pytest.mark.slow
    )
    for task in TASKS
    for model in MODELS
]


@pytest.mark.parametrize("task, model", CASES)
def test_a_task_trains_from_its_original_files(root, tmp_path, task, model):
    short = ["max_eval_examples=2", "batch_size=1"] if task == "pathx" else []
    result = run(root, tmp_path, task, f"model={model}", *short)
    assert result.returncode == 0, result.stderr
    (row,) = runs.read_all(tmp_path / "smoke")
    assert row.status == "done"
    assert row.task == task
    assert row.variant in result.stderr
    assert row.test_score.n == (2 if short else min(8, originals.TEST))
    assert row.baselines


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted({"listops", *TASKS} - {"pathx"}))
def test_every_model_trains_on_every_task_in_one_sweep(root, tmp_path, task):
    result = run(root, tmp_path, task, "model=glob(*,exclude=[*bart,*encoder])", flags=["-m"])
    assert result.returncode == 0, result.stderr
    found = runs.read_all(tmp_path / "smoke")
    assert {row.model for row in found} == set(conftest.MODELS)
    assert {row.status for row in found} == {"done"}
    assert all(row.cost and row.transformer_parameters for row in found)


@pytest.mark.parametrize("name", ["performer", "nystromformer"])
def test_the_filter_shortens_what_another_mixer_sees(root, tmp_path, name):
    result = run(root, tmp_path, "image", f"model={name}", "filter=fourier")
    assert result.returncode == 0, result.stderr
    (row,) = runs.read_all(tmp_path / "smoke")
    assert row.label == f"fourier+{name}"
    assert row.config["model"]["filter"] == "fourier"


@pytest.mark.parametrize("task", ["image", "pathfinder"])
def test_a_task_made_of_pixels_can_be_read_as_real_numbers(root, tmp_path, task):
    result = run(root, tmp_path, task, "model.input=continuous")
    assert result.returncode == 0, result.stderr
    (row,) = runs.read_all(tmp_path / "smoke")
    assert row.modified["model.input"] == ["tokens", "continuous"]


def test_batches_by_length_train_and_are_scored_in_order(root, tmp_path):
    result = run(root, tmp_path, "text", "bucket_by_length=true")
    assert result.returncode == 0, result.stderr
    (row,) = runs.read_all(tmp_path / "smoke")
    assert row.modified["bucket_by_length"] == [False, True]
    (saved,) = tmp_path.glob("smoke/work/*/selected.ckpt")
    again = run(root, tmp_path, "text", f"evaluate={saved}")
    assert again.returncode == 0, again.stderr
    assert "bit for bit" in again.stdout


def test_a_row_selected_on_test_says_so(root, tmp_path):
    settings = originals.SETTINGS["text"]
    published = ["task.variant=bytes_1000_test_as_val"]
    counts = {"train": 30, "val": 10, "test": 10}
    published += [f"task.variants.bytes_1000_test_as_val.counts.{k}={n}" for k, n in counts.items()]
    try:
        originals.SETTINGS["text"] = published
        result = run(root, tmp_path, "text")
    finally:
        originals.SETTINGS["text"] = settings
    assert result.returncode == 0, result.stderr
    (row,) = runs.read_all(tmp_path / "smoke")
    assert row.variant == "bytes_1000_test_as_val"
    assert "val is the test split: selected on test" in row.warnings


PUBLISHED = sorted((config.CONF / "preset/paper").glob("*/*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("preset", [p for p in PUBLISHED if p.parent.name in config.text_tasks()])
def test_every_published_setting_of_texts_trains(preset):
    """Computes the gradient of one example at the preset's own size, 400 M parameters, but for 128
    of its tokens."""
    words = [f"task={preset.parent.name}", f"model={preset.stem}", "protocol=paper"]
    cfg = Configuration.of([*words, "model.seq_len=128"]).cfg
    objective, net = instantiate(cfg.objective), instantiate(cfg.model.net)
    loss = objective.loss(net, full_length(cfg, objective, 1).__getitems__([0]))
    loss.backward()
    assert loss.isfinite()


# networks of long convolutions that are 256 and 512 wide take seconds
LARGE = ("s4", "s5", "rtf")


@pytest.mark.parametrize(
    "preset",
    [
        pytest.param(
            p,
            marks=pytest.mark.slow if p.stem in LARGE and p.parent.name != "listops" else (),
        )
        for p in PUBLISHED
        if p.parent.name in config.tasks()
    ],
)
def test_every_published_setting_trains(preset, tmp_path):
    """Computes the gradient of one example, on random ids at the preset's own size, but for at most
    512 of its length."""
    task, model = preset.parent.name, preset.stem
    cfg = Configuration.of([f"task={task}", f"model={model}", "protocol=paper"]).cfg
    net = instantiate(cfg.model.net)
    N = min(cfg.model.seq_len, 512)
    ids = torch.randint(cfg.task.vocab_size, (1, cfg.task.documents, N))
    loss = net(ids, torch.full((1, cfg.task.documents), N)).square().sum()
    loss.backward()
    assert loss.isfinite()


# --- the labels carry signal: on the real data, slow ---

REAL = {
    "listops": ["task.variant=short"],
    "text": ["task.variant=bytes_1000", "model.seq_len=256"],
    "retrieval": ["task.variant=scisumm", "model.seq_len=256"],
    "image": [],
    "pathfinder": ["task.variant=small"],
}


def real(task, model, root, *overrides):
    settings = [f"task={task}", f"model={model}", *REAL[task], f"data.root={root}", *overrides]
    cfg = config.compose([*settings, "protocol=lite", "model.dropout=0"])
    manifest = data_prep.prepare(cfg.task, cfg.data)
    data = PackedData(
        data_prep.folder(cfg.task, cfg.data),
        manifest,
        seq_len=cfg.model.seq_len,
        batch_size=64,
        seed=0,
        limit=None,
    )
    torch.manual_seed(0)
    return data, instantiate(cfg.model.net)


def fit(net, x, lengths, labels, steps=400):
    """Trains on the full batch until every label is known; returns the share of known labels."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for step in range(steps):
        logits = net(x, lengths)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, labels).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        accuracy = (logits.argmax(1) == labels).float().mean().item()
        if accuracy == 1.0 and step > 20:
            break
    return accuracy


@pytest.fixture(scope="module")
def real_root(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", sorted(REAL))
def test_overfits_64_real_examples(task, model, real_root, archives):
    data, net = real(task, model, real_root)
    index = np.random.default_rng(0).choice(len(data.splits["train"]), 64, replace=False)
    x, lengths, labels, _ = data.splits["train"].__getitems__(index.tolist())
    assert fit(net, x, lengths, labels) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("task", ["text", "image"])
def test_with_shuffled_labels_it_scores_chance(task, model, real_root, archives):
    """Trains 200 steps on shuffled labels; the share of 500 examples of val that the model gets
    right then does not differ from 1 / classes, at a two-sided p of 0.001."""
    from scipy import stats

    data, net = real(task, model, real_root)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    train, val = data.splits["train"], data.splits["val"]
    shuffled = torch.from_numpy(rng.permutation(train.split.labels).astype(np.int64))
    for _ in range(200):
        index = rng.integers(len(train), size=8).tolist()
        x, lengths, _, _ = train.__getitems__(index)
        loss = torch.nn.functional.cross_entropy(net(x, lengths), shuffled[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    index = rng.choice(len(val), 500, replace=False).tolist()
    correct = 0
    with torch.no_grad():
        for start in range(0, 500, 50):
            x, lengths, labels, _ = val.__getitems__(index[start : start + 50])
            correct += int((net(x, lengths).argmax(1) == labels).sum())
    classes = int(val.split.labels.max()) + 1
    assert stats.binomtest(correct, 500, 1 / classes).pvalue > 0.001
