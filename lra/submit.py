"""Puts rows from elsewhere on the board: python -m lra.submit ROW.json ... origin="who, where"

[results.root=results]. ROW.json is what a run left under its results/runs/, with the predictions
(.npy) beside it. Everything that can be checked without training again is: the schema, that the
data set is known here, that the predictions give the claimed scores on its labels, that the
configuration is what the row says it is, and its parameter count. What does not hold is refused
with the reason; the rest is stored like our own, with its origin.
"""

import sys
from pathlib import Path

from lra import cli, config
from lra.errors import UserError
from lra.report.submit import add, check


def main() -> None:
    given, rest = cli.split(sys.argv[1:], {"origin": ""})
    origin = given["origin"].strip()
    paths = list(dict.fromkeys(Path(a) for a in rest if "=" not in a))
    overrides = [a for a in rest if "=" in a]
    if not paths or not origin:
        raise UserError(
            "Name the rows and who measured them: python -m lra.submit "
            'submissions/<you>/<row>.json origin="A. Person, github.com/..."'
        )
    root = Path(config.compose(overrides).results.path)
    checked = [(path, check(path, root)) for path in paths]  # all or none
    for path, row in checked:
        if row.dirty or row.commit is None:
            print(f"note: {path} was made by code with uncommitted changes.")
        print(f"added: {add(path, row, root, origin)}")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__))
