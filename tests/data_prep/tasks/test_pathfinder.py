import io
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import data_prep
from data_prep import pack
from data_prep.tasks import pathfinder, snakes
from lra import config
from lra.errors import UserError
from tests import originals
from tests.conftest import ROOT


def prepare(tmp_path, *overrides, task="pathfinder", source=None):
    return originals.prepared(task, tmp_path, source, *overrides)


def pictures(splits):
    """Returns (pixels, label) of every example."""
    return {
        (split.ids[split.offsets[i] : split.offsets[i + 1]].tobytes(), int(split.labels[i]))
        for split in splits.values()
        for i in range(len(split.labels))
    }


@pytest.fixture
def shard(monkeypatch):
    monkeypatch.setattr(pathfinder, "SHARD", 8)


def test_the_same_for_a_seed_whatever_the_number_of_threads(tmp_path, shard):
    one, _ = prepare(tmp_path / "1", "data.processes=1")
    three, splits = prepare(tmp_path / "3", "data.processes=3")
    other, _ = prepare(tmp_path / "other", "data.seed=1")
    assert one.fingerprint == three.fingerprint != other.fingerprint
    assert one.counts == originals.COUNTS
    assert len(pictures(splits)) == 40
    assert [p.name for p in (tmp_path / "1/data/pathfinder").iterdir() if p.is_dir()] == ["small"]


def test_packs_what_the_generator_drew(tmp_path, shard):
    _, splits = prepare(tmp_path)
    drawn = set()
    for i in range(5):
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0, i])))
        pixels, labels = snakes.images(32, 14, 8, rng)
        drawn |= {(row.tobytes(), int(label)) for row, label in zip(pixels, labels, strict=True)}
    assert pictures(splits) == drawn


def test_goes_on_with_the_shards_that_are_there(tmp_path, shard, monkeypatch):
    whole, _ = prepare(tmp_path / "whole")
    draw, drawn = snakes.images, []

    def failing(*args):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(args)
        return draw(*args)

    monkeypatch.setattr(snakes, "images", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "cut", "data.processes=1")
    assert pack.read_manifest(tmp_path / "cut/data/pathfinder/small") is None
    assert len(drawn) == 2
    first, _ = sorted(tmp_path.glob("cut/data/pathfinder/.small-unfinished/*/0000?.npy"))
    first.write_bytes(b"")  # as a power cut may leave it
    drawn.clear()
    monkeypatch.setattr(snakes, "images", lambda *args: drawn.append(args) or draw(*args))
    again, _ = prepare(tmp_path / "cut", "data.processes=1")
    assert again.fingerprint == whole.fingerprint
    assert len(drawn) == 4
    with pytest.raises(UserError, match="made with data.seed=0, not 4"):
        prepare(tmp_path / "cut", "data.seed=4")


def test_path_x_is_pathfinder_at_128_pixels(tmp_path):
    manifest, splits = prepare(tmp_path, task="pathx")
    assert manifest.task == "pathx"
    assert manifest.generator["resolution"] == 128
    assert np.diff(splits["test"].offsets).tolist() == [128 * 128] * originals.TEST


# --- the release's files ---


RELEASED = [
    "task.variant=curv_contour_length_14",
    "task.variants.curv_contour_length_14.counts={train:20,val:2,test:2}",
]


def imported(tmp_path, files, kind="folder"):
    source = tmp_path / "source"
    if kind == "folder":
        originals.write_folder(source, files)
    else:
        originals.write_tar(source, files, kind)
    return prepare(tmp_path, *RELEASED, source=source)


@pytest.mark.parametrize("kind", ["folder", "w", "w:gz"])
def test_imports_images_and_labels(tmp_path, kind):
    manifest, splits = imported(tmp_path, originals.release(), kind)
    pixels, labels = snakes.images(32, 14, 24, np.random.default_rng(0))
    expected = {(row.tobytes(), int(label)) for row, label in zip(pixels, labels, strict=True)}
    assert pictures(splits) == expected
    assert manifest.counts == {"train": 20, "val": 2, "test": 2}
    assert manifest.notes == []
    assert manifest.generator is None
    assert manifest.source.startswith(("folder source", "source ("))


def test_the_order_of_files_does_not_matter(tmp_path):
    one, _ = imported(tmp_path / "one", originals.release(), "w")
    two, _ = imported(tmp_path / "two", dict(reversed(originals.release().items())), "w")
    assert one.fingerprint == two.fingerprint


def test_an_archive_beside_what_was_extracted_from_it_is_taken_once(tmp_path):
    one, expected = imported(tmp_path / "one", originals.release())
    source = originals.write_folder(tmp_path / "two/source", originals.release())
    originals.write_tar(source / "release.tar", originals.release(), "w")
    two, splits = prepare(tmp_path / "two", *RELEASED, source=source)
    assert pictures(splits) == pictures(expected)
    assert two.fingerprint == one.fingerprint
    assert two.notes == [
        "24 images of pathfinder32/curv_contour_length_14 were there twice and taken once"
    ]


def test_a_part_of_the_release_is_refused(tmp_path):
    source = originals.write_folder(tmp_path / "source", originals.release())
    with pytest.raises(UserError, match="gives 24 images for curv_contour_length_14, not 200,000"):
        prepare(tmp_path, RELEASED[0], source=source)


def test_shards_of_another_number_of_images_are_not_used(tmp_path, shard, monkeypatch):
    whole, _ = prepare(tmp_path / "whole")
    draw, drawn = snakes.images, []

    def failing(*args):
        drawn.append(args)
        if len(drawn) == 9:
            raise KeyboardInterrupt
        return draw(*args)

    more = "task.variants.small.counts={train:70,val:6,test:10}"
    monkeypatch.setattr(snakes, "images", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "cut", more, "data.processes=1")
    monkeypatch.setattr(snakes, "images", draw)
    again, _ = prepare(tmp_path / "cut")
    assert again.fingerprint == whole.fingerprint


def test_what_a_killed_one_left_is_cleared_away(tmp_path, shard):
    prepare(tmp_path)
    left = tmp_path / "data/pathfinder/.small-unfinished/shards"
    left.mkdir(parents=True)
    prepare(tmp_path)
    assert not left.parent.exists()


def test_bad_images_are_listed_and_left_out(tmp_path):
    files = originals.release()
    root = "lra_release/pathfinder32/curv_contour_length_14/imgs"
    files[f"{root}/0/sample_3.png"] = b""
    files[f"{root}/0/sample_4.png"] = files[f"{root}/0/sample_4.png"][:60]
    files[f"{root}/1/sample_5.png"] = originals.release(1, 64)[
        "lra_release/pathfinder64/curv_contour_length_14/imgs/0/sample_0.png"
    ]
    del files[f"{root}/1/sample_6.png"]
    manifest, _ = imported(tmp_path, files)
    assert sum(manifest.counts.values()) == 20
    imported(tmp_path, files)  # the same again, with fewer images than the variant says
    (note,) = manifest.notes
    for said in (
        "4 images of pathfinder32/curv_contour_length_14 left out",
        "imgs/0/sample_3.png (empty)",
        "imgs/0/sample_4.png (damaged)",
        "imgs/1/sample_5.png (64 x 64 pixels)",
        "imgs/1/sample_6.png (missing)",
    ):
        assert said in note


@pytest.mark.parametrize(
    "line",
    [
        b"imgs/1 sample_0.png 0 2 1.0 14 4 2 0.5 1 1",  # label
        b"imgs/1 sample_0.png 0 1 1.0 14 4 2 0.5 1",  # a column is missing
        b"imgs/0 sample_0.png 0 1 1.0 14 4 2 0.5 1 1",  # another batch
        b"imgs/1 sample_0.png 0 1 1.0 9 4 2 0.5 1 1",  # another level
        b"<html>",
    ],
)
def test_wrong_metadata_are_named_by_file_and_line(tmp_path, line):
    files = originals.release()
    name = "lra_release/pathfinder32/curv_contour_length_14/metadata/1.npy"
    files[name] += line + b"\n"
    with pytest.raises(UserError, match=r"metadata/1.npy, line 13: expected 11 columns"):
        imported(tmp_path, files)
    assert not list(tmp_path.glob("data/**/*.npy"))
    assert not list(tmp_path.glob("data/**/.import*"))


METADATA = "lra_release/pathfinder32/curv_contour_length_14/metadata"


@pytest.mark.parametrize("kind", [str, bytes])
def test_metadata_may_be_an_array_as_the_generator_stores_it(tmp_path, kind):
    text, expected = imported(tmp_path / "text", originals.release())
    files = originals.release()
    for name in [name for name in files if name.startswith(METADATA)]:
        rows = [line.split() for line in files[name].decode().splitlines()]
        files[name] = saved(np.array(rows, np.dtype(kind)))
    manifest, splits = imported(tmp_path / "array", files)
    assert pictures(splits) == pictures(expected)
    assert manifest.fingerprint == text.fingerprint


def saved(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content, said",
    [
        (saved(np.array([[1, 2], ["a", None]], object)), "is not an array of texts"),
        (saved(np.zeros((3, 11))), r"array of float64 \(3, 11\), not a table"),
        (saved(np.array(["imgs/1"])), r"array of <U6 \(1,\), not a table"),
        (saved(np.array([["imgs/1"] * 11]))[:-5], "is not an array of texts"),
        (saved(np.array([["imgs/1"] * 11])), "line 1: expected 11 columns"),
    ],
)
def test_arrays_of_something_else_are_refused(tmp_path, content, said):
    files = originals.release() | {f"{METADATA}/1.npy": content}
    with pytest.raises(UserError, match=f"metadata/1.npy.*{said}"):
        imported(tmp_path, files)


def test_two_labels_for_one_image_are_refused(tmp_path):
    files = originals.release()
    first = files[f"{METADATA}/1.npy"].splitlines(keepends=True)[0]
    columns = first.split()
    columns[3] = b"1" if columns[3] == b"0" else b"0"
    files[f"{METADATA}/1.npy"] += first  # the same again does no harm
    imported(tmp_path / "same", files)
    files[f"{METADATA}/1.npy"] += b" ".join(columns) + b"\n"
    with pytest.raises(UserError, match=r"1.npy, line 14: sample_0.png has label . here and ."):
        imported(tmp_path / "other", files)


def deep(content: bytes) -> bytes:
    """Returns the picture with 16 bits a pixel."""
    pixels = np.asarray(Image.open(io.BytesIO(content))).astype(np.uint16) * 257
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def test_pictures_of_16_bits_are_left_out_and_not_made_white(tmp_path):
    files = originals.release()
    name = METADATA.replace("metadata", "imgs/0/sample_3.png")
    files[name] = deep(files[name])
    manifest, _ = imported(tmp_path / "one", files)
    assert "imgs/0/sample_3.png (16 bits a pixel)" in manifest.notes[0]
    files = {n: deep(c) if n.endswith(".png") else c for n, c in files.items() if n != name}
    with pytest.raises(UserError, match="none of the 23 images .*: 16 bits a pixel. They must be"):
        imported(tmp_path / "all", files)


def test_colours_become_grey(tmp_path):
    files = originals.release()
    for name in [name for name in files if name.endswith(".png")]:
        stream = io.BytesIO()
        Image.open(io.BytesIO(files[name])).convert("RGBA").save(stream, "PNG")
        files[name] = stream.getvalue()
    _, splits = imported(tmp_path / "colour", files)
    assert pictures(splits) == pictures(imported(tmp_path / "grey", originals.release())[1])


def first_images(n: int, label: int | None = None):
    """Returns a release of the first n images, all with one label if it is given."""
    files = originals.release()
    lines = [line.split() for line in files[f"{METADATA}/0.npy"].splitlines()[:n]]
    for columns in lines if label is not None else ():
        columns[3] = b"%d" % label
    images = {n: c for n, c in files.items() if n.endswith(".png")}
    return {
        **dict(list(images.items())[:n]),
        f"{METADATA}/0.npy": b"".join(b" ".join(columns) + b"\n" for columns in lines),
    }


def test_fewer_than_ten_images_are_too_few(tmp_path):
    def taken(n):
        source = originals.write_folder(tmp_path / f"{n}", first_images(n))
        return prepare(tmp_path / f"of_{n}", "task.variant=sample", source=source)[0]

    assert taken(10).counts == {"train": 8, "val": 1, "test": 1}
    with pytest.raises(UserError, match="9 gives 9 images, too few for three splits"):
        taken(9)


def test_images_of_one_label_have_their_trivial_rules(tmp_path):
    source = originals.write_folder(tmp_path / "source", first_images(12, label=1))
    manifest, _ = prepare(tmp_path, "task.variant=sample", source=source)
    assert manifest.baselines["bag of pixels"] == {"val": 1.0, "test": 1.0}


def test_a_source_without_the_level_is_said(tmp_path):
    with pytest.raises(UserError, match="holds no pathfinder32/curv_contour_length_14"):
        imported(tmp_path, originals.release(2, 64))


def test_generated_data_are_not_taken_for_a_release(tmp_path):
    prepare(tmp_path)
    with pytest.raises(UserError, match="was generated, but data.archive="):
        prepare(tmp_path, source=tmp_path)


def test_the_real_sample_is_imported(tmp_path, archives):
    cfg = config.compose(["task=pathfinder", "task.variant=sample", f"data.root={tmp_path}"])
    manifest = data_prep.prepare(cfg.task, cfg.data)
    assert manifest.counts == {"train": 320, "val": 40, "test": 40}
    assert sum(counts[1] for counts in manifest.label_counts.values()) == 204


# --- faults, as a user meets them ---


def command(root, *overrides):
    counts = "task.variants.small.counts"
    return [
        *(sys.executable, "-B", "-m", "data_prep", "pathfinder", "task.variant=small"),
        *(f"{counts}.train=2000", f"{counts}.val=1000", f"{counts}.test=1000"),
        *(f"data.root={root}", "data.processes=1", *overrides),
    ]


def prepared(root):
    done = subprocess.run(command(root), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return re.search(r"fingerprint (\w+)", done.stdout)[1]


def arrays(root) -> int:
    """Counts the arrays below root. Folders may come and go meanwhile, where rglob would raise."""
    return sum(name.endswith(".npy") for _, _, names in os.walk(root) for name in names)


@pytest.mark.slow
def test_killed_half_way_and_typed_again(tmp_path):
    whole = prepared(tmp_path / "whole")
    root = tmp_path / "killed"
    kills = 0
    while not (root / "pathfinder/small/manifest.json").exists() and kills < 8:
        child = subprocess.Popen(command(root), cwd=ROOT, stdout=subprocess.DEVNULL)
        seen = arrays(root)
        end = time.monotonic() + 60
        while child.poll() is None and arrays(root) < seen + 3:
            assert time.monotonic() < end
            time.sleep(0.01)
        child.kill()
        kills += child.wait() == -signal.SIGKILL
        assert pack.read_manifest(root / "pathfinder/small") is None or child.returncode == 0
    assert kills >= 2
    assert prepared(root) == whole


@pytest.mark.parametrize("blocks", [400, 1500])  # while drawing; while packing
@pytest.mark.slow
def test_a_full_disk_half_way_is_said_and_nothing_is_lost(tmp_path, blocks):
    """A limit on the size of a file stands in for the full disk."""
    words = " ".join(f"'{word}'" for word in command(tmp_path))
    full = subprocess.run(
        ["bash", "-c", f"ulimit -f {blocks}; exec {words}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr
    assert "Cannot write" in full.stderr
    assert "Free some space" in full.stderr
    assert pack.read_manifest(tmp_path / "pathfinder/small") is None
    assert prepared(tmp_path)


@pytest.mark.slow  # tests/data_prep/test_pack.py has it for a task that is faster to make
def test_two_processes_prepare_the_same_task_at_once(tmp_path):
    children = [
        subprocess.Popen(command(tmp_path), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0]
    one, two = (re.search(r"fingerprint (\w+)", text)[1] for text in said)
    assert one == two
