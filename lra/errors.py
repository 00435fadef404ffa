"""Errors that are not bugs: each message is one sentence with the mistake and the remedy."""

import difflib
import signal
from collections.abc import Iterable

# The signals that ask a run to stop, with the exit code that answers each of them.
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
if hasattr(signal, "SIGUSR1"):  # Windows has none
    EXIT_CODES[signal.SIGUSR1] = 0
KILLED = -9  # exit code of a process that the kernel kills, for want of memory, say
STOPPED = "Stopped; nothing was running that could be lost."


class UserError(Exception):
    """A mistake that a user can make. Its text is the whole message."""

    exit_code = 1


class OutOfMemory(UserError):
    """The run needs more memory than the machine has; its row says `oom`."""


class Diverged(UserError):
    """The training loss is NaN or infinite."""


class Interrupted(Exception):
    """The run stopped because a signal asked it to."""

    def __init__(self, number: signal.Signals):
        self.exit_code = EXIT_CODES[number]
        super().__init__(f"Stopped by {number.name}; the same command goes on from where it was.")


def by_ctrl_c(error: BaseException | None) -> bool:
    """Returns whether Ctrl-C is the cause of an error: Python and Hydra wrap it in others where it
    comes in the middle of a class statement or of a call from a configuration."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def closest(word: str, choices: Iterable[str]) -> str:
    """Returns ' Did you mean x?' for the nearest of the choices, or '' if none is near."""
    match = difflib.get_close_matches(word, list(choices), n=1)
    return f" Did you mean {match[0]}?" if match else ""


def one_of(kind: str, word: str, choices: Iterable[str]) -> UserError:
    """Returns the error for a word that is not among the choices."""
    choices = sorted(choices)
    return UserError(
        f"There is no {kind} '{word}': choose {', '.join(choices)}.{closest(word, choices)}"
    )
