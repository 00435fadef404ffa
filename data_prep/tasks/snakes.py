"""The pictures of Pathfinder: two long dashed contours, distractors, discs at two contour ends.

Does one contour join the discs? A reimplementation of the generator behind LRA's images (Linsley
et al., NeurIPS 2018; drewlinsley/pathfinder, snakes2.py) with the parameters that LRA documents
(google-research/long-range-arena, lra_benchmarks/data/pathfinder.py). A contour ("snake") is a
chain of paddles, short lines. A line has one of few directions, so all lines are drawn once, by
Pillow as in the original, and the generator places these sprites.

Pixel values and occupancy are bytes as in the original, 255 = 1. Coordinates are (y, x).
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit
from PIL import Image, ImageDraw

LEVELS = {6: "curv_baseline", 9: "curv_contour_length_9", 14: "curv_contour_length_14"}
SCALE = 2  # lines are drawn at twice the size, then made smaller
DRAWS = 3  # tries for a paddle before its contour fails
DISTRACTOR_TRIES = 5
FREE = 76  # occupancy up to 0.3 counts as free
CROSSING = 459  # 1.8: a paddle is refused where its and the others' occupancy add up to this
DEAD_END = 1e-4


class Rules(NamedTuple):
    """The generator's parameters for pictures of one side length in pixels."""

    padding: int
    seed_distance: int  # between the two contours' tails
    marker_radius: float
    paddle_length: int
    thickness: float
    margins: tuple[int, ...]  # one is drawn for each image
    continuity: float
    snake_contrast: float
    paddle_contrast: float
    distractor_paddles: int


RULES = {
    32: Rules(1, 7, 1.5, 2, 0.5, (1,), 1.0, 2.0, 0.75, 20),
    64: Rules(1, 12, 2.5, 5, 1.0, (1,), 1.8, 0.8, 1.0, 22),
    128: Rules(1, 20, 3.0, 5, 1.5, (2, 3), 1.8, 0.9, 1.0, 35),
    256: Rules(22, 27, 5.0, 5, 2.0, (3,), 1.8, 1.0, 1.0, 30),
}


class Sprites(NamedTuple):
    """All paddles of one margin. The first 360 point in the directions -180..179 degrees, the
    others back along the displacements of `candidates`, where a chain may go on."""

    lines: np.ndarray  # uint8 (S, side, side), tail at the centre
    masks: np.ndarray  # uint8, the lines widened by the margin: the pixels that a paddle occupies
    candidates: np.ndarray  # int64 (K, 2): pixels on the circle of radius L + margin
    angles: np.ndarray  # float64 (K,)
    struct: np.ndarray  # int64 (360, n, 2): offsets from its tail that a first paddle must not hit
    struct_size: np.ndarray  # int64 (360,); 0 = a direction never taken


def images(resolution: int, contour_length: int, n: int, rng: np.random.Generator):
    """Returns (n, resolution^2) uint8 pixels and (n,) uint8 labels; 1: the discs are joined."""
    rules = RULES[resolution]
    pixels = np.empty((n, resolution * resolution), np.uint8)
    labels = np.empty(n, np.uint8)
    sprites = [paddles(rules.paddle_length, rules.thickness, m) for m in rules.margins]
    marker = disc(rules.marker_radius)
    for i in range(n):
        m = int(rng.random() * len(rules.margins))
        picture = pixels[i].reshape(resolution, resolution)
        labels[i] = _picture(
            rng, picture, marker, sprites[m], rules, rules.margins[m], contour_length
        )
    return pixels, labels


@cache
def paddles(length: int, thickness: float, margin: int) -> Sprites:
    radius = length + margin
    step = 1 / radius  # radians to the next pixel of the circle
    angles = np.arange(0, 2 * math.pi, step)
    circle = 2**10 + radius * np.stack([np.sin(angles), np.cos(angles)], axis=1)
    candidates = np.unique(circle.astype(np.int64) - 2**10, axis=0)
    onward = np.arctan2(candidates[:, 0], candidates[:, 1])
    back = np.where(onward < 0, onward + math.pi, onward - math.pi)
    degrees = np.arange(-180, 180) * math.pi / 180

    half = length + math.ceil(thickness) + margin
    drawn = np.stack([_line(a, half, length, thickness) for a in [*degrees, *back]])
    lines = _smaller(drawn, 2 * half + 1)
    masks = _smaller(_dilated(drawn, margin * SCALE), 2 * half + 1)

    # A first paddle may not start where its occupancy, laid one pixel off its tail, hits others.
    # The original also gives up on a direction whose occupancy is wholly outside the picture for
    # some tail: OpenCV returns -1.8e308 there, which the original takes for "nothing is free". With
    # narrow margins this excludes most directions of a first paddle.
    window = slice(half - radius - 1, half + radius)
    near = masks[:360, window, window]
    hits = [np.argwhere(mask == 255) - radius for mask in near]
    struct = np.zeros((360, max(map(len, hits)), 2), np.int64)
    for k, offsets in enumerate(hits):
        struct[k, : len(offsets)] = offsets
    sizes = np.array([0 if _all_outside(offsets) else len(offsets) for offsets in hits])
    return Sprites(lines, masks, candidates, onward, struct, sizes)


def _all_outside(offsets: np.ndarray) -> bool:
    """Returns whether, from some pixel of a picture, all offsets lead outside the picture."""
    side = 4 * np.abs(offsets).max() + 1
    seen = np.zeros((side, side), bool)
    y, x = np.mgrid[:side, :side]
    for dy, dx in offsets:
        seen |= (y + dy >= 0) & (y + dy < side) & (x + dx >= 0) & (x + dx < side)
    return not seen.all()


def _line(angle: float, half: int, length: int, thickness: float) -> np.ndarray:
    """Returns a paddle from the centre of a square, at SCALE times the size: 0 or 255."""
    centre = half * SCALE
    y, x = (math.ceil(centre + length * SCALE * f(angle)) for f in (math.sin, math.cos))
    picture = Image.new("L", (2 * centre + 1, 2 * centre + 1))
    width = round(thickness * SCALE)
    ImageDraw.Draw(picture).line([(centre, centre), (x, y)], fill=255, width=width)
    return np.asarray(picture)


def _dilated(pictures: np.ndarray, radius: int) -> np.ndarray:
    """Returns the maximum over a disc around every pixel; pixels beyond the border are 0."""
    n, side = pictures.shape[:2]
    wide = np.zeros((n, side + 2 * radius, side + 2 * radius), np.uint8)
    wide[:, radius : radius + side, radius : radius + side] = pictures
    result = pictures.copy()
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            if dy * dy + dx * dx <= radius * radius:
                shifted = wide[:, radius + dy :, radius + dx :][:, :side, :side]
                np.maximum(result, shifted, out=result)
    return result


def _smaller(pictures: np.ndarray, side: int) -> np.ndarray:
    size = (side, side)
    resample = Image.Resampling.LANCZOS
    return np.stack([Image.fromarray(p).resize(size, resample) for p in pictures])


def disc(radius: float) -> np.ndarray:
    """Returns a marker, float32, made smaller in floating point, so that its rim exceeds 1."""
    half = math.ceil(radius) + 4
    y, x = np.ogrid[-half * SCALE : (half + 1) * SCALE, -half * SCALE : (half + 1) * SCALE]
    blown = (x * x + y * y <= (radius * SCALE) ** 2).astype(np.float32)
    size = (2 * half + 1, 2 * half + 1)
    return np.array(Image.fromarray(blown).resize(size, Image.Resampling.LANCZOS))


@njit(nogil=True, cache=True)
def _picture(rng, out, marker, sprites, rules, margin, contour_length):
    """Draws one picture into `out` and returns its label."""
    side = out.shape[0]
    image = np.zeros((side, side), np.float32)
    taken = np.empty((side, side), np.uint8)
    chains = np.empty((2, contour_length, 3), np.int64)  # sprite, y, x of each paddle

    # A failed pair of contours is drawn again from an empty picture.
    complete = False
    while not complete:
        taken[:] = 255
        inner = slice(rules.padding, side - rules.padding)
        taken[inner, inner] = 0
        complete = _two_snakes(rng, taken, sprites, rules, margin, chains)
    for chain in chains:
        _draw(image, sprites.lines, chain, rules.snake_contrast * rules.paddle_contrast)

    # A failed distractor leaves its part in `taken`, so its pixels are given back.
    before = np.empty_like(taken)
    chain = np.empty((contour_length // 3, 3), np.int64)
    for _ in range(rules.distractor_paddles // len(chain)):
        for _ in range(DISTRACTOR_TRIES):
            before[:] = taken
            if _snake(rng, taken, sprites, rules, margin, chain):
                _draw(image, sprites.lines, chain, rules.snake_contrast)
                break
            taken[:] = before

    # One disc marks a tail, the other a head: of the same contour for label 1.
    label = int(rng.random() * 2)
    first = int(rng.random() * 2)
    last = first if label == 1 else 1 - first
    _stamp(image, marker, chains[first, 0, 1:])
    _stamp(image, marker, chains[last, -1, 1:])
    low, high = image.min(), image.max()
    for y in range(side):
        for x in range(side):
            out[y, x] = int((image[y, x] - low) * (255 / (high - low)) + 0.5)
    return label


@njit(nogil=True, cache=True)
def _moved(point, angle, distance, out):
    out[0] = math.ceil(point[0] + distance * math.sin(angle))
    out[1] = math.ceil(point[1] + distance * math.cos(angle))


@njit(nogil=True, cache=True)
def _inside(point, side):
    return 0 <= point[0] < side and 0 <= point[1] < side


@njit(nogil=True, cache=True)
def _first_pivot(tail, degree, length, margin, side, pivot):
    """Sets the pivot after the first paddle; False if the pivot or the head is outside."""
    angle = degree * math.pi / 180
    head = np.empty(2, np.int64)
    _moved(tail, angle, length, head)
    back = angle + math.pi if angle < 0 else angle - math.pi
    _moved(head, back, length + margin, pivot)
    return _inside(head, side) and _inside(pivot, side)


@njit(nogil=True, cache=True)
def _is_free(occupied, struct, size, y, x):
    """Returns whether a first paddle may start at (y, x). Outside the picture all is free."""
    side = occupied.shape[0]
    for k in range(size):
        v, u = y + struct[k, 0], x + struct[k, 1]
        if 0 <= v < side and 0 <= u < side and occupied[v, u]:
            return False
    return True


@njit(nogil=True, cache=True)
def _free_tail(rng, occupied, sprites, degree, tail):
    """Draws `tail` from the free pixels with equal chances; returns False if no pixel is free."""
    struct, size = sprites.struct[degree], sprites.struct_size[degree]
    if size == 0:
        return False
    side = occupied.shape[0]
    for _ in range(100):
        y, x = int(rng.random() * side), int(rng.random() * side)
        if _is_free(occupied, struct, size, y, x):
            tail[0], tail[1] = y, x
            return True
    free = 0  # few pixels are free, or none: look at all
    for i in range(side * side):
        free += _is_free(occupied, struct, size, i // side, i % side)
    chosen = int(rng.random() * free)
    for i in range(side * side):
        if _is_free(occupied, struct, size, i // side, i % side):
            if chosen == 0:
                tail[0], tail[1] = i // side, i % side
                return True
            chosen -= 1
    return False


@njit(nogil=True, cache=True)
def _stamp(canvas, sprite, point):
    """Sets canvas to max(canvas, sprite centred at point)."""
    half = sprite.shape[0] // 2
    side = canvas.shape[0]
    y0, x0 = point[0] - half, point[1] - half
    for y in range(max(0, y0), min(side, y0 + sprite.shape[0])):
        for x in range(max(0, x0), min(side, x0 + sprite.shape[0])):
            canvas[y, x] = max(canvas[y, x], sprite[y - y0, x - x0])


@njit(nogil=True, cache=True)
def _draw(image, lines, chain, contrast):
    """Draws all paddles of a chain; the value 255 of a line becomes `contrast`."""
    half = lines.shape[1] // 2
    side = image.shape[0]
    for paddle in range(len(chain)):
        line = lines[chain[paddle, 0]]
        y0, x0 = chain[paddle, 1] - half, chain[paddle, 2] - half
        for y in range(max(0, y0), min(side, y0 + 2 * half + 1)):
            for x in range(max(0, x0), min(side, x0 + 2 * half + 1)):
                image[y, x] = max(image[y, x], contrast * line[y - y0, x - x0] / 255)


@njit(nogil=True, cache=True)
def _crosses(taken, mask, point):
    half = mask.shape[0] // 2
    side = taken.shape[0]
    y0, x0 = point[0] - half, point[1] - half
    for y in range(max(0, y0), min(side, y0 + mask.shape[0])):
        for x in range(max(0, x0), min(side, x0 + mask.shape[0])):
            if int(taken[y, x]) + int(mask[y - y0, x - x0]) >= CROSSING:
                return True
    return False


@njit(nogil=True, cache=True)
def _extend(rng, taken, sprites, rules, margin, pivot, angle, head):
    """Draws the next paddle of a chain: moves `pivot`, sets `head`, and returns the index of the
    candidate; -1 at a dead end."""
    side, candidates, angles = taken.shape[0], sprites.candidates, sprites.angles
    _moved(pivot, angle, rules.paddle_length + 2 * margin, pivot)
    weights = np.zeros(len(candidates))
    total = 0.0
    for k in range(len(candidates)):
        y, x = pivot[0] + candidates[k, 0], pivot[1] + candidates[k, 1]
        turn = abs(angles[k] - angle)
        turn = min(turn, 2 * math.pi - turn) * rules.continuity
        if turn >= math.pi / 2 or not (0 <= y < side and 0 <= x < side):
            continue
        occupied = 0  # the largest value within the margin
        for v in range(max(0, y - margin), min(side, y + margin + 1)):
            for u in range(max(0, x - margin), min(side, x + margin + 1)):
                if (v - y) ** 2 + (u - x) ** 2 <= margin * margin:
                    occupied = max(occupied, int(taken[v, u]))
        weights[k] = math.cos(turn) ** 2 * (1 - occupied / 255)
        total += weights[k]
    if total < DEAD_END:
        return -1
    for _ in range(DRAWS):
        rest = rng.random() * total
        k = 0
        while k < len(candidates) - 1 and rest >= weights[k]:
            rest -= weights[k]
            k += 1
        head[0], head[1] = pivot[0] + candidates[k, 0], pivot[1] + candidates[k, 1]
        if not _crosses(taken, sprites.masks[360 + k], head):
            return k
    return -1


@njit(nogil=True, cache=True)
def _two_snakes(rng, taken, sprites, rules, margin, chains):
    """Grows both contours in turns; returns False if one cannot go on.

    A paddle counts as taken once the next paddle of its contour is laid.
    """
    side = taken.shape[0]
    edge = 2 * rules.seed_distance
    occupied = np.ones((side, side), np.uint8)
    occupied[edge : side - edge, edge : side - edge] = 0
    pivots = np.empty((2, 2), np.int64)
    direction = np.empty(2)
    for s in range(2):
        tail = chains[s, 0, 1:]
        for trial in range(DRAWS):
            degree = int(rng.random() * 360)
            if s == 0:
                if not _free_tail(rng, occupied, sprites, degree, tail):
                    return False
            else:
                around = int(rng.random() * 360) * math.pi / 180
                tail[0] = round(chains[0, 0, 1] + rules.seed_distance * math.sin(around))
                tail[1] = round(chains[0, 0, 2] + rules.seed_distance * math.cos(around))
            if _first_pivot(tail, degree - 180, rules.paddle_length, margin, side, pivots[s]):
                break
            if trial == DRAWS - 1:
                return False
        chains[s, 0, 0], direction[s] = degree, (degree - 180) * math.pi / 180
    for i in range(1, chains.shape[1]):
        for s in range(2):
            head = chains[s, i, 1:]
            k = _extend(rng, taken, sprites, rules, margin, pivots[s], direction[s], head)
            if k < 0:
                return False
            _stamp(taken, sprites.masks[chains[s, i - 1, 0]], chains[s, i - 1, 1:])
            chains[s, i, 0], direction[s] = 360 + k, sprites.angles[k]
    # The first contour's last paddle never counts as taken, as in the original.
    _stamp(taken, sprites.masks[chains[1, -1, 0]], chains[1, -1, 1:])
    return True


@njit(nogil=True, cache=True)
def _snake(rng, taken, sprites, rules, margin, chain):
    """Grows one distractor; returns False if it cannot be completed.

    `taken` then holds the part that was grown.
    """
    side = taken.shape[0]
    occupied = (taken > FREE).astype(np.uint8)
    if side * side - int(occupied.sum()) < 0.01 * side * side:
        return False
    occupied[0], occupied[-1], occupied[:, 0], occupied[:, -1] = 1, 1, 1, 1
    pivot = np.empty(2, np.int64)
    for trial in range(DRAWS):
        degree = int(rng.random() * 360)
        if not _free_tail(rng, occupied, sprites, degree, chain[0, 1:]):
            return False
        if _first_pivot(chain[0, 1:], degree - 180, rules.paddle_length, margin, side, pivot):
            break
        if trial == DRAWS - 1:
            return False
    chain[0, 0], angle = degree, (degree - 180) * math.pi / 180
    for i in range(1, len(chain)):
        k = _extend(rng, taken, sprites, rules, margin, pivot, angle, chain[i, 1:])
        if k < 0:
            return False
        _stamp(taken, sprites.masks[chain[i - 1, 0]], chain[i - 1, 1:])
        chain[i, 0], angle = 360 + k, sprites.angles[k]
    _stamp(taken, sprites.masks[chain[-1, 0]], chain[-1, 1:])
    return True
