"""A table of texts, and its ways onto paper: Markdown, LaTeX, CSV and the terminal."""

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from lra.files import replacing

# style of a cell -> (Markdown, CSS, from which pandas makes LaTeX, rich)
STYLES = {
    "": ("{}", "", ""),
    "recalled": ("*{}*", "font-style: italic", "italic dim"),
    "outside": ("**{}**", "font-weight: bold", "bold"),
}


@dataclass
class Table:
    """frame holds texts; styles, of the same shape, names of STYLES. long: the same as numbers, for
    the CSV file. terminal: the columns for a terminal, the most important first; None: all, in
    order."""

    title: str
    frame: pd.DataFrame
    styles: pd.DataFrame | None = None
    long: pd.DataFrame | None = None
    terminal: list[str] | None = None

    def fitting(self, width: int) -> list[str]:
        """Returns the columns for a terminal of this width, in the order of the frame: the least
        important ones are left out, whole, until the rest fits. The first column may wrap."""
        chosen = list(self.terminal or self.frame.columns)
        while len(chosen) > 2 and self.needs(chosen) > width:
            chosen.pop()
        return [column for column in self.frame.columns if column in chosen]

    def needs(self, columns: list[str]) -> int:
        """Returns the characters of a line, borders included."""
        return 1 + sum(3 + self._width(column) for column in columns)

    def _width(self, column: str) -> int:
        longest = max(map(len, [column, *self.frame[column]]))
        return min(longest, self.wrapping.get(column, longest))

    @property
    def wrapping(self) -> dict[str, int]:
        """The columns of words, which may wrap, with the width that they get at least."""
        first = self.terminal[0] if self.terminal else self.frame.columns[0]
        return {"": 14, first: 18} if "" in self.frame.columns else {first: 28}

    def style(self, line: int, column: str) -> str:
        return "" if self.styles is None else self.styles[column].iloc[line]


@dataclass
class Document:
    """Tables of one kind with the notes that belong to them: <name>.md, .csv and .tex."""

    name: str
    tables: list[Table]
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        text = "<!-- written by python -m lra.tables; do not edit -->\n"
        for table in self.tables:
            columns = list(table.frame.columns)
            text += f"\n## {_markdown(table.title)}\n\n"
            text += (
                "| " + " | ".join(map(_markdown, columns)) + " |\n|" + "---|" * len(columns) + "\n"
            )
            for i, line in enumerate(table.frame.itertuples(index=False)):
                cells = [
                    STYLES[table.style(i, column)][0].format(_markdown(cell))
                    for column, cell in zip(columns, line, strict=True)
                ]
                text += "| " + " | ".join(cells) + " |\n"
        return text + "".join(f"\n- {_markdown(note)}" for note in self.notes) + "\n"

    def csv(self) -> str:
        frames = [
            (table.frame if table.long is None else table.long).assign(table=table.title)
            for table in self.tables
        ]
        return pd.concat(frames).to_csv(index=False) if frames else ""

    def latex(self) -> str:
        r"""Returns the text for \input; it needs booktabs, and adjustbox to fit the page."""
        text = "% written by python -m lra.tables; do not edit\n"
        for i, table in enumerate(self.tables):
            if i % 10 == 9:
                text += "\n\\clearpage\n"  # LaTeX keeps no more than 52 floats waiting
            styler = table.frame.map(_latin).style.hide(axis="index").format(escape="latex")
            styler = styler.format_index(escape="latex", axis="columns")
            if table.styles is not None:
                css = table.styles.map(lambda style: STYLES[style][1])
                styler = styler.apply(lambda _, css=css: css, axis=None)
            tabular = styler.to_latex(
                hrules=True, convert_css=True, column_format="l" * len(table.frame.columns)
            )
            text += "\n\\begin{table}[p]\n\\centering\n"
            text += f"\\caption{{{_latex(table.title)}}}\n"
            text += "\\begin{adjustbox}{max width=\\linewidth, max totalheight=0.9\\textheight}\n"
            # the \\\\ at the end of a line would take a bracket after it for its argument
            tabular = re.sub(r"(?m)^\[", "{[}", tabular)
            text += tabular + "\\end{adjustbox}\n\\end{table}\n"
        notes = "".join(f"\\item {{}}{_latex(note)}\n" for note in self.notes)
        return text + (
            f"\n\\clearpage\n\\begin{{itemize}}\n{notes}\\end{{itemize}}\n" if notes else ""
        )

    def write(self, folder: Path) -> list[Path]:
        paths = []
        for ending, text in (("md", self.markdown()), ("csv", self.csv()), ("tex", self.latex())):
            path = folder / f"{self.name}.{ending}"
            with replacing(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            paths.append(path)
        return paths

    def show(self) -> None:
        sized = sys.stdout.isatty() or "COLUMNS" in os.environ
        console = Console(width=None if sized else 200)
        for table in self.tables:
            view = RichTable(title=escape(table.title), title_justify="left")
            columns = table.fitting(console.width)
            for column in columns:
                if column in table.wrapping:
                    view.add_column(escape(column), overflow="fold", min_width=8)
                else:
                    view.add_column(escape(column), justify="right", no_wrap=True, overflow="fold")
            for i, line in enumerate(table.frame[columns].itertuples(index=False, name=None)):
                view.add_row(
                    *(
                        f"[{s}]{escape(cell)}[/]"
                        if (s := STYLES[table.style(i, c)][2])
                        else escape(cell)
                        for c, cell in zip(columns, line, strict=True)
                    )
                )
            # on a terminal too narrow for two columns the line goes on below: no number is cut
            Console(width=max(console.width, table.needs(columns))).print(view)
            known = table.terminal or list(table.frame.columns)
            if out := [column for column in known if column not in columns]:
                print(f"left out, for want of width: {', '.join(filter(None, out))}")
        for note in self.notes:
            console.print(f"- {note}", markup=False)


def _markdown(text: str) -> str:
    """Returns the text without markup, HTML or line ends."""
    text = re.sub(r"([\\|*`\[\]])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _latex(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {c: f"\\{c}" for c in "&%$#_{}"}
    return "".join(special.get(c, c) for c in _latin(text))


def _latin(text: str) -> str:
    """Returns the text with a ? for every letter that would stop pdflatex."""
    line = " ".join(text.split())
    return "".join(c if c < "\u0180" and c.isprintable() else "?" for c in line)


LATEX_DOCUMENT = r"""% pdflatex tables.tex
% written by python -m lra.tables; do not edit
\documentclass[a4paper,landscape]{article}
\usepackage[T1]{fontenc}
\usepackage[margin=15mm]{geometry}
\usepackage{booktabs,adjustbox}
\begin{document}
"""


def latex_document(names: list[str]) -> str:
    """A page to look at all of them."""
    return (
        LATEX_DOCUMENT
        + "".join(f"\\input{{{n}}}\n\\clearpage\n" for n in names)
        + "\\end{document}\n"
    )
