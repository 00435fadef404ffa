"""The colour and the marker of each model, the same in every picture and chart.

The first eight colours are Okabe and Ito's, black replaced by grey, which shows on dark paper too;
the others are Tol's. Dashes tell the second dozen of models from the first, and markers tell lines
apart where there is no colour.
"""

from typing import NamedTuple
from zlib import crc32

from lra.report.groups import YOURS

COLOURS = ["#0072B2", "#7F7F7F", "#E69F00", "#009E73", "#D55E00", "#CC79A7"]
COLOURS += ["#56B4E9", "#8C8C00", "#882255", "#44AA99", "#332288", "#AA4499"]
MARKERS = [  # of matplotlib and of plotly
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
    ("<", "triangle-left"),
    (">", "triangle-right"),
    ("*", "star"),
    ("h", "hexagon"),
]
# A new model goes to the end, so that no other changes its colour.
MODELS = [
    *("fourier", "transformer", "performer", "luna", "local", "linear_transformer", "fnet", "s4d"),
    *("mega", "lru", "bigbird", "linformer", "nystromformer", "longformer", "skyformer", "sparse"),
    *("reformer", "cosformer", "sinkhorn", "synthesizer", "informer", "kernelized"),
    *("bart", "fourier_bart", "encoder", "fourier_encoder"),
    *("s4", "s5", "sgconv", "rtf", "longconv", "conv", "flowformer", "hrrformer"),
    "rotary_transformer",
]


class Style(NamedTuple):
    colour: str
    marker: str  # matplotlib's name
    symbol: str  # plotly's
    dashed: bool  # the lines of models beyond the first len(COLOURS)


def style(name: str) -> Style:
    """Returns the style of a model, or of any other name, by a table's or a picture's name."""
    name = name.removesuffix(YOURS)
    i = MODELS.index(name) if name in MODELS else crc32(name.encode())
    marker, symbol = MARKERS[i % len(MARKERS)]
    return Style(COLOURS[i % len(COLOURS)], marker, symbol, dashed=i // len(COLOURS) % 2 == 1)
