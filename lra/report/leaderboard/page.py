"""Renders the page: the tables as plain HTML, the rest compressed into it, plotly included."""

import base64
import gzip
import json
from pathlib import Path
from typing import NamedTuple

import plotly
from jinja2 import Environment, FileSystemLoader

from lra.report.leaderboard import lines as origins
from lra.report.references import harness

HERE = Path(__file__).parent
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
FEW = 300  # lines that a browser lays out at first
HERE_MEASURED = "here"  # the choice of all sources but published figures and withdrawn rows


class Column(NamedTuple):
    """A column of the table. kind: how it sorts; hidden_below: a page width in pixels, below which
    the model's cell says it instead, or nothing does until a reader asks for the column."""

    key: str
    kind: str = "text"
    heading: str = ""
    form: str = "{}"
    hidden_below: int = 0

    def said(self, line: dict) -> str:
        value = line[self.key]
        return "-" if value in (None, "") else self.form.format(value)


COLUMNS = [
    Column("rank", "number"),
    Column("model"),
    Column("task"),
    Column("variant", hidden_below=800),
    Column("protocol", hidden_below=800),
    Column("shown", "number"),
    Column("interval", "number", "95 % interval"),
    Column("badges", ""),
    Column("seeds", "number", hidden_below=800),
    Column("parameters", "number", "", "{:,}", hidden_below=1000),
    Column("speed", "number", "train examples/s", "{:.0f}", hidden_below=800),
    Column("memory", "number", "peak MB", "{:,.0f}", hidden_below=800),
    Column("device", hidden_below=1600),  # the provenance shows it too
    Column("origin", heading="source", hidden_below=800),
]
FILTERS = ["protocol", "task", "variant", "origin", "matched", "device"]


def packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()


def page(lines: list[dict], charts: dict) -> str:
    """Returns the page's HTML. lines and charts: as lines.py makes them."""
    lines = sorted(lines, key=_order)
    grids = origins.grids(lines)
    metrics = {line["metric"] for line in lines}
    columns = [
        column._replace(heading=_heading(metrics)) if column.key == "shown" else column
        for column in COLUMNS
    ]
    choices = {key: sorted({line[key] for line in lines if line[key]}) for key in FILTERS}
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        lines=lines,
        grids=grids,
        columns=columns,
        badge_kind=badge_kind,
        choices=choices,
        usual=grids[0]["protocol"] if grids else "",
        here=HERE_MEASURED if any(map(measured_here, lines)) else "",
        measured_here=measured_here,
        css=(HERE / "page.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        few=FEW,
        cite=harness(),
        provenance=packed(_json([line["provenance"] for line in lines])),
        charts=packed(_json(charts)),
        plotly=packed(PLOTLY.read_bytes()),
    )


def measured_here(line: dict) -> bool:
    return line["origin"] not in (origins.PUBLISHED, origins.WITHDRAWN)


def _heading(metrics: set[str]) -> str:
    """Returns the metric that all lines share; else `score`, since the task tells the metric."""
    return metrics.pop() if len(metrics) == 1 else "score"


def badge_kind(badge: str) -> str:
    """Returns good for praise, plain for a description, and doubt for all else. A narrow page shows
    the doubts alone."""
    if badge in ("size-matched", "certificate"):
        return "good"
    return "plain" if badge in ("dense", "submitted") or badge.startswith("chosen") else "doubt"


def _json(values) -> bytes:
    return json.dumps(values, separators=(",", ":"), allow_nan=False).encode()


def _order(line: dict) -> tuple:
    """Returns the sort key: measured lines first, then task by task, the best on top."""
    place = line["protocol"], line["task"], line["variant"], line["metric"]
    return not measured_here(line), line["origin"], *place, line["order"], line["model"]
