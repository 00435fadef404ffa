from functools import partial

import numpy as np
import pytest

import data_prep
from data_prep import archive, pack
from data_prep.tasks import retrieval
from lra import config
from lra.errors import UserError
from tests import originals

prepare = partial(originals.prepared, "retrieval")


def pair(split, i):
    return [
        split.ids[split.offsets[k] : split.offsets[k + 1]].tobytes() for k in (2 * i, 2 * i + 1)
    ]


def papers_of(files):
    return dict(line.split(b"\t", 1) for line in files["papers.tsv"].splitlines())


def test_joins_pairs_and_papers(tmp_path):
    files = originals.papers()
    manifest, splits = prepare(tmp_path, originals.write_tar(tmp_path / "x", files))
    assert manifest.documents == 2
    assert manifest.counts == originals.COUNTS
    text = papers_of(files)
    for line, i in zip(files["pairs.eval.tsv"].splitlines(), range(6), strict=True):
        label, first, second = line.split(b"\t")
        assert pair(splits["val"], i) == [text[first], text[second]]
        assert splits["val"].labels[i] == int(float(label))


def aan(label=b"0.0", text=b"b'caf\\xc3\\xa9 \\'x\\' \\\\n'"):
    row = b'%s\t1\t2\t%s\tb"it\'s"\n' % (label, text) + b"1.0\t1\t2\tx\ty\n"
    sizes = {"train": originals.TRAIN, "eval": originals.VAL, "test": originals.TEST}
    return {f"tsv_data/new_aan_pairs.{name}.tsv": row * (n // 2) for name, n in sizes.items()}


def prepare_aan(tmp_path, files):
    source = originals.write_folder(tmp_path / "lra_release", files)
    return prepare(tmp_path, source, "task.variant=aan", *originals.counts("aan"))


def test_reads_the_bytes_that_literals_stand_for(tmp_path):
    _, splits = prepare_aan(tmp_path, aan())
    assert pair(splits["train"], 0) == ["caf\u00e9 'x' \\n".encode(), b"it's"]
    _, splits = prepare_aan(tmp_path / "plain", aan(text=b"no literal"))
    assert pair(splits["train"], 0)[0] == b"no literal"
    for quoted, meant in [
        (b"\"b'caf\\xc3\\xa9'\"", "caf\u00e9".encode()),
        (b'"b""it\'s"""', b"it's"),
        (b'"be it so"', b'"be it so"'),
    ]:
        _, splits = prepare_aan(tmp_path / str(len(quoted)), aan(text=quoted))
        assert pair(splits["train"], 0)[0] == meant


def test_papers_may_be_literals_too(tmp_path):
    files = originals.papers()
    expected = prepare(tmp_path / "plain", originals.write_tar(tmp_path / "x", files))[0]
    lines = [line.split(b"\t", 1) for line in files["papers.tsv"].splitlines()]
    files["papers.tsv"] = b"".join(b"%s\t%s\n" % (i, repr(t).encode()) for i, t in lines)
    found = prepare(tmp_path / "literal", originals.write_tar(tmp_path / "y", files))[0]
    assert found.fingerprint == expected.fingerprint


@pytest.mark.parametrize("end", [b"\n", b"\r\n \r\n", b"\n\n\n"])
def test_what_editors_add_to_a_file_does_no_harm(tmp_path, end):
    files = originals.papers()
    expected = prepare(tmp_path / "plain", originals.write_tar(tmp_path / "x", files))[0]
    files = {name: b"\xef\xbb\xbf" + content + end for name, content in files.items()}
    found = prepare(tmp_path / "edited", originals.write_tar(tmp_path / "y", files))[0]
    assert found.fingerprint == expected.fingerprint


def test_the_two_variants_are_other_data(tmp_path):
    one, _ = prepare(tmp_path, originals.write_tar(tmp_path / "x", originals.papers()))
    two, _ = prepare_aan(tmp_path, aan())
    assert (one.variant, two.variant) == ("scisumm", "aan")
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    "change, said",
    [
        (b"2.0\tP01\tP02\n", "line 25: the label is '2.0', not 0.0 or 1.0"),
        (b"1.0\tP01\n", "line 25: expected 3 columns between tabs, found 2"),
        (b"\n1.0\tP01\tP02\n", "line 25 is empty, and others follow"),
        (b"<html>\n", "line 25: expected 3 columns"),
        (b"1.0\tP01\tP99\n", "line 25: paper 'P99' is not in papers.tsv"),
        (b"1.0\tP01\tP02\n", "gives 25 examples for train, not 24"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(tmp_path, change, said):
    files = originals.papers()
    files["pairs.train.tsv"] += change
    with pytest.raises(UserError, match=said):
        prepare(tmp_path, originals.write_tar(tmp_path / "x", files))
    assert not list(tmp_path.glob("data/**/manifest.json"))


@pytest.mark.parametrize(
    "files, said",
    [
        (aan(text=b"b'cut off"), "tsv, line 1: .*not a complete bytes literal"),
        (aan(text=b"b''"), "line 1: a text is empty"),
        (aan(label=b"yes"), "line 1: the label is 'yes'"),
    ],
)
def test_a_wrong_row_of_aan_is_named(tmp_path, files, said):
    with pytest.raises(UserError, match=said):
        prepare_aan(tmp_path, files)


def test_missing_files_are_named(tmp_path):
    files = originals.papers()
    del files["pairs.eval.tsv"]
    with pytest.raises(UserError, match="lacks the tsv file of eval"):
        prepare(tmp_path, originals.write_tar(tmp_path / "x", files))


def test_those_who_did_not_choose_get_what_is_at_hand(tmp_path, monkeypatch):
    data = config.compose(["task=retrieval"]).data
    monkeypatch.setenv("LRA_ARCHIVES", str(tmp_path))
    assert retrieval.variant_at_hand(data) == "aan"  # to be downloaded
    originals.write_tar(tmp_path / "aan/x", originals.papers())
    assert retrieval.variant_at_hand(data) == "scisumm"
    originals.write_folder(tmp_path / "lra_release", aan())
    assert retrieval.variant_at_hand(data) == "aan"


def test_the_real_pairs_trace_back_to_their_papers(tmp_path, archives):
    settings = ["task=retrieval", "task.variant=scisumm", f"data.root={tmp_path}"]
    cfg = config.compose(settings)
    manifest = data_prep.prepare(cfg.task, cfg.data)
    assert manifest.counts == {"train": 4390, "val": 562, "test": 584}
    text, pairs = {}, {}
    for _, stream in archive.members(archives / "aan", retrieval.PAPERS):
        text = dict(line.rstrip(b"\n").split(b"\t", 1) for line in stream)
    for name, stream in archive.members(archives / "aan", retrieval.PAIRS):
        split = retrieval.SPLIT_OF[retrieval.PAIRS.search(name)[1]]
        pairs[split] = [line.rstrip(b"\n").split(b"\t") for line in stream]
    rng = np.random.default_rng(0)
    for name in manifest.counts:
        split = pack.load(tmp_path / "retrieval/scisumm", manifest, name)
        for i in rng.choice(len(split.labels), 100, replace=False):
            label, *ids = pairs[name][i]
            assert split.labels[i] == int(float(label))
            assert pair(split, i) == [text[identifier][:4000] for identifier in ids]
