"""The Fourier Transformer's step written as its paper reads, without regard to speed."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.spectral_filter import released as plain_filter
from models.attention import split_heads


class PlainLayer(nn.Module):
    """A pre-norm layer with explicit softmax and torch's dropout. keep: the filter's cut."""

    def __init__(self, size, keep: int | None):
        super().__init__()
        D, self.n_heads, self.keep = size.d_model, size.n_heads, keep
        self.dropout, self.attention_dropout = size.dropout, size.attention_dropout
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.q, self.k, self.v, self.out = (nn.Linear(D, D) for _ in range(4))
        self.up, self.down = nn.Linear(D, size.d_ff), nn.Linear(size.d_ff, D)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.keep is not None:
            cls, rest = normed.tensor_split([1], dim=1)
            x = normed = torch.cat([cls, plain_filter(rest, self.keep)], dim=1)
        q, k, v = (split_heads(w(normed), self.n_heads) for w in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        o = F.dropout(weights, self.attention_dropout, self.training) @ v
        x = x + self.drop(self.out(o.transpose(1, 2).flatten(2)))
        return x + self.drop(self.down(self.drop(F.gelu(self.up(self.norm2(x))))))

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class PlainFourier(nn.Module):
    """Maps ids (B, P, N) to logits as model=fourier does under protocol=paper: CLS first, padding
    embedded and filtered like tokens."""

    def __init__(self, cfg):
        super().__init__()
        size, D, N = cfg.model, cfg.model.d_model, cfg.model.seq_len
        self.dropout = size.dropout
        self.tokens = nn.Embedding(cfg.task.vocab_size + 1, D)
        self.cls = nn.Parameter(torch.randn(D) * 0.02)
        self.positions = nn.Parameter(torch.randn(N + 1, D) * 0.02)
        keep = -(-(N + 1) * size.block.keep_ratio // 1)
        self.layers = nn.Sequential(
            *(PlainLayer(size, int(keep) if i == 0 else None) for i in range(size.n_layers))
        )
        self.norm = nn.LayerNorm(D)
        self.head = nn.Sequential(
            nn.Linear(D * (4 if cfg.task.documents == 2 else 1), size.d_ff),
            nn.ReLU(),
            nn.Linear(size.d_ff, cfg.objective.outputs),
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids.flatten(0, 1))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        x = self.layers(F.dropout(x, self.dropout, self.training))
        u = self.norm(x)[:, 0].unflatten(0, ids.shape[:2])
        if ids.shape[1] == 2:
            u, v = u.unbind(1)
            return self.head(torch.cat([u, v, u * v, u - v], dim=-1))
        return self.head(u[:, 0])
