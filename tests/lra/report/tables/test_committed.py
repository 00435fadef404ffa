import pytest
from omegaconf import OmegaConf

from lra.efficiency import records
from lra.report.groups import newest
from lra.report.tables import short
from lra.report.tables.table import latex_document
from lra.store import runs
from lra.tables import documents
from tests.conftest import ROOT

BOARD = ROOT / "results/board"


@pytest.fixture(scope="module")
def made():
    results = OmegaConf.create({"path": str(BOARD), "board": None})
    return documents(results, modified=False, verified_only=False)


def test_the_committed_tables_are_those_of_the_committed_rows(made):
    folder = BOARD / "tables"
    for document in made:
        assert (folder / f"{document.name}.md").read_text() == document.markdown()
        assert (folder / f"{document.name}.csv").read_text() == document.csv()
        assert (folder / f"{document.name}.tex").read_text() == document.latex()
    names = [document.name for document in made]
    assert names == ["scores", "papers", "summarization", "efficiency"], (
        "rows or measurements are gone"
    )
    assert (folder / "tables.tex").read_text() == latex_document(names)


def test_the_readme_opens_with_the_short_table():
    chosen = [row for row in newest(runs.read_all(BOARD)) if not row.modified]
    text = short.table(chosen, records.read_all(BOARD))
    assert text.count("\n") > 3
    before, after = (ROOT / "README.md").read_text().split(short.START)
    assert after.startswith(f"\n{text}\n{short.END}")
    assert "results/board/figures/trade_off.png" in before


def test_the_predictions_of_every_committed_row_are_there(made):
    for table in made[0].tables:
        models = table.frame[~table.frame["model"].str.startswith("[")]
        assert len(models) == 1 or "-" not in set(models["rank"]), table.title
