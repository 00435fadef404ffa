"""How far a long phase is: a bar on a terminal, elsewhere a line a minute.

A phase that takes longer than two seconds says how long it will still take, by the wall clock of
the last minute: other work on the machine counts, since the user waits for it.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lra.cli import duration

QUIET = 2  # seconds before a phase says anything
EVERY = 60  # seconds between two lines where there is no terminal
WINDOW = 60  # seconds, of which the rate is taken


class Phase:
    """A bar or lines for `total` of something (0: unknown), from its third second on.

    rich keeps the rate. The bar is shown on a terminal alone.
    """

    def __init__(self, name: str, total: int, done: int = 0):
        self.name, self.total, self.done = name, total, done
        self._start = time.monotonic()
        self._paused, self._paused_at = 0.0, 0.0
        self._shown = False
        self._line_at: float | None = None
        self._bar = Progress(
            TextColumn(name),
            BarColumn(20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
            speed_estimate_period=WINDOW,
            get_time=lambda: time.monotonic() - self._paused,
        )
        self._job = self._bar.add_task("", total=total or None, completed=done, text="")

    def mark(self, done: int) -> None:
        """Takes note of the time at which `done` were done."""
        self.done = done
        self._bar.update(self._job, completed=done)

    @property
    def seconds_each(self) -> float | None:
        """The seconds for one more; None before there is a rate."""
        speed = self._bar.tasks[0].speed
        return 1 / speed if speed else None

    @property
    def left(self) -> str:
        """`20 s left`, by the rate of the last minute; nothing before there is a rate."""
        each = self.seconds_each
        known = each is not None and self.total
        return f"{duration((self.total - self.done) * each)} left" if known else ""

    def say(self, text: str) -> None:
        """Shows how far the phase is, with the text behind it."""
        now = time.monotonic()
        if now - self._start < QUIET:
            return
        if sys.stderr.isatty():
            if not self._shown:
                self._bar.start()
                self._shown = True
            self._bar.update(self._job, text=text)
        elif self._line_at is None or now - self._line_at >= EVERY:
            self._line_at = now
            of = f"/{self.total:,}" if self.total else ""
            parts = [f"{self.name} {self.done:,}{of}", *([text] if text else [])]
            print(" · ".join(parts), file=sys.stderr, flush=True)

    def pause(self) -> None:
        """Takes the bar away and stops the clock until `go_on`."""
        self.stop()
        self._paused_at = time.monotonic()

    def go_on(self) -> None:
        self._paused += time.monotonic() - self._paused_at

    def stop(self) -> None:
        """Takes the bar away."""
        if self._shown:
            self._bar.stop()
            self._shown = False


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields advance(done), which says how far the phase is. total: 0 if it is not known."""
    phase = Phase(name, total)

    def advance(done: int) -> None:
        phase.mark(done)
        phase.say(phase.left)

    try:
        yield advance
    finally:
        phase.stop()
