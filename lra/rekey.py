"""Rewrites rows and measurements of older versions once, under their cells' names of today.

python -m lra.rekey [FOLDER ...]       default: results, results/board, results/tuning

Readers understand old rows wherever they meet them (lra/store/row.py), but a run looks for its own
under the name of its cell: rewritten, a finished cell of before counts as done. Its predictions and
curve move with the row. Nothing is lost when the command is stopped; it goes on where it was.
"""

import json
import sys
from pathlib import Path

from lra import cli
from lra.efficiency import records
from lra.errors import UserError
from lra.store import runs


def rekey_rows(root: Path) -> int:
    """Rewrites the rows below `root`; returns how many."""
    count = 0
    contents = {path: json.loads(path.read_bytes()) for path in root.glob("runs/**/*.json")}
    old = [path for path, content in contents.items() if content.get("schema_version") == 1]
    for path in sorted(old, key=lambda path: (contents[path]["finished"], path)):
        row, curve = runs.read(path), path.with_suffix(".csv")
        times = row.started, row.finished
        written = [(r.started, r.finished) for r, _ in runs.read_cell(path.parent, row.cell)]
        if times not in written:  # else a kill came before the old one was removed
            runs.write(
                path.parent,
                row,
                runs.read_values(path),
                runs.parse_curve(curve) if curve.exists() else None,
            )
        for ending in (".json", ".npy", ".csv"):
            path.with_suffix(ending).unlink(missing_ok=True)
        count += 1
    return count


def rekey_measurements(root: Path) -> int:
    """Rewrites the measurements below `root`; returns how many."""
    count = 0
    for path in sorted(root.glob("efficiency/*/*.json")):
        content = json.loads(path.read_bytes())
        if content.get("schema_version") == 1:
            records.write(root, records.Measurement.model_validate(records.upgraded(content)))
            path.unlink()
            count += 1
    return count


def main() -> None:
    roots = [Path(argument) for argument in sys.argv[1:]] or [
        Path("results"),
        Path("results/board"),
        Path("results/tuning"),
    ]
    for root in roots:
        if not root.is_dir():
            raise UserError(f"There is no folder {root}: name a results folder.")
        print(f"{root}: {rekey_rows(root)} rows, {rekey_measurements(root)} measurements")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__))
