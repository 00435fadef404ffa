r"""Hyperparameter search by the val metric.

python -m lra.search task=listops model=fourier protocol=lite trials=20 \
    'optim.lr=tag(log,interval(1e-4,1e-2))' 'model.block.keep_ratio=interval(0.1,0.5)' \
    'optim.weight_decay=choice(0,0.01,0.1)'

Optuna's TPE searches the keys that have a range, written in Hydra's own syntax; the other keys are
fixed. A trial is a run of its own that never touches the test split. The study is in
<results.path>/search/: the same command goes on with it, also after a kill, until `trials` are
complete. At the end the search prints the command that trains the best setting once more and tests
it; the row of that run says how many trials chose its setting.
"""

import sys

import optuna

from lra import cli, config
from lra.sweep.search import Search

KEYS = {
    "trials": cli.Key("20", "complete trials"),
    "results.root": cli.ROOT_KEY,
}


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given, overrides = cli.split(sys.argv[1:], {"trials": KEYS["trials"]})
    trials = cli.number(given, "trials")
    with config.hydra():
        search = Search(overrides, trials)
        search.report(search.run())


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
