import json
import multiprocessing

import numpy as np
import pytest

import data_prep
from data_prep import pack
from lra import config
from lra.errors import UserError
from tests.conftest import TINY


def split(*documents, labels):
    offsets = np.cumsum([0, *(len(d) for d in documents)])
    return pack.Split(np.concatenate(documents).astype(np.uint8), offsets, np.uint8(labels))


def packed(path):
    splits = {
        "train": split([1, 2, 0], [3], [4, 4], labels=[0, 1, 1]),
        "val": split([5], labels=[0]),
        "test": split([6, 7], labels=[1]),
    }
    facts = {
        "task": "toy",
        "variant": "a",
        "source": "generated",
        "generator": {"seed": 0},
        "vocabulary": list("01234567"),
        "documents": 1,
        "baselines": {},
    }
    return splits, pack.pack(path, splits, **facts)


def test_loads_what_was_packed(tmp_path):
    splits, manifest = packed(tmp_path)
    assert pack.read_manifest(tmp_path) == manifest
    assert manifest.counts == {"train": 3, "val": 1, "test": 1}
    assert manifest.label_counts["train"] == [1, 2]
    for name in splits:
        for ours, theirs in zip(pack.load(tmp_path, manifest, name), splits[name], strict=True):
            assert isinstance(ours, np.memmap)
            assert np.array_equal(ours, theirs)


def test_the_fingerprint_is_that_of_the_data(tmp_path):
    _, one = packed(tmp_path / "one")
    _, two = packed(tmp_path / "two")
    assert one.fingerprint == two.fingerprint
    assert one.model_copy(update={"baselines": {"x": {}}}).fingerprint == one.fingerprint
    assert one.model_copy(update={"variant": "b"}).fingerprint != one.fingerprint


@pytest.mark.parametrize("array", pack.ARRAYS)
@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_a_damaged_file_is_named(tmp_path, array, damage):
    _, manifest = packed(tmp_path)
    file = tmp_path / "train" / f"{array}.npy"
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "truncated":
        file.write_bytes(content[:-1])
    elif damage == "altered":
        content[-1] ^= 1
        file.write_bytes(content)
    with pytest.raises(UserError, match=f"train/{array}.npy.*delete"):
        pack.load(tmp_path, manifest, "train")


@pytest.mark.parametrize("content", ["", "{", '{"task": "toy"}', "<html>"])
def test_a_damaged_manifest_is_named(tmp_path, content):
    packed(tmp_path)
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match="manifest.json.*delete"):
        pack.read_manifest(tmp_path)


def test_stopped_half_way_there_is_no_data_set(tmp_path, monkeypatch):
    packed(tmp_path)
    save, calls = np.save, []

    def failing(*args):
        calls.append(args)
        if len(calls) == 5:
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(np, "save", failing)
    with pytest.raises(KeyboardInterrupt):
        packed(tmp_path)
    assert pack.read_manifest(tmp_path) is None
    monkeypatch.undo()
    splits, manifest = packed(tmp_path)
    assert np.array_equal(pack.load(tmp_path, manifest, "val").ids, splits["val"].ids)


def test_data_of_another_seed_or_source_are_not_taken_for_those_asked_for(tiny_root):
    wrong = {
        "data.seed=7": "data.seed=0",
        "data.archive=x.tar": "was generated",
        "task.variants.short.max_depth=3": "max_depth=5",
        "task.variants.short.counts.train=99": "counts=",
    }
    for override, said in wrong.items():
        cfg = config.compose([*TINY, f"data.root={tiny_root}", override])
        with pytest.raises(UserError, match=said):
            data_prep.prepare(cfg.task, cfg.data)


def prepare(root):
    cfg = config.compose([*TINY, f"data.root={root}"])
    return data_prep.prepare(cfg.task, cfg.data).fingerprint


def test_two_processes_prepare_the_same_task_at_once(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        one, two = pool.map(prepare, [tmp_path, tmp_path])
    assert one == two == prepare(tmp_path)
    assert [p.name for p in (tmp_path / "listops/short").iterdir() if p.name[0] == "."] == []


def test_a_manifest_holds_plain_json(tmp_path):
    _, manifest = packed(tmp_path)
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest.model_dump()
