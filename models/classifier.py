"""The shared trunk: embedding -> blocks -> norm -> pooling -> head, for one or two documents."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from models.attention import Projections
from models.dropout import on_cpu
from models.embedding import Embedding
from models.norm import BatchNorm
from models.norm import norm as make_norm
from models.parts import apart


def real(ids: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mask of the real tokens: ids (B, N), lengths (B,) -> (B, N)."""
    return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]


def pool(x: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean over the real positions: x (B, N, D), mask (B, N) -> (B, D)."""
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1).clamp(min=1)


def last(x: Tensor, mask: Tensor) -> Tensor:
    """Returns the last real position: x (B, N, D), mask (B, N) -> (B, D)."""
    index = (mask.sum(1) - 1).clamp(min=0)
    return x[torch.arange(len(x), device=x.device), index]


def rotate(mixer: nn.Module) -> None:
    """Makes a mixer rotate its queries and keys by their positions."""
    if not isinstance(mixer, Projections) or mixer.rotary is None:
        raise ValueError(
            "model.positions=rotary rotates the queries and keys of models/attention.py, which "
            f"{type(mixer).__name__} has not: choose learned, sinusoidal or none"
        )
    width = mixer.out.in_features // mixer.n_heads
    if width % 2:
        raise ValueError(f"model.positions=rotary needs heads of even width, not {width}")
    mixer.rotary = True


class Classifier(nn.Module):
    """Maps ids (B, P, N) and lengths (B, P) to logits (B, num_classes).

    The axis P of documents is folded into the batch for the encoder. The head sees u for one
    document and [u, v, u * v, u - v] for two, as in all LRA codes. `block` builds one layer of the
    encoder.

    On CPU the batch goes through the encoder in parts (models/parts.py) if its layers allow it.
    Only rounding differs. Under torch.compile, and on GPUs, which want large batches, it does not.
    """

    def __init__(
        self,
        d_model: int,
        *,
        vocab_size: int,
        seq_len: int,
        num_classes: int,
        documents: int,
        n_layers: int,
        d_ff: int,
        block: Callable[..., nn.Module],
        input: str = "tokens",
        pooling: str = "mean",
        positions: str = "learned",
        padding_token: bool = False,
        init_std: float = 0.02,
        dropout: float = 0.0,
        norm: str = "layer",
        prenorm: bool = True,
        tied_dropout: bool = False,
    ):
        super().__init__()
        if pooling not in ("mean", "cls", "last"):
            raise ValueError(f"model.pooling={pooling}: choose mean, cls or last")
        self.pooling, self.documents = pooling, documents
        self.embedding = Embedding(
            d_model,
            vocab_size=vocab_size,
            seq_len=seq_len,
            input=input,
            positions=positions,
            cls=pooling == "cls",
            padding_token=padding_token,
            init_std=init_std,
            dropout=dropout,
            tied_dropout=tied_dropout,
        )
        self.blocks = nn.ModuleList([block(d_model, layer=layer) for layer in range(n_layers)])
        for last in self.blocks[-1:]:
            last.only_first = pooling == "cls"
        if positions == "rotary":
            for layer in self.blocks:
                rotate(layer.mixer)
        # after a post-norm block x is normed already
        self.norm = make_norm(norm, d_model) if prenorm else None
        self.head = nn.Sequential(
            nn.Linear(d_model * (4 if documents == 2 else 1), d_ff),
            nn.ReLU(),
            nn.Linear(d_ff, num_classes),
        )

    def encode(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encodes each sequence as one vector: ids (B, N), lengths (B,) -> (B, D)."""
        seen = [getattr(block, "padding_seen", "content") for block in self.blocks]
        if not on_cpu(ids) or "content" in seen:
            x, mask = self.embedding(ids, real(ids, lengths))
            for block in self.blocks:
                x, mask = block(x, mask)
            return self.read(x, mask)
        lengths, order = lengths.sort(descending=True, stable=True)
        parts = apart(ids[order], real(ids, lengths))
        parts = [self.embedding(x, mask) for x, mask in parts]
        N = ids.shape[1] + (self.pooling == "cls")
        for block in self.blocks:
            parts, N = block.over_parts(parts, N)
        return torch.cat([self.read(x, mask) for x, mask in parts])[order.argsort()]

    def read(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pools the encoder's output, (B, N, D) -> (B, D)."""
        if self.pooling == "cls" and not isinstance(self.norm, BatchNorm):
            x, mask = x[:, :1], mask[:, :1]
        if self.norm is not None:
            x = self.norm(x, mask)
        if self.pooling == "cls":
            return x[:, 0]
        return pool(x, mask) if self.pooling == "mean" else last(x, mask)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        u = self.encode(rearrange(ids, "b p n -> (b p) n"), rearrange(lengths, "b p -> (b p)"))
        if self.documents == 2:
            u, v = rearrange(u, "(b p) d -> p b d", p=2)
            u = torch.cat([u, v, u * v, u - v], dim=-1)
        return self.head(u)
