"""The shared trunk: embedding -> blocks -> norm -> pooling -> head, for one or two documents."""

from collections.abc import Callable, Iterable

import torch
from einops import rearrange
from torch import Tensor, nn

from models.dropout import on_cpu
from models.embedding import Embedding


def real(ids: Tensor, lengths: Tensor) -> Tensor:
    """Returns the mask of the real tokens: ids (B, N), lengths (B,) -> (B, N)."""
    return torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]


def pool(x: Tensor, mask: Tensor) -> Tensor:
    """Returns the mean over the real positions: x (B, N, D), mask (B, N) -> (B, D)."""
    weight = mask[..., None].to(x.dtype)
    return (x * weight).sum(1) / weight.sum(1).clamp(min=1)


SHORTEST = 0.9  # a part's shortest sequence, as a share of its longest


def parts(lengths: list[int]) -> list[int]:
    """Cuts sequences of falling lengths into parts of like length and returns the parts' sizes."""
    sizes: list[int] = []
    longest = lengths[0]
    for n in lengths:
        if not sizes or n < SHORTEST * longest:
            sizes.append(0)
            longest = n
        sizes[-1] += 1
    return sizes


def run(layers: Iterable[nn.Module], x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    for layer in layers:
        x, mask = layer(x, mask)
    return x, mask


class Classifier(nn.Module):
    """Maps ids (B, P, N) and lengths (B, P) to logits (B, num_classes).

    The axis P of documents is folded into the batch for the encoder. The head sees u for one
    document and [u, v, u * v, u - v] for two, as in all LRA codes. `block` builds one layer of the
    encoder.

    On CPU the layers that ignore padding see sequences of like length together, and no padding
    beyond the longest of them: on ListOps that leaves out 45 % of the positions, and only rounding
    differs. Not so under torch.compile, and on GPUs, which want one large batch.
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
    ):
        super().__init__()
        if pooling not in ("mean", "cls"):
            raise ValueError(f"model.pooling={pooling}: choose mean or cls")
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
        )
        self.blocks = nn.ModuleList([block(d_model, layer=layer) for layer in range(n_layers)])
        if pooling == "cls":
            self.blocks[-1].only_first = True
        self.norm = nn.LayerNorm(d_model)
        self.head = nn.Sequential(
            nn.Linear(d_model * (4 if documents == 2 else 1), d_ff),
            nn.ReLU(),
            nn.Linear(d_ff, num_classes),
        )

    def encode(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Encodes each sequence as one vector: ids (B, N), lengths (B,) -> (B, D)."""
        layers = [self.embedding, *self.blocks]
        if not on_cpu(ids):
            return self.read(*run(layers, ids, real(ids, lengths)))
        reading = [i for i, x in enumerate(layers) if not getattr(x, "ignores_padding", False)]
        free = reading[-1] + 1 if reading else 0  # the first of the layers that ignore padding
        order = lengths.argsort(descending=True, stable=True)
        x, mask = run(layers[:free], ids[order], real(ids, lengths[order]))
        n = mask.sum(1).clamp(min=1).tolist()
        sizes = parts(n)
        if len(sizes) == 1 and n[0] == x.shape[1]:  # nothing to leave out
            return self.read(*run(layers[free:], x, mask))[order.argsort()]
        encoded, start = [], 0
        for x, mask in zip(x.split(sizes), mask.split(sizes), strict=True):
            longest = n[start]
            encoded.append(self.read(*run(layers[free:], x[:, :longest], mask[:, :longest])))
            start += len(x)
        return torch.cat(encoded)[order.argsort()]

    def read(self, x: Tensor, mask: Tensor) -> Tensor:
        """Pools the encoder's output, (B, N, D) -> (B, D)."""
        if self.pooling == "cls":
            return self.norm(x[:, 0])
        return pool(self.norm(x), mask)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        u = self.encode(rearrange(ids, "b p n -> (b p) n"), rearrange(lengths, "b p -> (b p)"))
        if self.documents == 2:
            u, v = rearrange(u, "(b p) d -> p b d", p=2)
            u = torch.cat([u, v, u * v, u - v], dim=-1)
        return self.head(u)
