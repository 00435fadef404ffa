"""Every table from the rows and nothing else: the same rows give the same bytes.

python -m lra.tables                               your rows (results/runs) beside the board's
python -m lra.tables task=listops protocol=lite    only these scores, printed and not written
python -m lra.tables modified=true                 modified rows, too
python -m lra.tables results.root=results/board    the board alone, and the README's short table

Prints the tables, and writes <results.root>/tables/: scores (each task by itself), papers (the
papers' accuracy tables, ours beside them), efficiency (speed and memory by length) and
summarization (tasks whose answers are texts), each as .md, .csv and .tex; tables.tex joins the
latter. A switch has a folder of its own, tables-modified/.
"""

import sys
from pathlib import Path

from omegaconf import DictConfig

from lra import cli, config
from lra.efficiency import records
from lra.errors import UserError
from lra.files import make_folder, replacing
from lra.machine import ROOT
from lra.report.groups import newest
from lra.report.inherited import belongs, concerns
from lra.report.tables import efficiency, papers, scores, short, summarization
from lra.report.tables.table import Document, latex_document
from lra.store import runs

SWITCHES = {
    "modified": cli.Key("false", "true lets rows in that differ from their protocol"),
    "verified_only": cli.Key("false", "true leaves out published figures not checked by reading"),
}
CHOICES = {
    "task": cli.Key("", "prints the scores of this task alone"),
    "protocol": cli.Key("", "prints the scores of this protocol alone"),
}
KEYS = CHOICES | SWITCHES | {"results.root": cli.ROOT_KEY}


def documents(results: DictConfig, modified: bool, verified_only: bool) -> list[Document]:
    """Returns every document of the rows and measurements of one's own store and the board."""
    every = newest(runs.read_both(results))
    chosen = [row for row in every if modified or not row.modified]
    measurements = records.read_both(results)
    made = []
    texts = [row for row in every if concerns(row)]
    chosen = [row for row in chosen if row not in texts]
    if chosen:
        made += [scores.document(chosen), papers.document(chosen, verified_only)]
    texts = [row for row in texts if modified or belongs(row)]
    families = [m for m in measurements if not m.arena]
    if texts or families:
        made.append(summarization.document(texts, families, verified_only))
    if arena := [m for m in measurements if m.arena]:
        made.append(efficiency.document(arena, verified_only))
    return made


def show_some(results: DictConfig, given: dict[str, str], modified: bool) -> None:
    """Prints the scores of one task or protocol."""
    rows = [row for row in newest(runs.read_both(results)) if modified or not row.modified]
    for key in CHOICES:
        if given[key]:
            cli.choice(given, key, {getattr(row, key) for row in rows})
            rows = [row for row in rows if getattr(row, key) == given[key]]
    if not rows:
        raise UserError(f"There are no rows of task={given['task']} protocol={given['protocol']}.")
    scores.document(rows).show()


def main() -> None:
    given, overrides = cli.split(sys.argv[1:], CHOICES | SWITCHES)
    cli.only_results(overrides)
    switches = {key: cli.truth(given, key) for key in SWITCHES}
    results = config.compose(overrides).results
    path = Path(results.path)
    if given["task"] or given["protocol"]:
        return show_some(results, given, switches["modified"])
    made = documents(results, **switches)
    if not made:
        hint = "" if switches["modified"] else " (modified=true shows the others)"
        kind = "finished" if switches["modified"] else "finished conforming"
        raise UserError(f"There are no {kind} rows in {path / 'runs'}{hint}.")
    if path.resolve() == ROOT / "results" / "board" and not any(switches.values()):
        chosen = [row for row in newest(runs.read_all(path)) if not row.modified]
        short.put(short.table(chosen, records.read_all(path)), ROOT / "README.md")
    # what was switched on goes elsewhere: the tables are those of the conforming rows
    folder = make_folder(path / "-".join(["tables", *(key for key in SWITCHES if switches[key])]))
    for document in made:
        document.show()
        print("written:", *document.write(folder))
    with replacing(folder / "tables.tex") as temporary:
        temporary.write_text(latex_document([document.name for document in made]), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
