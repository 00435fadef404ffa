"""The Fourier filter at each example's own length, for batches of texts of many lengths.

Filtered at its own length, an example never sees its batch-mates' padding. The filter of
models/fourier.py takes the padded length instead.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from models.fourier import spectral_filter


def lengths_of(mask: Tensor | None, x: Tensor) -> Tensor:
    """Returns the number of real positions of each example, (B,).

    mask (B, N): None means that every position is real. Raises ValueError unless the real positions
    come first: the filter would mix the others in.
    """
    B, N = x.shape[:2]
    if mask is None:
        return torch.full((B,), N, device=x.device)
    lengths = mask.long().sum(1)
    if not torch.equal(mask.bool(), real(lengths, N)):
        raise ValueError("the real tokens of every example must come first: pad on the right")
    return lengths


def real(lengths: Tensor, N: int) -> Tensor:
    """Returns the mask (B, N), True at the first `lengths` positions."""
    return torch.arange(N, device=lengths.device) < lengths[:, None]


def short(lengths: Tensor, keep_ratio: float) -> Tensor:
    """Returns the lengths after the filter: ceil(n * keep_ratio), at least 1."""
    return torch.ceil(lengths.double() * keep_ratio).long().clamp(min=1)


def shorten(x: Tensor, lengths: Tensor, keep_ratio: float) -> tuple[Tensor, Tensor]:
    """Returns x (B, M, D), each example filtered at its own length and followed by zeros, and its
    lengths (B,). M is the longest of these."""
    kept = short(lengths, keep_ratio)
    N, M = lengths.tolist(), kept.tolist()
    if len(set(N)) == 1:
        return spectral_filter(x[:, : N[0]], M[0]), kept
    # unbind first: the gradient of a slice of one example fills no zeros for the others
    rows = [
        spectral_filter(row[None, :n], m)[0] for row, n, m in zip(x.unbind(), N, M, strict=True)
    ]
    return pad_sequence(rows, batch_first=True), kept


def stretch(x: Tensor, lengths: Tensor, to: Tensor, N: int) -> Tensor:
    """Returns x (B, M, D) with each example's `lengths` positions repeated to `to` positions, by
    the nearest, and followed by zeros up to N."""
    old, new = lengths.tolist(), to.tolist()
    if len(set(old)) == 1 and len(set(new)) == 1:
        rows = _nearest(x[:, : old[0]], new[0])
        return F.pad(rows, (0, 0, 0, N - new[0]))
    pairs = zip(x.unbind(), old, new, strict=True)
    rows = [F.pad(_nearest(row[None, :m], n)[0], (0, 0, 0, N - n)) for row, m, n in pairs]
    return torch.stack(rows)


def _nearest(x: Tensor, length: int) -> Tensor:
    return F.interpolate(x.mT, size=length, mode="nearest").mT
