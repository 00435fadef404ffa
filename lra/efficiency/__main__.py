"""Speed and memory of every model by length, on bytes of text, as in LRA's Table 2.

python -m lra.efficiency models=all lengths=1024,2048,3072,4096 batch=32
python -m lra.efficiency models=fourier,performer lengths=4096 trainer=gpu precision=bf16-mixed

Any key of run.py may follow, for all models. fourier+performer is performer behind the Fourier
filter. The transformer is always measured twice: on torch's fused kernel, and with the N x N matrix
in memory, as the papers compared with.

Each cell (model, length) is measured by processes of its own: one for time in each round, and one
for memory and operations, which no load changes, in the first. A round goes through all models
before the next begins, so that a drift of the machine hits all of them. More than `memory` of the
machine's memory or more than `seconds` is a result. The measurements are the only ledger: typed
again, the command goes on where it was stopped. rerun=disturbed measures again what was measured
while other processes kept the machine busy; to begin anew, delete <results.path>/efficiency/.
"""

import platform
import sys
from pathlib import Path

from lra import cli
from lra.efficiency.lab import Cell, Lab, Limits, changing, compose, memory_of_machine, named
from lra.errors import UserError
from lra.store.cell import must_not_be_board
from lra.store.claim import Claim

OWN = {
    "models": cli.Key("all", "names between commas"),
    "lengths": cli.Key("1024,2048,3072,4096", "bytes of text"),
    "batch": cli.Key("32", "examples of a step"),
    "rounds": cli.Key("3", "times that every cell is measured"),
    "steps": cli.Key("5", "timed steps of a round"),
    "seconds": cli.Key("180", "after which a cell is a timeout"),
    "memory": cli.Key("0.6", "share of the machine's memory above which a cell is oom"),
    "compile": cli.Key("false", "true: torch.compile, with the time that compiling takes"),
    "rerun": cli.Key("none", "disturbed: measure again what ran beside other work"),
}
KEYS = OWN | {"results.root": cli.ROOT_KEY}


def main() -> None:
    given, overrides = cli.split(sys.argv[1:], OWN)
    steps, compile_ = cli.number(given, "steps"), cli.truth(given, "compile")
    batch, rounds = cli.number(given, "batch"), cli.number(given, "rounds")
    rerun = cli.choice(given, "rerun", ("none", "disturbed"))
    try:
        share = float(given["memory"])
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise UserError(f"memory={given['memory']}: give a share above 0 and up to 1.")
    limits = Limits(cli.number(given, "seconds"), round(share * memory_of_machine()))
    cells, without = [], {}
    for length in cli.numbers(given, "lengths"):
        for model in named(given["models"]):
            try:
                configuration = compose(model, length, batch, overrides)
            except UserError as error:  # under protocol=paper not every model has a setting
                without[model] = str(error)
                continue
            cells.append(Cell(model, configuration, compile_, changing(overrides)))
    for model, reason in without.items():
        print(f"left out: {model}. {reason}")
    if not cells:
        raise UserError("Nothing is left to measure.")
    results = cells[0].cfg.results
    must_not_be_board(results)
    root = Path(results.path)
    where = root / "work" / f"efficiency-{platform.node()}"
    # two labs on one machine would measure each other
    with Claim(where, renew=results.renew, expire=results.expire, wait=False):
        Lab(cells, rounds, root, limits, rerun).run(steps)


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
