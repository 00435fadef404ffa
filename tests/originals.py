"""Tiny archives laid out like the original ones, and the overrides that accept their counts."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

import data_prep
from data_prep import pack
from data_prep.tasks import snakes
from lra import config

TRAIN, VAL, TEST = 24, 6, 10
COUNTS = {"train": TRAIN, "val": VAL, "test": TEST}


def counts(variant: str) -> list[str]:
    return [f"task.variants.{variant}.counts.{split}={n}" for split, n in COUNTS.items()]


# task -> the overrides that choose a variant which these archives fill
SETTINGS = {
    "text": ["task.variant=bytes_1000", *counts("bytes_1000")],
    "retrieval": ["task.variant=scisumm", *counts("scisumm")],
    "image": counts("cifar10"),
    "pathfinder": ["task.variant=small", *counts("small")],
    "pathx": ["task.variant=small", *counts("small")],
}


def reviews(seed: int = 0) -> dict[str, bytes]:
    """Returns member -> content of an aclImdb archive; the words give the label away."""
    rng = np.random.default_rng(seed)
    files = {}
    for split, n in (("train", TRAIN + VAL), ("test", TEST)):
        for i in range(n):
            label, rating = ("neg", 2) if i % 2 else ("pos", 9)
            words = rng.choice([f"{label}ative", "film", "caf\u00e9"], size=rng.integers(5, 60))
            text = f"{split} {i} " + " ".join(words)
            files[f"aclImdb/{split}/{label}/{i // 2}_{rating}.txt"] = text.encode()
    files["aclImdb/train/unsup/0_0.txt"] = b"not labelled"
    return files


def papers(seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    names = [f"P{i:02d}" for i in range(12)]
    texts = {name: f"{name} " + "word " * int(rng.integers(1, 300)) for name in names}
    files = {"papers.tsv": "".join(f"{name}\t{text}\n" for name, text in texts.items()).encode()}
    for split, n in (("train", TRAIN), ("eval", VAL), ("test", TEST)):
        pairs = rng.choice(names, size=(n, 2))
        lines = [f"{i % 2}.0\t{a}\t{b}\n" for i, (a, b) in enumerate(pairs)]
        files[f"pairs.{split}.tsv"] = "".join(lines).encode()
    return files


def colours(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns CIFAR-10 batches of 6 training images each, and a test batch of 10."""
    rng = np.random.default_rng(seed)
    sizes = dict.fromkeys([f"data_batch_{i}" for i in range(1, 6)], (TRAIN + VAL) // 5)
    return {
        name: (rng.integers(256, size=(n, 3072), dtype=np.uint8), np.arange(n, dtype=np.uint8) % 10)
        for name, n in (sizes | {"test_batch": TEST}).items()
    }


def cifar_python() -> dict[str, bytes]:
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(
            {b"data": data, b"labels": labels.tolist(), b"batch_label": b"x"}, protocol=2
        )
        for name, (data, labels) in colours().items()
    }


def cifar_binary() -> dict[str, bytes]:
    return {
        f"cifar-10-batches-bin/{name}.bin": np.column_stack([labels, data]).tobytes()
        for name, (data, labels) in colours().items()
    }


def release(n: int = 12, resolution: int = 32) -> dict[str, bytes]:
    """Returns Pathfinder's PNG files in two batches, with their metadata."""
    pixels, labels = snakes.images(resolution, 14, 2 * n, np.random.default_rng(0))
    root = f"lra_release/pathfinder{resolution}/curv_contour_length_14"
    files = {}
    for batch in range(2):
        lines = []
        for i in range(n):
            k = batch * n + i
            png = io.BytesIO()
            Image.fromarray(pixels[k].reshape(resolution, resolution)).save(png, "png")
            files[f"{root}/imgs/{batch}/sample_{i}.png"] = png.getvalue()
            lines.append(f"imgs/{batch} sample_{i}.png {i} {labels[k]} 1.0 14 4 2 0.5 1 1\n")
        files[f"{root}/metadata/{batch}.npy"] = "".join(lines).encode()
    return files


def prepared(task: str, tmp_path: Path, source: Path | None, *overrides: str):
    """Returns (manifest, splits) of a tiny data set below tmp_path, made from `source`."""
    cfg = config.compose([f"task={task}", *SETTINGS[task], *overrides])
    cfg.data.root, cfg.data.archive = str(tmp_path / "data"), source and str(source)
    manifest = data_prep.prepare(cfg.task, cfg.data)
    path = data_prep.folder(cfg.task, cfg.data)
    return manifest, {name: pack.load(path, manifest, name) for name in manifest.counts}


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def write_all(root: Path) -> Path:
    """Writes a folder for LRA_ARCHIVES and returns it."""
    write_tar(root / "imdb/reviews.bin", reviews(), "w:xz")
    write_tar(root / "aan/papers.tar", papers(), "w")
    write_tar(root / "cifar10/cifar.tar.gz", cifar_python())
    return root
