"""The certificate of a model: the proofs that its tests give when they run.

python -m lra.check model=performer      one model, with the reason for whatever is not proven
python -m lra.check models=all           all of them, and results/certificate.md, .json
"""

import re
import sys
from pathlib import Path

from lra import cli
from lra.certificate import FAILS, certify, named, show, table, write
from lra.errors import UserError

KEYS = {
    "model": cli.Key("", "one model, or several between commas"),
    "models": cli.Key("", "the same; all: every model"),
}


def main() -> None:
    arguments = sys.argv[1:]
    match = re.fullmatch(r"models?=(\S+)", arguments[0]) if len(arguments) == 1 else None
    if not match:
        raise UserError("Name the models: python -m lra.check model=performer, or models=all.")
    frame, reasons = table(certify(named(match[1])))
    if match[1] == "all":
        write(frame, reasons, Path("results"))
    else:
        show(frame, reasons)
    if frame.map(lambda cell: cell == FAILS).any(axis=None):
        raise UserError("A model does not do what it should: see FAILS above.")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
