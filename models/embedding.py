"""The token embedding, with positions and an optional CLS vector in front."""

import math

import torch
from torch import Tensor, nn

from models.dropout import Dropout


def sinusoidal_positions(length: int, d_model: int) -> Tensor:
    """Returns the fixed positions of Vaswani et al. (arXiv 1706.03762), (length, d_model)."""
    position = torch.arange(length)[:, None]
    frequency = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
    table = torch.zeros(length, d_model)
    table[:, 0::2] = torch.sin(position * frequency)
    table[:, 1::2] = torch.cos(position * frequency[: d_model // 2])
    return table


class Embedding(nn.Module):
    """Maps ids (B, N) and mask (B, N) to x (B, T, D) and mask (B, T).

    T = N, or N + 1 with CLS at position 0. input="tokens" looks ids up. input="continuous" takes an
    id as a grey value, scales it from 0..255 to -1..1 and projects it as one real number.

    Only a block that ignores the mask sees the positions after the end of a sequence. They hold the
    embedding of id 0 or, with padding_token, a learned embedding, as in the released LRA codes.
    """

    padding_seen = "none"

    def __init__(
        self,
        d_model: int,
        *,
        vocab_size: int,
        seq_len: int,
        input: str = "tokens",
        positions: str = "learned",
        cls: bool = False,
        padding_token: bool = False,
        init_std: float = 0.02,
        dropout: float = 0.0,
        tied_dropout: bool = False,
    ):
        super().__init__()
        if positions not in ("learned", "sinusoidal", "rotary", "none"):
            raise ValueError(f"positions={positions}: choose learned, sinusoidal, rotary or none")
        self.seq_len, self.vocab_size, self.padding_token = seq_len, vocab_size, padding_token
        if input == "tokens":
            self.tokens = nn.Embedding(vocab_size + padding_token, d_model)
            nn.init.normal_(self.tokens.weight, std=init_std)
        elif input == "continuous" and not padding_token:
            self.tokens = nn.Linear(1, d_model)
        else:
            raise ValueError(
                f"model.input={input}: choose tokens, or continuous without model.padding_token"
            )
        self.continuous = input == "continuous"
        self.cls = nn.Parameter(torch.randn(d_model) * init_std) if cls else None
        if positions == "learned":
            self.positions = nn.Parameter(torch.randn(seq_len + cls, d_model) * 0.02)
        elif positions == "sinusoidal":
            self.register_buffer("positions", sinusoidal_positions(seq_len + cls, d_model))
        else:
            self.positions = None  # rotary: where queries and keys are (models/attention.py)
        self.dropout = Dropout(dropout, tied=tied_dropout)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        B, N = ids.shape
        if self.seq_len < N:
            raise ValueError(f"a batch of length {N} does not fit model.seq_len={self.seq_len}")
        if self.continuous:
            x = self.tokens(ids[..., None].to(self.tokens.weight.dtype) / 127.5 - 1)  # (B, N, D)
        else:
            ids = ids.int()
            if self.padding_token:
                ids = torch.where(mask, ids, self.vocab_size)
            x = self.tokens(ids)  # (B, N, D)
        if self.cls is not None:
            x = torch.cat([self.cls.expand(B, 1, -1), x], dim=1)
            mask = torch.cat([mask.new_ones(B, 1), mask], dim=1)
        if self.positions is not None:
            x = x + self.positions[: x.shape[1]]
        return self.dropout(x), mask
