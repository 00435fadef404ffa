"""Luna: Linear Unified Nested Attention (Ma et al., arXiv 2106.01540).

A second sequence P of `packed_length` learned vectors goes through the layers beside x:
    pack      Y = Attn(P, X, X)        P has packed_length positions
    unpack    Attn(X, Y, Y)            so both are linear in N
    x <- x + out(unpack),  P <- P + Y
In each attention one projection serves as both key and value, the authors' tie_kv.

Differences from their LRA code (facebookresearch/mega@09f1a87, fairseq/models/lra/model.py and
luna_lra_encoder.py):
- It has two projections, and on ListOps all layers share their weights.
- Norms follow the residuals; this trunk has them first.
- P is masked beyond the length of each document (dynamic_projection), so that a document shorter
  than packed_length has less of it. Here every document has all of P.
- The head can read P in place of x (use_p).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.attention import at_least, merge_heads, must_divide, split_heads
from models.block import Block
from models.softmax import softmax_attention


class LunaAttention(nn.Module):
    """Computes the updates of x (B, N, D) and p (B, M, D)."""

    padding_seen = "none"

    def __init__(self, d_model: int, *, n_heads: int):
        super().__init__()
        must_divide(d_model, n_heads)
        self.n_heads = n_heads
        self.pack_query = nn.Linear(d_model, d_model)
        self.pack_context = nn.Linear(d_model, d_model)
        self.query = nn.Linear(d_model, d_model)
        self.context = nn.Linear(d_model, d_model)
        self.out = nn.Linear(d_model, d_model)

    def forward(self, x: Tensor, p: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        packed = self.attend(self.pack_query(p), self.pack_context(x), mask[:, None, None])
        unpacked = self.attend(self.query(x), self.context(packed), None)
        return self.out(unpacked), packed

    def attend(self, q: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        q, k = (split_heads(t, self.n_heads) for t in (q, context))
        o = softmax_attention(q, k, k, mask)
        return merge_heads(o)


class LunaBlock(Block):
    """A block that updates x and P. Between blocks P precedes x in one sequence: the first block
    prepends P, and the last block removes it. The norm in front of P is a layer norm, whatever
    model.norm says."""

    padding_seen = None

    def __init__(self, d_model: int, *, layer: int, n_layers: int, packed_length: int, **block):
        super().__init__(d_model, layer=layer, **block)
        at_least(1, packed_length=packed_length)
        self.norm_p = nn.LayerNorm(d_model)
        self.packed_length = packed_length
        self.last = layer == n_layers - 1
        if layer == 0:
            self.p = nn.Parameter(torch.randn(packed_length, d_model) * d_model**-0.5)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # A block maps one sequence to one sequence, so P travels in front of x.
        if self.layer == 0:
            p = self.p.expand(len(x), -1, -1)
        else:
            p, x = x.tensor_split([self.packed_length], dim=1)
            mask = mask[:, self.packed_length :]
        unpacked, packed = self.mixer(self.before(x, mask), self.norm_p(p), mask)
        if self.last:
            return self.rest(x, unpacked, mask)
        x, mask = self.rest(x, unpacked, mask)
        p = self.dropout.add(p, packed)
        return torch.cat([p, x], dim=1), F.pad(mask, (self.packed_length, 0), value=True)
