"""python -m benchmarks.pathfinder: the time per image on one core, and our images beside official
ones.

The picture needs a sample of the official generator: LRA_ARCHIVES=... python -m
benchmarks.pathfinder writes results/board/figures/pathfinder.png. For each size and level, the left
half shows official images and the right half shows ours; a frame says that the discs are connected
(label 1).
"""

import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from data_prep import sources
from data_prep.tasks import snakes
from data_prep.tasks.pathfinder import FOLDERS, pattern, read
from lra import config
from lra.cli import run
from lra.files import make_folder, replacing

FIGURE = Path("results/board/figures/pathfinder.png")
PAPER, FRAME = (60, 60, 60), (0, 220, 130)
Labelled = tuple[np.ndarray, np.ndarray]  # images (n, side, side), labels (n,)
SHOWN = {32: 12, 64: 6, 128: 3, 256: 2}  # side of an image -> images in each half


def main() -> None:
    rng = np.random.default_rng(0)
    print("side  contour length  ms an image (median of 5 batches)  mean / 255  share above 0")
    made = {}
    for side in snakes.RULES:
        snakes.images(side, 6, 1, rng)  # compiles, and draws the sprites
        for length in snakes.LEVELS:
            n, seconds = 40, []
            for _ in range(5):
                start = time.perf_counter()
                pixels, labels = snakes.images(side, length, n, rng)
                seconds.append((time.perf_counter() - start) / n)
            made[side, length] = pixels.reshape(n, side, side), labels
            print(
                f"{side:4}  {length:14}  {1000 * np.median(seconds):33.2f}  "
                f"{pixels.mean() / 255:10.4f}  {(pixels > 0).mean():13.3f}"
            )
    sheet(made)


def sheet(made: dict) -> None:
    data = config.compose(["task=pathfinder"]).data
    rows = []
    for side, length in made:
        path = sources.in_archives(FOLDERS, pattern(side, length))
        if path is None:
            print("LRA_ARCHIVES holds no official sample: no picture.")
            return
        scratch = FIGURE.with_suffix(".tmp")
        make_folder(scratch.parent)
        pixels, labels, index, *_ = read(path, side, length, scratch, data)
        theirs = np.array(pixels[index]).reshape(-1, side, side), labels[index]
        scratch.unlink()
        rows.append(row(side, length, theirs, made[side, length]))
    size = max(r.width for r in rows), sum(r.height for r in rows)
    picture = Image.new("RGB", size, PAPER)
    top = 0
    for r in rows:
        picture.paste(r, (0, top))
        top += r.height
    with replacing(FIGURE) as temporary:
        picture.save(temporary, "png", optimize=True)
    print(f"written: {FIGURE}")


def row(side: int, length: int, theirs: Labelled, ours: Labelled) -> Image.Image:
    scale = max(1, 64 // side)
    step = side * scale + 4
    n = SHOWN[side]
    half = max(SHOWN[s] * (s * max(1, 64 // s) + 4) for s in SHOWN)
    picture = Image.new("RGB", (2 * half + 20, step + 16), PAPER)
    text = ImageDraw.Draw(picture)
    for column, (name, (images, labels)) in enumerate((("official", theirs), ("ours", ours))):
        left = column * (half + 20)
        said = f"{name}, {side} pixels, contour length {length}; framed: connected"
        text.text((left + 2, 2), said, fill="white")
        for i, image in enumerate(images[:n]):
            tile = Image.fromarray(image).resize((side * scale, side * scale), 0)
            place = left + i * step + 1, 15
            picture.paste(tile, place)
            if labels[i]:
                frame = [place[0] - 1, 14, place[0] + tile.width, 15 + tile.height]
                text.rectangle(frame, outline=FRAME)
    return picture


if __name__ == "__main__":
    sys.exit(run(main, __doc__))
