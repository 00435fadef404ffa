"""Every table from the rows and nothing else: the same rows give the same bytes.

python -m lra.tables [results.root=results] [modified=true] [verified_only=true]

Prints them, and writes <results.path>/tables/: scores (each task by itself), papers (the papers'
accuracy tables, ours beside them) and efficiency (speed and memory by length), each as .md, .csv
and .tex; tables.tex joins the latter. Also the short table at the top of the README.
modified=true lets modified rows in, verified_only=true leaves out published figures that were not
checked against the paper; what they give goes to tables-modified/, tables-verified_only/.
"""

import sys
from pathlib import Path

from lra import cli, config
from lra.efficiency import records
from lra.errors import UserError
from lra.files import make_folder, replacing
from lra.machine import ROOT
from lra.report.groups import newest
from lra.report.tables import efficiency, papers, scores, short
from lra.report.tables.table import Document, latex_document
from lra.store import runs

SWITCHES = ("modified", "verified_only")


def documents(path: Path, modified: bool = False, verified_only: bool = False) -> list[Document]:
    """Returns every document of the rows and measurements below `path`."""
    every = newest(runs.read_all(path))
    chosen = [row for row in every if modified or not row.modified]
    measurements = records.read_all(path)
    made = []
    if chosen:
        made += [scores.document(chosen, path), papers.document(chosen, verified_only)]
    if measurements:
        made.append(efficiency.document(measurements, verified_only))
    return made


def main() -> None:
    given, overrides = cli.split(sys.argv[1:], dict.fromkeys(SWITCHES, "false"))
    switches = {key: cli.truth(given, key) for key in SWITCHES}
    path = Path(config.compose(overrides).results.path)
    made = documents(path, **switches)
    if not made:
        hint = "" if switches["modified"] else " (modified=true shows the others)"
        kind = "finished" if switches["modified"] else "finished conforming"
        raise UserError(f"There are no {kind} rows in {path / 'runs'}{hint}.")
    if path.resolve() == ROOT / "results" and not any(switches.values()):
        chosen = [row for row in newest(runs.read_all(path)) if not row.modified]
        short.put(short.table(chosen, records.read_all(path)), ROOT / "README.md")
    # what was switched on goes elsewhere: the tables are those of the conforming rows
    folder = make_folder(path / "-".join(["tables", *(key for key in SWITCHES if switches[key])]))
    for document in made:
        document.show()
        print("written:", *document.write(folder))
    with replacing(folder / "tables.tex") as temporary:
        temporary.write_text(latex_document([document.name for document in made]))


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__))
