"""Reformer: The Efficient Transformer (Kitaev, Kaiser, Levskaya, arXiv 2001.04451): LSH attention.

Queries and keys share one projection, k = q / |q|. A hash puts a position into the bucket
    argmax([q R, -q R]),   R (K, buckets / 2) Gaussian
Positions are sorted by bucket and cut into chunks. A query attends to its own chunk and to the
previous chunk, and to itself only if it sees nothing else. `hashes` rounds are combined by their
log-sum-exps, as one softmax over all rounds. A single chunk is softmax attention of shared queries
and keys.

As in the authors' code (google/trax@00a9b13, trax/layers/research/efficient_attention.py), padding
is sorted to the end, and a pair that meets in two rounds counts twice. Differences from it:
- The first chunk looks back to the last chunk that has a token, in its own round; theirs wraps
  around the padded length, or into the previous round.
- Hashes are drawn again at each training step, one R for each head; evaluation uses hashes that are
  saved with the weights. Theirs draws one for each example and head, in evaluation too.
- The number of buckets follows from seq_len, not from the length of the batch, and is not factored.
- Reversible layers, the paper's other half, save memory and change no result: they are not used.

LRA's Reformer (google-research/long-range-arena@a2e5057, lra_benchmarks/models/reformer/
reformer_attention.py) differs from both: keys without norm, scores times sqrt(K), no mask.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least, blocks, merge_heads, must_divide, split_heads


class LSHAttention(nn.Module):
    padding_seen = "none"

    def __init__(self, d_model: int, *, n_heads: int, seq_len: int, chunk: int, hashes: int):
        super().__init__()
        must_divide(d_model, n_heads)
        at_least(1, chunk=chunk, hashes=hashes)
        self.n_heads, self.chunk = n_heads, chunk
        self.qk, self.value = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.out = nn.Linear(d_model, d_model)
        half = -(-seq_len // chunk)  # buckets / 2: a chunk holds two buckets on average
        self.register_buffer("rotations", torch.randn(n_heads, hashes, d_model // n_heads, half))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        qk, v = (split_heads(linear(x), self.n_heads) for linear in (self.qk, self.value))
        with torch.no_grad():
            order = self.sort(qk, mask)  # (B, H, R, N)
        o, weight = self.attend(qk, v, mask, order)  # (B, H, R, N, K), (B, H, R, N)
        o = (o * weight.softmax(dim=2)[..., None]).sum(2)
        return self.out(merge_heads(o))

    def sort(self, qk: Tensor, mask: Tensor) -> Tensor:
        """Returns the positions in the order of their buckets, padding last."""
        rotations = torch.randn_like(self.rotations) if self.training else self.rotations
        rotated = qk[:, :, None] @ rotations.to(qk.dtype)  # (B, H, R, N, buckets / 2)
        bucket = torch.cat([rotated, -rotated], dim=-1).argmax(-1)
        bucket = bucket.masked_fill(~mask[:, None, None], 2 * rotations.shape[-1])
        return bucket.argsort(dim=-1, stable=True)

    def attend(self, qk: Tensor, v: Tensor, mask: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """Returns each round's outputs, and the logs of the sums of their weights."""
        B, H, R, N = order.shape
        size = min(self.chunk, N)
        q = blocks(take(qk, order), size, 3)  # (B, H, R, C, size, K)
        v = blocks(take(v, order), size, 3)
        position = blocks(order.int(), size, 3)  # (B, H, R, C, size)
        # Real positions still come first after sorting, so the mask stays the same.
        real = blocks(mask, size, 1)[:, None, None]  # (B, 1, 1, C, size)
        C = q.shape[3]
        chunks = (mask.sum(1) + size - 1) // size  # (B,): the number with a token
        before = torch.arange(-1, C - 1, device=q.device).expand(B, C)
        before = torch.where(before < 0, chunks[:, None] - 1, before).clamp(min=0)
        real_before = real.take_along_dim(before[:, None, None, :, None], dim=3)
        # A single chunk would be its own previous chunk, and its keys would count twice.
        real_before = real_before & (chunks > 1)[:, None, None, None, None]

        start = torch.arange(B * H * R, device=q.device).view(B, H, R, 1) * C
        rows = (before[:, None, None] + start).flatten()  # the chunk before each, over all rounds

        def with_before(x: Tensor) -> Tensor:
            previous = x.reshape(B * H * R * C, -1).index_select(0, rows).view(x.shape)
            return torch.cat([previous, x], dim=4)

        k = with_before(F.normalize(q, dim=-1))
        scores = q @ k.transpose(-1, -2)  # (B, H, R, C, size, 2 size)
        # -1e5 is far above -1e9: a query sees itself only if every other key is masked.
        itself = position[..., None] == with_before(position)[..., None, :]
        allowed = torch.cat([real_before, real], dim=-1)[..., None, :]
        # The weights of masked pairs are 0, and so are their gradients. A token that sees itself
        # alone has the weight 1, with the gradient 0, since all rounds agree.
        with torch.no_grad():
            scores.masked_fill_(itself, -1e5).masked_fill_(~allowed, -1e9)
        largest = scores.detach().amax(dim=-1, keepdim=True)
        weights = (scores - largest).exp()
        total = weights.sum(dim=-1, keepdim=True)
        o = torch.cat([weights @ with_before(v) / total, largest + total.log()], dim=-1)
        o = take_rows(o.flatten(3, 4)[:, :, :, :N], order.argsort(dim=-1))  # back to their places
        return o[..., :-1], o[..., -1]


def take(x: Tensor, order: Tensor) -> Tensor:
    """Orders positions in each round: x (B, H, N, K), order (B, H, R, N) -> (B, H, R, N, K)."""
    return take_rows(x[:, :, None], order)


def take_rows(x: Tensor, order: Tensor) -> Tensor:
    """Gathers whole rows: x (B, H, R or 1, N, K), order (B, H, R, N) -> (B, H, R, N, K)."""
    B, H, R, N, K = x.shape
    start = torch.arange(B * H * R, device=x.device).view(B, H, R, 1) * N
    return x.reshape(-1, K).index_select(0, (order + start).flatten()).view(*order.shape, K)
