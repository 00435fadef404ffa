"""Rows of tasks whose answers are texts, and of models that can begin with pretrained weights.

The arena's tables leave these rows out. Their own table, picture and lines of the page compare the
settings of the filter and the first weights, also where these alone differ from the protocol.
"""

from lra import config
from lra.store.row import Row

FILTER = ("keep_ratio", "filter_layers", "restore", "padding")
TOLD = {"init", *(f"model.{key}" for key in FILTER)}  # told by `filtered` and `begins`


def concerns(row: Row) -> bool:
    """Returns whether a row's answers are texts, or its model is one of a pretrained family."""
    return row.task in config.text_tasks() or config.family(row.model) is not None


def belongs(row: Row) -> bool:
    """Returns whether a row concerns these tables and differs from its protocol by its filter and
    first weights alone, if at all."""
    return concerns(row) and set(row.modified) <= TOLD


def filtered(row: Row) -> str:
    """Returns the filter's setting, `keep 0.5, restore none`; empty without a filter."""
    model = row.config["model"]
    told = [("keep", "keep_ratio"), ("restore", "restore")]
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, key in told
        if (value := model.get(key)) is not None
    )


def begins(row: Row) -> str:
    """Returns the weights that a run began with: `random weights`, or `pretrained 0123abcd`."""
    if row.inherited is None or row.inherited.sha256 is None:
        return "random weights"
    return f"pretrained {row.inherited.sha256[:8]}"


def setting(row: Row) -> str:
    """Returns the filter's setting and the first weights in one."""
    return ", ".join(filter(None, [filtered(row), begins(row)]))
