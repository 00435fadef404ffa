"""Ctrl-C, SIGTERM and SIGUSR1 (Slurm's preemption) stop a run between two steps, not inside one."""

import os
import signal
import sys

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 0}


class Interrupted(Exception):
    """The run stopped because it was asked to."""

    def __init__(self, number: int):
        self.exit_code = EXIT_CODES[number]
        super().__init__(
            f"Stopped by {signal.Signals(number).name}; the same command goes on from the "
            "last checkpoint."
        )


class StopSignal:
    """Remembers the signal that asked for a stop. A second Ctrl-C exits at once: checkpoints are
    replaced whole, so the last one stays valid."""

    def __init__(self):
        self.number: int | None = None
        self._before = {}

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.getsignal(number) for number in EXIT_CODES}
        self.install()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def install(self) -> None:
        """Again at the start of every Lightning stage, which puts its own handler in front."""
        for number in EXIT_CODES:
            signal.signal(number, self._handle)

    def _handle(self, number, frame) -> None:
        if self.number is not None and number == signal.SIGINT:
            os._exit(EXIT_CODES[number])
        self.number = number
        name = signal.Signals(number).name
        print(f"\n{name}: stopping after this step (Ctrl-C again: at once).", file=sys.stderr)

    def check(self) -> None:
        if self.number is not None:
            raise Interrupted(self.number)
