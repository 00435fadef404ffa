"""Pathfinder and Path-X: does one dashed contour join the two discs? Grey pixels, row by row.

The images are generated (data_prep/tasks/snakes.py) unless data.archive names LRA's release, or any
folder or archive laid out like it: pathfinder<R>/<level>/imgs/<batch>/sample_<i>.png and
metadata/<batch>.npy. A metadata file of the release is text despite its name: one image a line, the
fourth column its label. The official generator stores the same columns as an array of texts; both
are read. Damaged images (the release has at least one) are left out and listed in the manifest.
"""

import hashlib
import io
import json
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

import data_prep
from data_prep import archive, sources
from data_prep.baselines import baselines
from data_prep.pack import Manifest, Split, pack, split_of_rows
from data_prep.tasks import snakes
from data_prep.tasks.image import VALUES
from lra.errors import UserError
from lra.files import make_folder, replacing, reported
from lra.machine import cores
from lra.progress import progress

FOLDERS = ("pathfinder", "lra_release", "lra_release.gz")
VERSION = 1  # raise it when the same seed gives other data
SHARD = 500  # images per random stream: the data depend on it, not on the threads
COLUMNS = 11  # of a metadata line


def make(task, data, path: Path) -> Manifest:
    rules = task.variants[task.variant]
    if rules.resolution not in snakes.RULES or rules.contour_length not in snakes.LEVELS:
        raise UserError(
            f"task.variants.{task.variant}: resolution={rules.resolution} with contour_length="
            f"{rules.contour_length}: choose {', '.join(map(str, snakes.RULES))} with "
            f"{', '.join(map(str, snakes.LEVELS))}."
        )
    scratch = data_prep.unfinished(path)
    facts = {"task": task.name, "variant": task.variant, "vocabulary": VALUES, "documents": 1}
    if data.archive is not None or "counts" not in rules:
        origin = sources.find(
            task.name, data, FOLDERS, pattern(rules.resolution, rules.contour_length), None
        )
        make_folder(scratch)  # data_prep.prepare removes it, with a killed process's files
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            pixels, labels, rows, notes, left_out = read(
                origin, rules.resolution, rules.contour_length, Path(folder) / "pixels", data
            )
            n = len(rows)
            sources.must_suffice(origin, n, "images")
            expected = sum(rules.get("counts", {}).values())
            if expected and n + left_out != expected:
                raise UserError(
                    f"{origin} gives {n + left_out:,} images for {task.variant}, not {expected:,}: "
                    "bring the whole of the release, or choose task.variant=sample."
                )
            counts = {"train": n - 2 * (n // 10), "val": n // 10, "test": n // 10}
            splits = split(pixels, labels, rows, counts, data.seed)
            return pack(
                path,
                splits,
                source=sources.describe(origin, pattern(rules.resolution, rules.contour_length)),
                generator=None,
                reader={
                    "version": VERSION,
                    "seed": data.seed,
                    "resolution": rules.resolution,
                    "left_out": left_out,
                },
                baselines=baselines(splits, 1, "bag of pixels"),
                notes=notes,
                **facts,
            )
    shards = generate(rules, data.seed, data.processes, scratch)
    labels = np.concatenate([shard.labels for shard in shards])
    splits = split(Pixels(shards), labels, np.arange(len(labels)), rules.counts, data.seed)
    manifest = pack(
        path,
        splits,
        source="generated",
        generator=recipe(rules, data.seed),
        baselines=baselines(splits, 1, "bag of pixels"),
        **facts,
    )
    shutil.rmtree(scratch)
    return manifest


def split(pixels, labels: np.ndarray, rows: np.ndarray, counts, seed: int) -> dict[str, Split]:
    """Returns splits of the images `rows`, dealt out by the seed; a split keeps their order."""
    order = np.random.default_rng([seed, 2**32]).permutation(len(rows))
    splits, start = {}, 0
    for name in ("train", "val", "test"):
        index = np.sort(order[start : start + counts[name]])
        splits[name] = split_of_rows(pixels, labels, rows[index])
        start += counts[name]
    return splits


# --- generated ---


class Shard:
    """Up to SHARD images on disk, mapped. Raises ValueError, EOFError or OSError for files that are
    not whole."""

    def __init__(self, file: Path):
        self.pixels = np.load(file, mmap_mode="r")
        self.labels = np.load(file.with_suffix(".labels.npy"))
        if self.pixels.ndim != 2 or self.labels.shape != (len(self.pixels),):
            raise ValueError(f"{file}: {self.pixels.shape} images for {self.labels.shape} labels")


class Pixels:
    """The shards as one array (n, pixels) whose rows are read on demand."""

    dtype = np.dtype(np.uint8)

    def __init__(self, shards: list[Shard]):
        self.shards = shards
        self.shape = (sum(len(s.labels) for s in shards), shards[0].pixels.shape[1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:  # or one row
        if rows.ndim == 0:
            return self.shards[rows // SHARD].pixels[rows % SHARD]
        return np.stack([self.shards[row // SHARD].pixels[row % SHARD] for row in rows])


def recipe(rules, seed: int) -> dict:
    return {
        "version": VERSION,
        "seed": seed,
        "resolution": rules.resolution,
        "contour_length": rules.contour_length,
    }


def generate(rules, seed: int, processes: int | None, scratch: Path) -> list[Shard]:
    """Returns all images, in shards below `scratch`. Shards that exist already are kept.

    The images depend on the seed, not on the number of threads, which run in parallel since numba
    releases the interpreter's lock.
    """
    total = sum(rules.counts.values())
    # The total is part of the stamp, since it decides the size of the last shard.
    stamp = json.dumps([recipe(rules, seed), total], sort_keys=True)
    folder = scratch / hashlib.sha256(stamp.encode()).hexdigest()[:16]
    if scratch.exists():
        for other in scratch.iterdir():  # shards of other rules
            if other != folder:
                shutil.rmtree(other)
    make_folder(folder)
    files = [folder / f"{i:05d}.npy" for i in range(-(-total // SHARD))]
    threads = processes or cores()

    def shard(i: int) -> None:
        with suppress(ValueError, EOFError, OSError):  # absent, or emptied when the power failed
            Shard(files[i])
            return
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, i])))
        n = min(SHARD, total - i * SHARD)
        pixels, labels = snakes.images(rules.resolution, rules.contour_length, n, rng)
        # The labels come first: a shard counts as complete when its pixels exist.
        for file, values in ((files[i].with_suffix(".labels.npy"), labels), (files[i], pixels)):
            with replacing(file) as temporary, open(temporary, "wb") as stream:
                np.save(stream, values)

    with (
        ThreadPoolExecutor(threads) as pool,
        progress(f"drawing {total:,} images", total) as advance,
    ):
        running = [pool.submit(shard, i) for i in range(len(files))]
        try:
            for i, future in enumerate(running):
                future.result()
                advance(min(total, (i + 1) * SHARD))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [Shard(file) for file in files]


# --- LRA's release ---


def pattern(resolution: int, contour_length: int) -> re.Pattern:
    """Returns the pattern of a level's files. Its groups: batch and number of an image; batch of a
    metadata file."""
    level = snakes.LEVELS[contour_length]
    return re.compile(
        rf"(?:^|/)pathfinder{resolution}/{level}/"
        r"(?:imgs/(\d+)/sample_(\d+)\.png|metadata/(\d+)\.npy)$"
    )


def read(
    origin: Path, resolution: int, contour_length: int, scratch: Path, data
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], int]:
    """Returns (pixels (n, resolution^2) mapped from `scratch`, labels (n,), the rows to use in the
    order of batch and number, notes on the images left out, the number of damaged or missing ones).

    Every file is read once; images are decoded in parallel. An image that occurs twice (an archive
    beside the files extracted from it) is taken once. Raises UserError, with file and line, for
    metadata that cannot be understood.
    """
    wanted = pattern(resolution, contour_length)
    label_of: dict[tuple[int, int], int] = {}
    row_of: dict[tuple[int, int], int] = {}  # the row of an image's pixels in `scratch`
    met: set[tuple[int, int]] = set()
    again = 0
    bad: dict[tuple[int, int], str] = {}
    threads = data.processes or cores()
    with (
        reported(scratch),
        open(scratch, "wb") as store,
        ThreadPoolExecutor(threads) as pool,
        progress("reading images", 200_000) as advance,
    ):
        waiting: list[tuple[tuple[int, int], object]] = []

        def store_next() -> None:
            key, future = waiting.pop(0)
            pixels = future.result()
            if isinstance(pixels, str):
                bad[key] = pixels
            else:
                row_of[key] = len(row_of)
                store.write(pixels)

        for name, stream in archive.members(origin, wanted):
            batch, number, metadata = wanted.search(name).groups()
            content = stream.read()
            if metadata is not None:
                for key, label in parse_metadata(
                    name, content, int(metadata), contour_length
                ).items():
                    if label_of.setdefault(key, label) != label:
                        raise UserError(
                            f"{name}: imgs/{key[0]}/sample_{key[1]}.png has label {label} here and "
                            f"{label_of[key]} in another metadata file of {origin}."
                        )
                continue
            key = int(batch), int(number)
            if key in met:
                again += 1
                continue
            met.add(key)
            waiting.append((key, pool.submit(decode, content, resolution)))
            advance(len(row_of))
            if len(waiting) > 256:  # bounds the images that wait in memory
                store_next()
        while waiting:
            store_next()

    level = f"pathfinder{resolution}/{snakes.LEVELS[contour_length]}"
    if bad and not row_of:
        (b, i), defect = min(bad.items())
        raise UserError(
            f"{origin}: none of the {len(bad):,} images of {level} can be read; "
            f"imgs/{b}/sample_{i}.png, say, is of this kind: {defect}. They must be PNG files of "
            f"{resolution} x {resolution} pixels with 8 bits for each."
        )
    if not label_of or not row_of:
        what = "metadata/*.npy" if row_of else "imgs/*/sample_*.png"
        raise UserError(f"{origin} holds no {level}/{what}: {archive.bring()}")
    for key in label_of.keys() - row_of.keys() - bad.keys():
        bad[key] = "missing"
    notes = []
    if bad:
        listed = ", ".join(f"imgs/{b}/sample_{i}.png ({bad[b, i]})" for b, i in sorted(bad)[:20])
        more = f" and {len(bad) - 20} more" if len(bad) > 20 else ""
        notes.append(f"{len(bad)} images of {level} left out: {listed}{more}")
    if again:
        notes.append(f"{again} images of {level} were there twice and taken once")
    unlabelled = len(row_of.keys() - label_of.keys())
    if unlabelled:
        notes.append(f"{unlabelled} images of {level} are in no metadata file and left out")
    keys = sorted(row_of.keys() & label_of.keys())
    pixels = np.memmap(scratch, np.uint8, "r", shape=(len(row_of), resolution * resolution))
    labels = np.array([label_of.get(key, 0) for key in row_of], np.uint8)
    return pixels, labels, np.array([row_of[key] for key in keys]), notes, len(bad)


def decode(content: bytes, resolution: int) -> bytes | str:
    """Returns the pixels, or the defect of the file in words."""
    if not content:
        return "empty"
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            if picture.size != (resolution, resolution):
                return f"{picture.width} x {picture.height} pixels"
            if picture.mode.startswith("I"):  # conversion to grey would cut it off at 255
                return "16 bits a pixel"
            picture.verify()  # compares the checksums of the file's chunks
        with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
            return picture.convert("L").tobytes()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return "damaged"


def parse_metadata(
    name: str, content: bytes, batch: int, contour_length: int
) -> dict[tuple[int, int], int]:
    """Returns (batch, number) -> label.

    The first column of a line names the batch, the sixth the contour length.
    """
    labels: dict[tuple[int, int], int] = {}
    for number, columns in enumerate(metadata_rows(name, content), start=1):
        image = re.fullmatch(r"sample_(\d+)\.png", columns[1]) if len(columns) > 1 else None
        if (
            len(columns) != COLUMNS
            or not image
            or columns[0] != f"imgs/{batch}"
            or columns[3] not in ("0", "1")
            or columns[5] != str(contour_length)
        ):
            raise UserError(
                f"{name}, line {number}: expected {COLUMNS} columns such as 'imgs/{batch} "
                f"sample_0.png 0 1 1.0 {contour_length} ...' with label 0 or 1 in the fourth, "
                f"found {' '.join(columns)[:60]!r}."
            )
        key, label = (batch, int(image[1])), int(columns[3])
        if labels.setdefault(key, label) != label:
            raise UserError(
                f"{name}, line {number}: {columns[1]} has label {label} here and {labels[key]} in "
                "a line before."
            )
    return labels


def metadata_rows(name: str, content: bytes) -> list[list[str]]:
    """Returns the columns of each image of a metadata file, text or array."""
    if not content.startswith(np.lib.format.MAGIC_PREFIX):
        return [line.decode(errors="replace").split() for line in content.splitlines()]
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError as error:  # cut off, or an array of objects
        raise UserError(f"{name} is not an array of texts ({error}).") from error
    if array.ndim != 2 or array.dtype.kind not in "US":
        raise UserError(f"{name} is an array of {array.dtype} {array.shape}, not a table of texts.")
    return array.astype(str).tolist()
