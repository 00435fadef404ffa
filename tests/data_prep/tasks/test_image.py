import os
import pickle
import zipfile
from functools import partial

import numpy as np
import pytest

import data_prep
from data_prep import archive, pack
from data_prep.tasks import image
from lra import config
from lra.errors import UserError
from tests import originals

prepare = partial(originals.prepared, "image")


def test_the_python_and_the_binary_archive_give_the_same_data(tmp_path):
    one, splits = prepare(tmp_path, originals.write_tar(tmp_path / "a", originals.cifar_python()))
    with zipfile.ZipFile(tmp_path / "b", "w") as file:
        for name, content in originals.cifar_binary().items():
            file.writestr(name, content)
    two, _ = prepare(tmp_path / "two", tmp_path / "b")
    assert one.fingerprint == two.fingerprint
    assert one.counts == originals.COUNTS
    data, labels = originals.colours()["test_batch"]
    assert np.array_equal(splits["test"].ids.reshape(-1, 1024), image.grey(data))
    assert np.array_equal(splits["test"].labels, labels)


def test_train_and_val_part_the_training_images(tmp_path):
    source = originals.write_folder(tmp_path / "a", originals.cifar_binary())
    _, splits = prepare(tmp_path, source)
    batches = originals.colours()
    whole = np.concatenate([image.grey(batches[f"data_batch_{i}"][0]) for i in range(1, 6)])
    parts = [splits[name].ids.reshape(-1, 1024) for name in ("train", "val")]
    assert sorted(map(bytes, np.concatenate(parts))) == sorted(map(bytes, whole))


def test_grey_is_what_tensorflow_makes_of_the_colours():
    """Compares with floor(255.5 * grey), but for values so near a whole number that float32 and
    float64 may differ."""
    rng = np.random.default_rng(0)
    colours = rng.integers(256, size=(20, 3072), dtype=np.uint8)
    red, green, blue = colours.reshape(20, 3, 1024).transpose(1, 0, 2).astype(np.float64) / 255
    exact = 255.5 * (0.2989 * red + 0.587 * green + 0.114 * blue)
    clear = np.abs(exact - exact.round()) > 1e-3
    assert clear.mean() > 0.99
    assert np.array_equal(image.grey(colours)[clear], np.floor(exact)[clear])
    white = np.full((1, 3072), 255, np.uint8)
    assert image.grey(white).min() == 255
    assert image.grey(0 * white).max() == 0


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


@pytest.mark.parametrize(
    "content, said",
    [
        (pickle.dumps({b"data": Evil(), b"labels": [1]}), "it asks for posix.system"),
        (b"cos\nsystem\n(S'touch evil'\ntR.", "it asks for os.system"),
        (pickle.dumps({b"data": np.array([Evil()], object), b"labels": [1]}), "array of object"),
        (pickle.dumps([1, 2]), "not a dict"),
        (pickle.dumps({b"data": 3, b"labels": [1]}), r"not \(n, 3072\) uint8"),
        (pickle.dumps({b"labels": [1]}), "'data'"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": ["a"]}), "whole numbers"),
        (b"", ""),
        (b"<html>", ""),
    ],
)
def test_a_hostile_or_broken_batch_is_refused_and_not_run(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    files = originals.cifar_python() | {"cifar-10-batches-py/data_batch_3": content}
    with pytest.raises(UserError, match=f"data_batch_3 is not a CIFAR-10 batch.*{said}"):
        prepare(tmp_path, originals.write_folder(tmp_path / "a", files))
    assert not (tmp_path / "evil").exists()


def test_pickles_of_other_versions_are_read():
    """Reads the original, written by Python 2 (str for bytes), and a batch that numpy 2 writes."""
    data = np.arange(3072, dtype=np.uint8)[None]
    for protocol in (2, 4):
        content = pickle.dumps({"data": data, "labels": [7]}, protocol=protocol)
        colours, labels = image.parse_pickle(content)
        assert np.array_equal(colours, data)
        assert labels.tolist() == [7]
    for labels in ([np.uint8(7)], np.array([7]), (np.int64(7),)):  # numpy's numbers
        for protocol in range(6):
            content = pickle.dumps({"data": data, "labels": labels}, protocol=protocol)
            colours, found = image.parse_pickle(content)
            assert np.array_equal(colours, data)
            assert found.tolist() == [7]
    fortran = pickle.dumps({"data": np.asfortranarray(data), "labels": [7]}, protocol=5)
    assert np.array_equal(image.parse_pickle(fortran)[0], data)
    raw = data.tobytes()
    python2 = (  # protocol 2 with str as SHORT_BINSTRING / BINSTRING, which the original uses
        b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b"
        b"\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff"
        b"\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00" + raw + b"tbU\x06labels]K\x07au."
    )
    colours, labels = image.parse_pickle(python2)
    assert np.array_equal(colours, data)
    assert labels.tolist() == [7]


def test_a_label_above_9_is_named(tmp_path):
    files = originals.cifar_binary()
    name = "cifar-10-batches-bin/data_batch_2.bin"
    files[name] = b"\x0b" + files[name][1:]
    with pytest.raises(UserError, match="data_batch_2.bin, image 0 has label 11"):
        prepare(tmp_path, originals.write_folder(tmp_path / "a", files))


def test_a_missing_batch_is_named(tmp_path):
    files = originals.cifar_binary()
    del files["cifar-10-batches-bin/data_batch_4.bin"]
    with pytest.raises(UserError, match="does not hold data_batch_4"):
        prepare(tmp_path, originals.write_folder(tmp_path / "a", files))


def test_the_real_images_trace_back_to_their_batches(tmp_path, archives):
    cfg = config.compose(["task=image", f"data.root={tmp_path}"])
    manifest = data_prep.prepare(cfg.task, cfg.data)
    assert manifest.counts == {"train": 45000, "val": 5000, "test": 10000}
    assert manifest.label_counts["test"] == [1000] * 10
    batches = {}
    for name, stream in archive.members(archives / "cifar10", image.BATCH):
        batches[image.BATCH.search(name)[1]] = image.parse_pickle(stream.read())
    where = {}
    for name in image.BATCHES:
        data, labels = batches[name]
        for row, label in zip(image.grey(data), labels, strict=True):
            where.setdefault((name == "test_batch", row.tobytes()), set()).add(int(label))
    rng = np.random.default_rng(0)
    for name in manifest.counts:
        split = pack.load(tmp_path / "image/cifar10", manifest, name)
        for i in rng.choice(len(split.labels), 100, replace=False):
            row = split.ids[split.offsets[i] : split.offsets[i + 1]].tobytes()
            assert int(split.labels[i]) in where[name == "test", row]
