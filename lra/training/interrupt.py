"""Ctrl-C, SIGTERM and SIGUSR1 (Slurm's preemption) stop a run between two steps, not inside one."""

import os
import signal
import socket
import sys
import threading

from lra.errors import EXIT_CODES, Interrupted


class StopSignal:
    """Remembers the signal that asked for a stop; the running code asks with `check()`.

    A second Ctrl-C exits at once: checkpoints are replaced whole, so the last one stays valid.
    Python runs its handlers in the main thread only, after the current operation, and a backward
    pass may last seconds. So a separate thread listens, woken by the interpreter's C handler.
    """

    def __init__(self):
        self.number: signal.Signals | None = None

    def __enter__(self) -> "StopSignal":
        self._before = {number: signal.getsignal(number) for number in EXIT_CODES}
        self._ears, mouth = socket.socketpair()
        mouth.setblocking(False)
        self._mouth = mouth
        self._wakeup_before = signal.set_wakeup_fd(mouth.fileno(), warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()
        self.install()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._mouth.close()  # ends the thread
        self._thread.join()
        self._ears.close()

    def install(self) -> None:
        """Takes the signals over again, since every Lightning stage installs its own handler."""
        for number in EXIT_CODES:
            signal.signal(number, lambda *_: None)

    def _listen(self) -> None:
        while heard := self._ears.recv(1):
            if heard[0] not in EXIT_CODES:
                continue
            number = signal.Signals(heard[0])
            if self.number is not None and number == signal.SIGINT:
                os._exit(EXIT_CODES[number])
            self.number = number
            print(
                f"\n{number.name}: stopping after this step (Ctrl-C again: at once).",
                file=sys.stderr,
            )

    def check(self) -> None:
        if self.number is not None:
            raise Interrupted(self.number)
