"""The pre-norm block of every model that keeps the sequence's length."""

from collections.abc import Callable

from torch import Tensor, nn

from models.dropout import Dropout


class Block(nn.Module):
    """Maps (x, mask) to (x, mask):  x += mixer(norm(x), mask);  x += mlp(norm(x)).

    `mixer` builds the mechanism, (x, mask) -> x. `layer` counts from 0; blocks that differ by depth
    read it.

    A mixer whose output at real tokens depends neither on the content of the padding nor on its
    amount says so by an attribute, ignores_padding = True: on CPU the classifier then leaves padding
    out (models/classifier.py).
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
        self.layer, self._only_first = layer, False
        self.norm1 = nn.LayerNorm(d_model)
        self.mixer = mixer(d_model)
        self.dropout = Dropout(dropout)
        self.norm2 = nn.LayerNorm(d_model)
        self.mlp = nn.Sequential(
            nn.Linear(d_model, d_ff),
            nn.GELU(),
            Dropout(dropout, inplace=True),
            nn.Linear(d_ff, d_model),
        )

    @property
    def only_first(self) -> bool:
        """True if only the first position's output is read: in the last block, where CLS is all
        that the head sees."""
        return self._only_first

    @only_first.setter
    def only_first(self, value: bool) -> None:
        self._only_first = value
        if hasattr(self.mixer, "only_first"):
            self.mixer.only_first = value

    @property
    def ignores_padding(self) -> bool:
        return getattr(self.mixer, "ignores_padding", False)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.rest(x, self.mixer(self.norm1(x), mask), mask)

    def rest(self, x: Tensor, mixed: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the mixer's output to x and runs the MLP, at the positions that are read."""
        if self.only_first:
            x, mixed, mask = x[:, :1], mixed[:, :1], mask[:, :1]
        x = self.dropout.add(x, mixed)
        return self.feed_forward(x), mask

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.dropout.add(x, self.mlp(self.norm2(x)))
