"""The cells of a sweep, read from the results store.

python -m lra.sweep status task=listops,text model=fourier,performer seed=0,1,2   every cell
python -m lra.sweep plan   ...the same...                                         those not done
"""

import sys

from lra import cli, config
from lra.config import words
from lra.errors import one_of
from lra.sweep.status import all_rows, estimate, look_at_all, show


def main() -> None:
    command, *overrides = sys.argv[1:] or [""]
    if command not in ("status", "plan"):
        raise one_of("command of lra.sweep", command, ["status", "plan"])
    words.check(overrides)
    with config.hydra():
        states = look_at_all(overrides)
    if command == "plan":
        states = [state for state in states if state.status != "done"]
    show(states, [state.status for state in states])
    for line in estimate(states, all_rows(states)):
        print(f"what is left takes about {line}")


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, {"results.root": cli.ROOT_KEY}))
