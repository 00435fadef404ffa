"""The block of every model that keeps the sequence's length."""

from collections.abc import Callable
from contextlib import nullcontext

from torch import Tensor, nn

from models.dropout import Dropout
from models.norm import norm as make_norm
from models.parts import Part, cut_like, joined


class Block(nn.Module):
    """Maps (x, mask) to (x, mask):  x += mixer(norm(x), mask);  x += mlp(norm(x)).

    With prenorm=False the norms follow the sums: x = norm(x + mixer(x, mask)). With mlp=False the
    block ends there. tied_dropout drops a channel at all positions of a sequence or at none.

    `mixer` builds the mechanism, (x, mask) -> x. `layer` counts from 0; blocks that differ by depth
    read it.

    Padding costs as much time as tokens, so a mixer says how much of it changes its output at real
    tokens, by an attribute padding_seen: "none", "amount" (the mixer zeroes it, but its length
    counts), or "content", which is assumed where the attribute is missing. A block with a forward
    of its own may see more than its mixer does: it says so too, or that it does not (None).
    """

    padding_seen: str | None = None  # None: as much as the mixer

    def __init_subclass__(cls) -> None:
        if "forward" in cls.__dict__ and "padding_seen" not in cls.__dict__:
            cls.padding_seen = "content"

    def __init__(
        self,
        d_model: int,
        *,
        layer: int,
        mixer: Callable[..., nn.Module],
        d_ff: int,
        dropout: float = 0.0,
        norm: str = "layer",
        prenorm: bool = True,
        mlp: bool = True,
        tied_dropout: bool = False,
    ):
        super().__init__()
        self.layer, self._only_first = layer, False
        self.prenorm, self.over_batch = prenorm, norm == "batch"
        self.norm1 = make_norm(norm, d_model)
        self.mixer = mixer(d_model)
        if self.padding_seen is None:
            self.padding_seen = getattr(self.mixer, "padding_seen", "content")
        if self.over_batch:  # parts of a batch would have statistics of their own
            self.padding_seen = "content"
        self.dropout = Dropout(dropout, tied=tied_dropout)
        self.mlp: nn.Module | None = None
        if mlp:
            self.norm2 = make_norm(norm, d_model)
            self.mlp = nn.Sequential(
                nn.Linear(d_model, d_ff),
                nn.GELU(),
                Dropout(dropout, inplace=True, tied=tied_dropout),
                nn.Linear(d_ff, d_model),
            )

    @property
    def only_first(self) -> bool:
        """True if only the first position's output is read: in the last block, where CLS is all
        that the head sees."""
        return self._only_first

    @only_first.setter
    def only_first(self, value: bool) -> None:
        if self.over_batch:
            return  # its statistics are those of all positions
        self._only_first = value
        if hasattr(self.mixer, "only_first"):
            setattr(self.mixer, "only_first", value)  # noqa: B010 (mypy: a module, or a tensor)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.rest(x, self.mixer(self.before(x, mask), mask), mask)

    def over_parts(self, parts: list[Part], N: int) -> tuple[list[Part], int]:
        """Returns the same as forward, of a batch in parts (models/parts.py) that is N long when
        joined, and the length N after the block. Only for a block that sees no padding's content.
        """
        if self.padding_seen == "none":
            longest = parts[0][0].shape[1]
            with getattr(self.mixer, "up_to", nullcontext)(longest):  # its kernels, say
                return [self(x, mask) for x, mask in parts], N
        x, mask = joined([(self.before(x, mask), mask) for x, mask in parts], N)
        mixed = cut_like(parts, self.mixer(x, mask))
        return [self.rest(x, y, m) for (x, m), y in zip(parts, mixed, strict=True)], N

    def before(self, x: Tensor, mask: Tensor) -> Tensor:
        """Returns the mixer's input."""
        return self.norm1(x, mask) if self.prenorm else x

    def rest(self, x: Tensor, mixed: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Adds the mixer's output to x and runs the MLP, at the positions that are read."""
        if self.only_first:
            x, mixed, mask = x[:, :1], mixed[:, :1], mask[:, :1]
        x = self.dropout.add(x, mixed)
        return self.feed_forward(x if self.prenorm else self.norm1(x, mask), mask), mask

    def feed_forward(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.mlp is None:
            return x
        if self.prenorm:
            return self.dropout.add(x, self.mlp(self.norm2(x, mask)))
        return self.norm2(self.dropout.add(x, self.mlp(x)), mask)
