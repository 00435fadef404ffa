"""A batch in parts: sequences of like length together, without the padding that only they lack.

On CPU a padded position costs as much as a real one. A batch whose sequences are sorted by length
is therefore cut into parts, and each part to about its longest sequence: on ListOps this leaves out
40 % of the positions. Layers that ignore padding run on each part; before a layer to which the
amount of padding matters, the parts are joined again.
"""

from itertools import accumulate

import torch
from torch import Tensor

from models.dropout import on_cpu

Part = tuple[Tensor, Tensor]  # x (b, n, ...) and mask (b, n)
SHORTEST = 0.85  # a part's shortest sequence, as a share of its longest
# A part's length is a multiple of GRAIN, or the batch's. Buffers then come in few sizes, and the C
# library, which keeps freed buffers, can give them out again: with parts of any length `make run`
# took 861 MB in place of 280, the more the longer it ran.
GRAIN = 64


def zero_padding(x: Tensor, mask: Tensor) -> Tensor:
    """Returns x (B, N, ...) with zeros where the mask (B, N) is False."""
    if on_cpu(x) and mask.all():
        return x
    return x * mask.view(*mask.shape, *[1] * (x.ndim - 2)).to(x.dtype)


def sizes(lengths: list[int]) -> list[int]:
    """Returns how many sequences, in order of falling length, each part takes."""
    counts: list[int] = []
    longest = lengths[0]
    for n in lengths:
        if not counts or n < SHORTEST * longest:
            counts.append(0)
            longest = n
        counts[-1] += 1
    return counts


def apart(x: Tensor, mask: Tensor) -> list[Part]:
    """Cuts a batch, x (B, N, ...) and mask (B, N) in order of falling length, into parts."""
    lengths = mask.sum(1).clamp(min=1).tolist()
    if lengths[-1] == x.shape[1]:  # nothing to leave out
        return [(x, mask)]
    counts = sizes(lengths)
    longest = [lengths[start] for start in accumulate(counts[:-1], initial=0)]
    cuts = [-(-n // GRAIN) * GRAIN for n in longest]  # a slice ends where the batch does
    # The gradient of split is one pass over the batch; each slice's own would be another.
    together = zip(x.split(counts), mask.split(counts), cuts, strict=True)
    return [(x[:, :n], mask[:, :n]) for x, mask, n in together]


def joined(parts: list[Part], N: int) -> Part:
    """Undoes apart: returns x (B, N, ...) with zeros as padding, and mask (B, N)."""
    if len(parts) == 1 and parts[0][1].all() and parts[0][1].shape[1] == N:
        return parts[0]
    masks = [torch.nn.functional.pad(mask, (0, N - mask.shape[1])) for _, mask in parts]
    return Join.apply(N, torch.cat(masks), *(x for x, _ in parts)), torch.cat(masks)


def cut_like(parts: list[Part], x: Tensor) -> list[Tensor]:
    """Cuts x (B, N, ...) as the parts are cut."""
    if len(parts) == 1:
        return [x if x.shape[1] == parts[0][0].shape[1] else x[:, : parts[0][0].shape[1]]]
    pieces = x.split([len(part) for part, _ in parts])
    return [piece[:, : part.shape[1]] for piece, (part, _) in zip(pieces, parts, strict=True)]


class Join(torch.autograd.Function):
    """One pass over the batch in both directions, where autograd's own slices would take one for
    each part."""

    @staticmethod
    def forward(ctx, N: int, mask: Tensor, *parts: Tensor) -> Tensor:
        ctx.lengths, ctx.shapes = mask.sum(1).tolist(), [x.shape for x in parts]
        whole = parts[0].new_empty(len(mask), N, *parts[0].shape[2:])
        rows = zip(whole, (row for x in parts for row in x), ctx.lengths, strict=True)
        for target, row, n in rows:
            target[:n] = row[:n]
            target[n:] = 0
        return whole

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor | None, ...]:
        lengths, gradients = iter(zip(g, ctx.lengths, strict=True)), []
        for shape in ctx.shapes:
            gradients.append(g.new_empty(shape))
            for row, (whole, n) in zip(gradients[-1], lengths, strict=False):
                row[:n] = whole[:n]
                row[n:] = 0
        return None, None, *gradients
