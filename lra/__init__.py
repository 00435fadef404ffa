"""The harness. Rooms: config, store, training, sweep, efficiency, report, and objective, the seam
for what is learned; tests/test_arrows.py says who may import whom. The commands are the files
beside them: python -m lra lists all. In Python: lra.rows, lra.run and lra.build (api.py).
"""

import os
import sys

from lra.errors import STOPPED, by_ctrl_c

# torch's threads wait for each other in a loop of this many rounds before they sleep. The default,
# 300,000 rounds, uses up the time that they lack where another process needs a core. 4,000 cost
# nothing on a quiet machine, and beside a busy process a step takes 0.7 to 0.8 of the time (python
# -m benchmarks.released, with and without GOMP_SPINCOUNT=300000). libgomp reads the variable once,
# when torch is imported.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "4000")


def _one_sentence_for_ctrl_c(kind, error, trace) -> None:
    """Prints an error that ends the program: one sentence instead of a traceback for a Ctrl-C."""
    if by_ctrl_c(error):
        print(STOPPED, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


# A command loads its imports for a second before its main function, which catches a Ctrl-C. Only
# for commands of ours: a program that uses this package keeps its own tracebacks.
if os.path.basename(sys.argv[0]) == "run.py" or (
    sys.argv[0] == "-m" and {"lra", "data_prep"} & {w.split(".")[0] for w in sys.orig_argv}
):
    sys.excepthook = _one_sentence_for_ctrl_c

INTERFACE = ("build", "rows", "run")
__all__ = list(INTERFACE)


def __getattr__(name: str):
    """Loads the interface when it is asked for: commands need not wait for its imports."""
    if name in INTERFACE:
        from lra import api

        return getattr(api, name)
    raise AttributeError(f"module 'lra' has no attribute '{name}'")
