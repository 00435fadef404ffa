"""Puts rows on the board (results/board). There is no other way, for submitters and maintainers.

python -m lra.submit submissions/ada/fourier.json origin="Ada L., github.com/ada"
python -m lra.submit results/runs maintainer=true
python -m lra.submit results/efficiency maintainer=true

A row is a .json file that a run left in its results/runs/, with the predictions beside it. A folder
stands for the newest finished conforming attempt of each of its cells that the board lacks. The
command checks everything that can be checked without training again: the schema, the data set, the
scores (from the predictions and the labels), the configuration (composed again), and the parameter
count. It refuses a row that fails a check, with the reason, and then adds none. Only maintainers
add measurements of speed (results/efficiency), in which nothing can be checked.
"""

import sys
from pathlib import Path

from lra import cli, config
from lra.efficiency import records
from lra.errors import UserError
from lra.machine import ROOT
from lra.report.submit import Stores, add, check, measurements, paths

OWN = {
    "origin": cli.Key("", "the submitter, and where to find that person"),
    "maintainer": cli.Key("false", "true: the rows are the maintainers' own"),
}
KEYS = OWN | {
    "results.root": cli.Key("results", "your store, whose labels are known, too"),
    "results.board": cli.Key("results/board", "the board"),
}


def main() -> None:
    given, rest = cli.split(sys.argv[1:], OWN, free=True)
    origin, maintainer = given["origin"].strip(), cli.truth(given, "maintainer")
    names = list(dict.fromkeys(word for word in rest if "=" not in word))
    results = config.compose([word for word in rest if "=" in word]).results
    if not names or bool(origin) == maintainer:
        raise UserError(
            "Name the rows and who measured them: python -m lra.submit "
            'submissions/<you>/<row>.json origin="A. Person, github.com/..." '
            "(or maintainer=true)."
        )
    board = Path(results.board or ROOT / "results" / "board")
    stores = Stores(board=board, own=Path(results.path))
    lab = measurements(names)
    if lab and not maintainer:
        raise UserError("Measurements of speed cannot be checked: a maintainer adds them.")
    rows = [path for name in names if name not in lab for path in paths(name, stores)]
    checked = [(path, check(path, stores)) for path in rows]  # all or none
    for path, row in checked:
        if row.dirty or row.commit is None:
            print(f"note: {path} was made by code with uncommitted changes.")
        print(f"added: {add(path, row, stores, origin or None)}")
    for measurement in (m for found in lab.values() for m in found):
        print(f"added: {records.write(board, measurement)}")
    if not checked and not lab:
        print("Nothing new: every finished row of these folders is on the board.")
    else:
        print("The board's tables: python -m lra.tables results.root=results/board")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
