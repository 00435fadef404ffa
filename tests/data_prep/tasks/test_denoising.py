import numpy as np
import pytest

import data_prep
from data_prep import pack
from data_prep.tasks import denoising
from lra import config, tokenizer
from lra.errors import UserError
from tests import originals

SMALL = ["vocab_size=300", "seq_len=32", "held_out=3"]


def made(tmp_path, variant: str, *words: str):
    settings = [f"task.variants.{variant}.{setting}" for setting in SMALL]
    words = ["task=denoising", f"task.variant={variant}", f"data.root={tmp_path}/data", *words]
    cfg = config.compose([*words, *settings])
    manifest = data_prep.prepare(cfg.task, cfg.data)
    path = data_prep.folder(cfg.task, cfg.data)
    return manifest, path, {name: pack.load(path, manifest, name) for name in manifest.counts}


def write_texts(folder, n=40):
    folder.mkdir()
    for i in range(n):
        (folder / f"{i:02}.txt").write_text(f"Text {i}. " + "word after word. " * (i + 1))
    return folder


def test_documents_become_pieces_of_at_most_the_length(tmp_path):
    folder = write_texts(tmp_path / "texts")
    manifest, path, splits = made(tmp_path, "files", f"data.archive={folder}")
    codes = tokenizer.load(path)
    texts = []
    for split in splits.values():
        pieces = [split.ids[a:b] for a, b in zip(split.offsets, split.offsets[1:], strict=False)]
        assert max(map(len, pieces)) <= 32
        assert all((piece[0], piece[-1]) == (0, 2) for piece in pieces)
        texts.append("".join(codes.decode(piece.tolist()) for piece in pieces))
    assert all("word after word" in text for text in texts)
    assert any("40 documents; 3 each held out" in note for note in manifest.notes)
    whole = sum(text.count("Text") for text in texts)
    assert whole == 40  # each document in one split


def test_val_and_test_follow_the_seed(tmp_path):
    folder = write_texts(tmp_path / "texts")
    one, *_ = made(tmp_path / "one", "files", f"data.archive={folder}")
    two, *_ = made(tmp_path / "two", "files", f"data.archive={folder}", "data.seed=1")
    again, *_ = made(tmp_path / "again", "files", f"data.archive={folder}")
    assert one.fingerprint == again.fingerprint != two.fingerprint


@pytest.mark.parametrize("variant", ["imdb", "papers", "imdb_papers"])
def test_the_arena_s_texts(tmp_path, monkeypatch, variant):
    monkeypatch.setenv("LRA_ARCHIVES", str(originals.write_all(tmp_path / "archives")))
    manifest, path, splits = made(tmp_path, variant)
    text = tokenizer.load(path).decode(np.asarray(splits["train"].ids).tolist())
    assert ("film" in text) is ("imdb" in variant)
    assert ("word word" in text) is ("papers" in variant)
    assert "not labelled" not in text


def test_a_short_rest_is_left_out():
    assert [len(piece) for piece in denoising.cut(list(range(25)), 10)] == [10, 10, 5]
    assert [len(piece) for piece in denoising.cut(list(range(21)), 10)] == [10, 10]
    assert [len(piece) for piece in denoising.cut([1], 10)] == [1]


def test_too_few_texts_and_one_that_is_not_text(tmp_path):
    folder = write_texts(tmp_path / "texts", n=9)
    with pytest.raises(UserError, match="9 texts are too few to split"):
        made(tmp_path, "files", f"data.archive={folder}")
    (folder / "z.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"z.txt is not UTF-8 \(byte 0\)"):
        made(tmp_path, "files", f"data.archive={folder}")
