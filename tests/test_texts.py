"""End to end: pretraining, fine-tuning, summaries and their scores, through run.py."""

import json
import shutil
import signal
import time

import numpy as np
import pytest

from lra import tokenizer
from lra.store import runs
from tests import originals, warm
from tests.data_prep.test_pairs import articles, write_jsonl

SMOKE = ["trainer=smoke", "trainer.threads=1", "protocol=lite"]
SIZES = ["model.d_model=16", "model.n_layers=2", "model.n_heads=2", "model.d_ff=32"]
SAMPLE = [
    "task=cnn_dailymail",
    "task.variant=sample",
    "task.variants.sample.vocab_size=300",
    "objective.generation.max_len=12",
    "objective.generation.min_len=2",
]
FOURIER = ["model=fourier_bart", "model.filter_layers=[1]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Texts to pretrain on, pairs to fine-tune on, and a place for results."""
    root = tmp_path_factory.mktemp("texts")
    (root / "pairs").mkdir()
    write_jsonl(root / "pairs")
    (root / "texts").mkdir()
    for n, article in enumerate(articles()):
        (root / f"texts/{n}.txt").write_text(article["article"])
    return root


def start(place, *words: str, results: str = "results", sizes: bool = True):
    common = [*SMOKE, f"data.root={place / 'data'}", f"results.root={place / results}"]
    return warm.Popen(["run.py", *common, *(SIZES if sizes else []), *words])


def run(place, *words: str, results: str = "results", code: int = 0, sizes: bool = True) -> str:
    child = start(place, *words, results=results, sizes=sizes)
    out, err = child.communicate(timeout=300)
    assert child.returncode == code, err
    return out + err


def rows(place, results: str = "results"):
    return runs.read_all(place / results / "smoke")


@pytest.fixture(scope="module")
def pretrained(place) -> str:
    """The folder that a run of task=denoising leaves."""
    said = run(
        place,
        "task=denoising",
        "task.variant=files",
        "task.variants.files.vocab_size=300",
        f"data.archive={place / 'texts'}",
        "model=bart",
    )
    (row,) = rows(place)
    assert row.headline.name == "loss a token"
    assert row.test_score.value > 1
    folder = f"{place}/results/smoke/work/{row.cell}/pretrained"
    assert f"init={folder}" in said
    return folder


@pytest.fixture(scope="module")
def fine_tuned(place, pretrained):
    """The row of a Fourier-BART that began with the pretrained weights, and what the run said."""
    words = [*SAMPLE, *FOURIER, f"data.archive={place / 'pairs'}", f"init={pretrained}"]
    said = run(place, *words)
    (row,) = [row for row in rows(place) if row.model == "fourier_bart"]
    return row, said


@pytest.fixture(scope="module")
def whole(place, pretrained):
    """The words of a longer run, and the row that it leaves where nobody stops it."""
    words = [*SAMPLE, *FOURIER, f"data.archive={place / 'pairs'}", f"init={pretrained}"]
    words += ["max_steps=8", "val_every=4", "trainer.checkpoint_seconds=0", "seed=1"]
    run(place, *words, results="whole")
    (row,) = rows(place, "whole")
    return words, row


def test_pretrained_weights_are_inherited_filtered_and_scored(place, pretrained, fine_tuned):
    row, said = fine_tuned
    assert "ROUGE-L" in said
    assert row.status == "done"
    assert row.test.keys() >= {"ROUGE-1", "ROUGE-2", "ROUGE-L"}
    assert row.val_score.value > 1
    assert row.inherited.init == pretrained
    assert len(row.inherited.sha256) == 16
    assert f"init={pretrained}" in row.command
    assert row.trivial["lead-3"]["ROUGE-1"] > 0
    assert row.baselines["lead-3"]["test"] == row.trivial["lead-3"]["ROUGE-L"]
    texts = runs.predictions(row)
    assert len(texts) == 3
    assert all(isinstance(text, str) for text in texts)
    details = runs.read_details(row.path)
    assert details.keys() == row.test.keys()
    for metric, values in details.items():
        assert values.mean() == pytest.approx(row.test[metric].value, abs=1e-3)
    assert np.array_equal(runs.values(row), details["ROUGE-L"])
    assert not list(place.glob("results/smoke/labels/*.jsonl"))  # no text of the data set


def test_its_row_may_join_the_board_and_a_tampered_one_may_not(place, fine_tuned):
    row, _ = fine_tuned
    board = place / "board"
    board.mkdir()
    claim = json.loads(row.path.read_text())
    claim["test"]["ROUGE-L"]["value"] += 1
    tampered = row.path.with_name("tampered-1.json")
    tampered.write_text(json.dumps(claim))
    shutil.copy(row.path.with_suffix(".jsonl"), tampered.with_suffix(".jsonl"))
    words = ["origin=A. Person", f"results.board={board}"]
    said = command(place, "-m", "lra.submit", str(tampered), *words, code=1)
    assert "its predictions give ROUGE-L" in said
    claim["modified"]["objective.x"] = [None, {"_target_": "os.mkdir", "path": f"{place}/made"}]
    tampered.write_text(json.dumps(claim))
    command(place, "-m", "lra.submit", str(tampered), *words, code=1)
    assert not (place / "made").exists()  # nothing of a row runs
    tampered.unlink()
    tampered.with_suffix(".jsonl").unlink()
    command(place, "-m", "lra.submit", str(row.path), *words)
    kept = {path.suffix for path in board.glob("runs/cnn_dailymail/fourier_bart/*")}
    assert kept >= {".json", ".jsonl", ".csv"}
    assert len(list(board.glob("runs/*/*/*.scores.csv"))) == 1
    assert not list(board.glob("labels/*"))


def test_tables_page_and_pictures_show_it(place, fine_tuned):
    words = ["modified=true", "trainer=smoke", f"results.root={place / 'results'}"]
    said = command(place, "-m", "lra.tables", *words)
    assert "begins with" in said
    text = (place / "results/smoke/tables-modified/summarization.md").read_text()
    assert "[lead-3]" in text.replace("\\", "")
    assert "pretrained " in text
    command(place, "-m", "lra.leaderboard", *words)
    assert "fourier_bart" in (place / "results/smoke/leaderboard.html").read_text()
    command(place, "-m", "lra.plots", *words)


def command(place, *words: str, code: int = 0) -> str:
    child = warm.Popen(list(words), cwd=str(place))  # where data/ is
    out, err = child.communicate(timeout=300)
    assert child.returncode == code, err
    return out + err


def test_killed_it_ends_bit_identical_hypotheses_included(place, whole):
    words, unbroken = whole
    child = start(place, *words, results="killed")
    deadline = time.monotonic() + 120
    while not list(place.glob("killed/smoke/work/*/last.ckpt")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    run(place, *words, results="killed")
    (killed,) = rows(place, "killed")
    assert killed.resumes
    assert unbroken.test_outputs_sha256 == killed.test_outputs_sha256
    assert runs.predictions(unbroken) == runs.predictions(killed)
    assert unbroken.test == killed.test
    assert unbroken.val == killed.val


def test_a_checkpoint_is_scored_again(place, whole):
    _, row = whole
    saved = place / f"whole/smoke/work/{row.cell}/selected.ckpt"
    said = run(place, f"evaluate={saved}", results="whole")
    assert "bit for bit, predictions too" in said


def test_a_pretrained_encoder_is_fine_tuned_with_its_tokenizer(place):
    from transformers import BertConfig, BertModel

    folder = place / "bert"
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "max_position_embeddings": 64, "vocab_size": 300}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    tokenizer.train(["a film, negative or positive"], 300).save(str(folder / "tokenizer.json"))
    source = originals.write_tar(place / "imdb.tar", originals.reviews(), "w")
    counts = f"task.variants.word_pieces_512.counts={originals.COUNTS}"
    words = [counts.replace("'", "").replace(" ", ""), "model.seq_len=64", f"init={folder}"]
    words += ["task=text", "model=fourier_encoder", f"data.archive={source}", "protocol=lite"]
    run(place, *words, sizes=False)
    (row,) = [row for row in rows(place) if row.model == "fourier_encoder"]
    assert row.status == "done"
    assert row.variant == "word_pieces_512"
    assert row.test_score.n == 8
    assert row.inherited.init == str(folder)
    assert row.config["model"]["n_layers"] == 3
    assert row.transformer_parameters is None


def test_data_that_are_not_there_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv("LRA_ARCHIVES", raising=False)
    said = run(tmp_path, "task=scitldr", *FOURIER, code=1)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "(train, val and test, each as .csv," in line
    assert "data.archive=PATH" in line
    assert "$LRA_ARCHIVES/scitldr" in line
