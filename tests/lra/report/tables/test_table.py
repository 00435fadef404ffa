import pandas as pd
import pytest

from lra.report.tables.table import Document, Table

NASTY = "50 % of a_b & c | {d} #1 $x$ ~ \\ ^ <b>*`[x](y)"


def document() -> Document:
    frame = pd.DataFrame({"model": [NASTY, "b"], "x": ["1", "2"]})
    styles = pd.DataFrame({"model": ["", ""], "x": ["recalled", "outside"]})
    return Document("name", [Table(NASTY, frame, styles)], [NASTY])


def test_markdown_escapes_and_styles():
    text = document().markdown()
    assert r"| 50 % of a_b &amp; c \| {d} #1 $x$ ~ \\ ^ &lt;b>\*\`\[x\](y) | *1* |" in text
    assert "<b>" not in text
    assert "| b | **2** |" in text


def test_latex_escapes_and_styles():
    text = document().latex()
    assert r"50 \% of a\_b \& c | \{d\} \#1 \$x\$" in text
    assert r"\itshape 1" in text
    assert r"\bfseries 2" in text
    assert r"\toprule" in text
    assert r"\bottomrule" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1


def test_latex_has_letters_for_every_name():
    frame = pd.DataFrame({"model": ["fnet (submitted by José Łoś 张三 \u0391)"]})
    text = Document("name", [Table("张", frame)] * 60, ["三"]).latex()
    assert "José Łoś ?? ?" in text
    assert not any(c > "\u017f" for c in text)
    floats = [part.count("begin{table}") for part in text.split("clearpage")]
    assert max(floats) <= 18  # of TeX before 2015


def test_a_line_that_starts_with_a_bracket_is_no_argument_of_the_one_before():
    frame = pd.DataFrame({"model": ["a", "[rule]"], "x": ["1", "2"]})
    text = Document("name", [Table("t", frame)]).latex()
    assert "\n{[}rule] & 2" in text


def test_a_text_of_two_lines_stays_in_its_line():
    frame = pd.DataFrame({"model": ["a\nb"]})
    assert "| a b |" in Document("name", [Table("t", frame)]).markdown()


def test_csv_holds_the_numbers_where_there_are_some():
    made = document()
    made.tables.append(Table("t", pd.DataFrame({"x": ["1.0"]}), long=pd.DataFrame({"x": [1.25]})))
    assert "1.25" in made.csv()
    assert NASTY in made.csv()


def test_files_are_named_after_the_document(tmp_path):
    paths = document().write(tmp_path)
    assert [path.name for path in paths] == ["name.md", "name.csv", "name.tex"]
    assert paths[2].read_text() == document().latex()


def test_the_terminal_shows_text_as_it_is(capsys):
    made = document()
    made.tables[0].frame["model"] = ["[red]a", "b"]
    made.show()
    assert "[red]a" in capsys.readouterr().out


@pytest.fixture
def wide():
    names = ["a model", "[a rule with a name of more than forty letters]"]
    frame = pd.DataFrame({"rank": ["1", "-"], "model": names})
    for column in ("test", "interval", "speed"):
        frame[column] = ["12,345.678", "9.99"]
    return Table("t", frame, terminal=["model", "test", "interval", "speed", "rank"])


def shown(table, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    Document("d", [table]).show()
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_a_terminal_shows_whole_columns_and_no_cut_number(wide, width, monkeypatch, capsys):
    text = shown(wide, width, monkeypatch, capsys)
    kept = wide.fitting(width)
    assert "\u2026" not in text
    assert text.count("12,345.678") == len({"test", "interval", "speed"} & set(kept))
    if width >= 60:
        assert max(map(len, text.splitlines())) <= width
    left_out = [column for column in wide.terminal if column not in kept]
    assert ("left out, for want of width: " + ", ".join(left_out) in text) == bool(left_out)


def test_the_least_important_columns_go_first(wide):
    widths = [len(wide.fitting(width)) for width in range(10, 130)]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (2, 5)
    assert set(wide.fitting(1)) == {"model", "test"}
    for width in range(10, 130):
        kept = set(wide.fitting(width))
        assert kept == set(wide.terminal[: len(kept)])
