"""python -m data_prep, as a user calls it, on tiny archives."""

import os

import pytest

import data_prep
from data_prep import __main__ as cli
from data_prep import pack
from lra import config
from tests import originals, warm
from tests.conftest import TINY

TASKS = {"listops": TINY, **originals.SETTINGS}


def run(archives, *arguments):
    env = os.environ | {"LRA_ARCHIVES": str(archives)}
    return warm.run(["-m", "data_prep", *arguments], env)


def settings():
    """Yields the overrides for the tiny counts of every task, addressed to the task."""
    for task, overrides in TASKS.items():
        for override in overrides:
            if not (task == "retrieval" and "variant=" in override):
                yield override.replace("task.", f"{task}.", 1)


def test_all_prepares_every_task_from_an_empty_folder_and_then_does_nothing(tmp_path):
    originals.write_all(tmp_path / "archives")
    first = run(tmp_path / "archives", "all", f"data.root={tmp_path}/data", *settings())
    assert first.returncode == 0, first.stderr
    made = {p.parent.name: p for p in (tmp_path / "data").glob("*/*/manifest.json")}
    assert set(made) == {"short", "bytes_1000", "scisumm", "cifar10", "small"}
    assert len(list((tmp_path / "data").glob("*/*/manifest.json"))) == 6
    assert first.stdout.count("fingerprint") == 6
    assert "majority label" in first.stdout
    times = [p.stat().st_mtime_ns for p in made.values()]
    again = run(tmp_path / "archives", "all", f"data.root={tmp_path}/data", *settings())
    assert again.returncode == 0
    assert again.stdout.count("is there already") == 6
    assert [p.stat().st_mtime_ns for p in made.values()] == times

    report = run(tmp_path / "archives", "doctor", f"data.root={tmp_path}/data")
    assert report.returncode == 0, report.stderr
    for said in ("listops/short  fingerprint", "not made: standard, sample", "pathx/small"):
        assert said in report.stdout
    assert "by label: 12 12" in report.stdout
    assert "median" in report.stdout


def test_all_goes_on_when_one_task_fails_and_says_so(tmp_path):
    originals.write_all(tmp_path / "archives")
    (tmp_path / "archives/imdb/reviews.bin").write_bytes(b"")
    (tmp_path / "archives/imdb/x.tar.gz").write_text("<html>")
    result = run(tmp_path / "archives", "all", f"data.root={tmp_path}/data", *settings())
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "text: " in result.stderr
    assert "x.tar.gz is an HTML page" in result.stderr
    assert "error: text could not be prepared" in result.stderr
    assert result.stdout.count("fingerprint") == 5


@pytest.mark.parametrize(
    "arguments, said",
    [
        ([], "python -m data_prep <all | listops | text"),
        (["txt"], "There is no task 'txt'"),
        (["prob"], "Did you mean probe?"),
        (["text", "task.variant=x"], "There is no variant of text 'x'"),
        (["all", "data.archive=x"], "data.archive belongs to one task"),
        (["pathx", "pathx.images=few"], "pathx.images=few: give a whole number"),
        (["text", "data.archive=/nowhere"], "data.archive=/nowhere does not exist"),
        (["probe", "task=txt"], "There is no task 'txt'"),
    ],
)
def test_a_mistake_ends_in_one_sentence(tmp_path, arguments, said):
    result = run(tmp_path, *arguments, *([f"data.root={tmp_path}"] if len(arguments) > 1 else []))
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert said in result.stderr
    assert result.stderr.startswith("error: ")


def test_images_makes_a_smaller_variant_of_its_own():
    chosen = cli.for_task("pathx", ["pathx.images=500", "text.variant=bytes_1000", "data.seed=3"])
    cfg = config.compose(["task=pathx", *chosen])
    assert cfg.task.variant == "small"
    assert cfg.data.seed == 3
    assert dict(cfg.task.variants.small.counts) == {"train": 400, "val": 50, "test": 50}


# --- doctor and probe ---


def packed(tmp_path, task, *overrides):
    archives = originals.write_all(tmp_path / "archives")
    folder = {"text": "imdb", "image": "cifar10", "retrieval": "aan"}[task]
    cfg = config.compose([f"task={task}", *TASKS[task], f"data.root={tmp_path}/data", *overrides])
    cfg.data.archive = str(archives / folder)
    data_prep.prepare(cfg.task, cfg.data)
    return data_prep.folder(cfg.task, cfg.data)


def test_doctor_names_what_is_damaged(tmp_path):
    path = packed(tmp_path, "text")
    file = path / "val/labels.npy"
    file.write_bytes(file.read_bytes()[:-1])
    report = run(tmp_path / "archives", "doctor", f"data.root={tmp_path}/data")
    assert report.returncode == 0
    assert "DEFECT: " in report.stdout
    assert "val/labels.npy is not the file that its manifest describes" in report.stdout


def test_doctor_recognises_defects_in_the_data(tmp_path):
    import numpy as np

    from data_prep import doctor

    pixels = np.random.default_rng(0).integers(256, size=(1300, 1024), dtype=np.uint8)
    pixels[7] = 5
    pixels[1250] = pixels[3]
    labels = (np.arange(1300) % 4 == 0).astype(np.uint8)
    parts = {"train": (0, 1000), "val": (1000, 1200), "test": (1200, 1300)}
    splits = {
        name: pack.split_of_rows(pixels, labels, np.arange(*ends)) for name, ends in parts.items()
    }
    facts = {"variant": "x", "source": "x", "generator": None, "vocabulary": [], "documents": 1}
    rules = {"majority label": {"test": 0.5}, "bag of pixels": {"test": 0.9}}
    manifest = pack.pack(tmp_path, splits, task="pathfinder", baselines=rules, **facts)
    found = "\n".join(doctor.defects(tmp_path, manifest, pixels=True))
    assert "labels of train are out of balance: [750, 250]" in found
    assert "1 images of train are of one colour" in found
    assert "1 examples of test are also in train" in found


def test_probe_finds_the_signal_and_its_absence(tmp_path):
    """Probes reviews whose words give the label away, then the same reviews with val's labels
    swapped."""
    path = packed(tmp_path, "text")
    arguments = ["task=text", *TASKS["text"], f"data.root={tmp_path}/data"]
    good = run(tmp_path / "archives", "probe", *arguments)
    assert good.returncode == 0, good.stderr
    assert "The labels carry signal." in good.stdout
    assert "on val" in good.stdout

    manifest = pack.read_manifest(path)
    splits = {name: pack.load(path, manifest, name) for name in manifest.counts}
    wrong = {name: s._replace(labels=1 - s.labels) for name, s in splits.items() if name == "val"}
    facts = manifest.model_dump(include={"task", "variant", "source", "generator", "reader"})
    facts |= manifest.model_dump(include={"vocabulary", "documents", "baselines"})
    pack.pack(path, {**splits, **wrong}, **facts)
    bad = run(tmp_path / "archives", "probe", *arguments)
    assert bad.returncode == 1
    assert "no signal was found" in bad.stderr


def test_the_probe_of_images_learns():
    import numpy as np

    from data_prep import probe

    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=400).astype(np.uint8)
    pixels = rng.integers(100, size=(400, 16, 16), dtype=np.uint8)
    pixels[labels == 1, 4:8, 4:8] += 100
    split = pack.Split(pixels.reshape(-1), np.arange(401) * 256, labels)
    found, correct = probe.convolutional(split, split, [200, 200], steps=60)
    assert found.value > 0.9
    assert correct.mean() == found.value
    shuffled = split._replace(labels=rng.permutation(labels))
    assert probe.convolutional(split, shuffled, [200, 200], steps=60)[0].low < 0.55
