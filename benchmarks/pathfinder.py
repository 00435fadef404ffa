"""python -m benchmarks.pathfinder: the time per image on one core, and our images beside official
ones.

The picture needs a sample of the official generator: LRA_ARCHIVES=... python -m
benchmarks.pathfinder writes results/board/figures/pathfinder.png. For each size and level, the left
half shows official images and the right half shows ours.
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
                pixels, _ = snakes.images(side, length, n, rng)
                seconds.append((time.perf_counter() - start) / n)
            made[side, length] = pixels.reshape(n, side, side)
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
        pixels, _, index, _ = read(path, side, length, scratch, data)
        theirs = np.array(pixels[index]).reshape(-1, side, side)
        scratch.unlink()
        rows.append(row(side, length, theirs, made[side, length]))
    picture = Image.new("L", (max(r.width for r in rows), sum(r.height for r in rows)), 60)
    top = 0
    for r in rows:
        picture.paste(r, (0, top))
        top += r.height
    with replacing(FIGURE) as temporary:
        picture.save(temporary, "png", optimize=True)
    print(f"written: {FIGURE}")


def row(side: int, length: int, theirs: np.ndarray, ours: np.ndarray) -> Image.Image:
    scale = max(1, 64 // side)
    step = side * scale + 2
    n = SHOWN[side]
    half = max(SHOWN[s] * (s * max(1, 64 // s) + 2) for s in SHOWN)
    picture = Image.new("L", (2 * half + 20, step + 16), 60)
    text = ImageDraw.Draw(picture)
    for column, (name, images) in enumerate((("official", theirs), ("ours", ours))):
        left = column * (half + 20)
        text.text((left + 2, 2), f"{name}, {side} pixels, contour length {length}", fill=255)
        for i, image in enumerate(images[:n]):
            tile = Image.fromarray(image).resize((side * scale, side * scale), 0)
            picture.paste(tile, (left + i * step, 14))
    return picture


if __name__ == "__main__":
    sys.exit(run(main, __doc__))
