"""Withdraws a row of the board in the open: the row stays, with the reason, and enters no table.

python -m lra.withdraw results/board/runs/listops/fourier/<row>.json by="Ada L., github.com/ada" \
    why="trained on data with a wrong label"

Writes <row>.withdrawn.json beside the row: who withdrew it, when, and why. Tables, pictures and
ranks are then made without it, an earlier attempt at the same cell counts again, and the page lists
the row as withdrawn. To take it back, delete that file.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from lra import cli, config
from lra.errors import UserError
from lra.machine import ROOT
from lra.store import runs
from lra.store.row import Withdrawal

OWN = {
    "by": cli.Key("", "who withdraws it, and where to find that person"),
    "why": cli.Key("", "the reason, which the page shows"),
}
KEYS = OWN | {"results.board": cli.Key("results/board", "the board")}


def main() -> None:
    given, rest = cli.split(sys.argv[1:], OWN, free=True)
    names = [word for word in rest if "=" not in word]
    results = config.compose([word for word in rest if "=" in word]).results
    by, why = given["by"].strip(), given["why"].strip()
    if len(names) != 1 or not by or not why:
        raise UserError(
            "Name one row of the board, who withdraws it, and why: python -m lra.withdraw "
            'results/board/runs/<task>/<model>/<row>.json by="..." why="...".'
        )
    board = Path(results.board or ROOT / "results" / "board")
    path = Path(names[0])
    if path.suffix != ".json" or not path.exists():
        raise UserError(f"There is no row {path}.")
    row = runs.read(path)
    if row.root is None or row.root.resolve() != board.resolve():
        raise UserError(f"{path} is not on the board ({board}): a row of your own you may delete.")
    if row.withdrawn:
        raise UserError(f"{path} was withdrawn before, by {row.withdrawn.by}: {row.withdrawn.why}")
    when = datetime.now(UTC).date().isoformat()
    print(f"written: {runs.withdraw(path, Withdrawal(by=by, when=when, why=why))}")
    print("The board's tables: python -m lra.tables results.root=results/board")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
