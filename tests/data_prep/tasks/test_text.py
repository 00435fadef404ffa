from collections import Counter
from functools import partial

import numpy as np
import pytest

import data_prep
from data_prep import archive, pack
from data_prep.tasks import text
from lra import config, tokenizer
from lra.errors import UserError
from tests import originals

prepare = partial(originals.prepared, "text")


def documents(split):
    return [
        split.ids[a:b].tobytes() for a, b in zip(split.offsets, split.offsets[1:], strict=False)
    ]


@pytest.fixture
def source(tmp_path):
    return originals.write_tar(tmp_path / "imdb", originals.reviews())


def test_packs_the_bytes_of_every_labelled_review(tmp_path, source):
    manifest, splits = prepare(tmp_path, source)
    packed = Counter()
    for name, split in splits.items():
        for review, label in zip(documents(split), split.labels, strict=True):
            packed["test" if name == "test" else "train", int(label), review] += 1
    expected = Counter()
    for name, content in originals.reviews().items():
        if match := text.REVIEW.search(name):
            expected[match[1], int(match[2] == "pos"), content[:1000]] += 1
    assert packed == expected
    assert manifest.counts == originals.COUNTS
    assert b"caf\xc3\xa9" in b"".join(documents(splits["train"]))  # bytes, not characters


def test_val_is_drawn_by_the_seed_and_the_order_in_the_archive_does_not_matter(tmp_path, source):
    one, _ = prepare(tmp_path, source)
    backwards = dict(reversed(originals.reviews().items()))
    folder = originals.write_folder(tmp_path / "folder", backwards)
    two, _ = prepare(tmp_path / "two", folder)
    three, _ = prepare(tmp_path / "three", source, "data.seed=1")
    assert one.fingerprint == two.fingerprint != three.fingerprint


def test_data_of_another_seed_are_not_taken_for_those_asked_for(tmp_path, source):
    prepare(tmp_path, source)
    with pytest.raises(UserError, match="made with data.seed=0, not 1"):
        prepare(tmp_path, source, "data.seed=1")


def test_duplicates_stay_on_one_side():
    reviews = [(b"same start " * 100 + bytes([i]), i % 2) for i in range(7)]
    reviews += [(f"other {i}".encode(), 0) for i in range(93)]
    for seed in range(20):
        rest, held = text.hold_out(reviews, 10, seed)
        assert len(held) == 10
        assert sorted(rest + held) == sorted(reviews)
        starts = [{t[: text.ALIKE] for t, _ in part} for part in (rest, held)]
        assert not starts[0] & starts[1]


def test_the_published_way_validates_on_test(tmp_path, source):
    counts = {"train": 30, "val": 10, "test": 10}
    settings = [f"task.variants.bytes_1000_test_as_val.counts.{k}={n}" for k, n in counts.items()]
    manifest, splits = prepare(tmp_path, source, "task.variant=bytes_1000_test_as_val", *settings)
    assert manifest.counts == counts
    assert manifest.val_is_test
    assert documents(splits["val"]) == documents(splits["test"])


@pytest.mark.parametrize("printed", [b"b'so so'", b'b"it\'s\\n"'])
def test_a_printed_literal_is_not_taken_for_a_review(tmp_path, printed):
    files = originals.reviews()
    name = next(iter(filter(text.REVIEW.search, files)))
    files[name] = printed
    with pytest.raises(UserError, match="the text is a printed bytes literal"):
        prepare(tmp_path, originals.write_tar(tmp_path / "x", files))
    files[name] = b"b'ware of this film, it's a trap"
    prepare(tmp_path, originals.write_tar(tmp_path / "y", files))


def test_reviews_are_cut_to_the_length_of_the_variant(tmp_path):
    files = {name: content * 100 for name, content in originals.reviews().items()}
    _, splits = prepare(tmp_path, originals.write_tar(tmp_path / "long", files))
    assert {len(d) for split in splits.values() for d in documents(split)} == {1000}


@pytest.mark.parametrize(
    "change, said",
    [
        ({"aclImdb/train/pos/3_9.txt": b""}, "train/pos/3_9.txt is empty"),
        (
            {"aclImdb/train/pos/77_2.txt": b"x"},
            "train/pos/77_2.txt has rating 2 but lies under pos",
        ),
        ({"aclImdb/train/pos/77_9.txt": b"x"}, "gives 25 examples for train, not 24"),
    ],
)
def test_what_is_wrong_in_an_archive_is_said(tmp_path, change, said):
    files = originals.reviews() | change
    with pytest.raises(UserError, match=said):
        prepare(tmp_path, originals.write_tar(tmp_path / "imdb", files))
    assert not list(tmp_path.glob("data/**/manifest.json"))


def test_an_archive_of_something_else_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no reviews"):
        prepare(tmp_path, originals.write_tar(tmp_path / "x", originals.papers()))


def test_the_real_reviews_trace_back_to_their_files(tmp_path, archives):
    cfg = config.compose(["task=text", f"data.root={tmp_path}"])
    manifest = data_prep.prepare(cfg.task, cfg.data)
    splits = {
        name: pack.load(tmp_path / "text/bytes_4000", manifest, name) for name in manifest.counts
    }
    assert manifest.counts == {"train": 22500, "val": 2500, "test": 25000}
    assert manifest.label_counts["test"] == [12500, 12500]
    assert manifest.baselines["bag of bytes"]["test"] < 0.70
    where = {}
    for name, stream in archive.members(archives / "imdb", text.REVIEW):
        split, label, *_ = text.REVIEW.search(name).groups()
        where.setdefault((split, stream.read()[:4000]), set()).add(text.LABELS.index(label))
    rng = np.random.default_rng(0)
    for name, split in splits.items():
        for i in rng.choice(len(split.labels), 100, replace=False):
            review = split.ids[split.offsets[i] : split.offsets[i + 1]].tobytes()
            assert int(split.labels[i]) in where["test" if name == "test" else "train", review]
    starts = [{d[: text.ALIKE] for d in documents(splits[name])} for name in ("train", "val")]
    assert not starts[0] & starts[1]


def test_a_pretrained_model_s_word_pieces(tmp_path, source):
    codes = tokenizer.train(["ative film caf\u00e9 neg pos"] * 3, 300)
    (tmp_path / "model").mkdir()
    codes.save(str(tmp_path / "model/tokenizer.json"))
    words = [f"task.tokenizer={tmp_path / 'model'}", "task.variant=word_pieces_512"]
    words += [f"task.variants.word_pieces_512.counts={originals.COUNTS}".replace("'", "")]
    words += ["task.variants.word_pieces_512.seq_len=9"]
    words = [word.replace(" ", "") for word in words]
    manifest, splits = prepare(tmp_path, source, *words)
    assert manifest.counts == originals.COUNTS
    ids, offsets, _ = splits["train"]
    assert np.diff(offsets).max() == 9
    assert (ids[offsets[:-1]] == 0).all()
    assert (ids[offsets[1:] - 1] == 2).all()
    assert ids[offsets[0] + 1] in codes.encode("train 0").ids
    assert manifest.baselines["bag of bytes"]["test"] > 0.8  # of the bytes, as without a tokenizer
