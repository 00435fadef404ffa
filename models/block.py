"""The pre-norm block of every model that keeps the sequence's length."""

from collections.abc import Callable

from torch import Tensor, nn

from models.dropout import Dropout


class Block(nn.Module):
    """Maps (x, mask) to (x, mask):  x += mixer(norm(x), mask);  x += mlp(norm(x)).

    `mixer` builds the mechanism, (x, mask) -> x. `layer` counts from 0; blocks that differ by depth
    read it.
    """

    def __init__(
        self,
        d_model: int,
        *,
        layer: int,
        mixer: Callable[..., nn.Module],
        d_ff: int,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.layer = layer
        self.norm1 = nn.LayerNorm(d_model)
        self.mixer = mixer(d_model)
        self.dropout = Dropout(dropout)
        self.norm2 = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, d_ff),
            nn.GELU(),
            Dropout(dropout),
            nn.Linear(d_ff, d_model),
            Dropout(dropout),
        )

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x = x + self.dropout(self.mixer(self.norm1(x), mask))
        return x + self.mlp(self.norm2(x)), mask
