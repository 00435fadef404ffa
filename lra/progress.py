"""How far a long phase is: a bar on a terminal, elsewhere a line a minute.

A phase that takes longer than two seconds says how long it will still take, by the wall clock of
the last minute: other work on the machine counts, since the user waits for it.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lra.cli import duration

QUIET = 2  # seconds before a phase says anything
EVERY = 60  # seconds between two lines where there is no terminal


class Clock:
    """The rate of the last minute, from marks (seconds, done). Pauses do not count."""

    WINDOW = 60.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()
        self._paused = 0.0
        self._since: float | None = None

    def now(self) -> float:
        return time.monotonic() - self._paused

    def pause(self) -> None:
        self._since = time.monotonic()

    def go_on(self) -> None:
        if self._since is not None:
            self._paused += time.monotonic() - self._since
            self._since = None

    def mark(self, done: int) -> None:
        now = self.now()
        # at most two marks a second, so that fast steps leave no long list
        if len(self._marks) > 1 and now - self._marks[-2][0] < 0.5:
            self._marks.pop()
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] > self.WINDOW:
            self._marks.popleft()

    def seconds_each(self) -> float | None:
        """Returns the seconds for one more; None before anything was done."""
        if not self._marks:
            return None
        (start, first), (end, last) = self._marks[0], self._marks[-1]
        return (end - start) / (last - first) if last > first else None


class Phase:
    """A bar or lines for `total` of something, from its third second on."""

    def __init__(self, name: str, total: int, done: int | None = 0):
        self.name, self.total, self.clock = name, total, Clock()
        if done is not None:  # else the first call of `left` is the start: it may go on from there
            self.clock.mark(done)
        self._start = time.monotonic()
        self._bar: Progress | None = None
        self._line_at: float | None = None

    def advance(self, done: int, text: str) -> None:
        now = time.monotonic()
        if now - self._start < QUIET:
            return
        if sys.stderr.isatty():
            if self._bar is None:
                columns = TextColumn(self.name), BarColumn(20), MofNCompleteColumn()
                self._bar = Progress(
                    *columns,
                    TextColumn("{task.fields[text]}"),
                    console=Console(stderr=True),
                    transient=True,
                )
                self._bar.start()
                self._job = self._bar.add_task("", total=self.total or None, text="")
            self._bar.update(self._job, completed=done, text=text)
        elif self._line_at is None or now - self._line_at >= EVERY:
            self._line_at = now
            of = f"/{self.total:,}" if self.total else ""
            parts = [f"{self.name} {done:,}{of}", *([text] if text else [])]
            print(" · ".join(parts), file=sys.stderr, flush=True)

    def left(self, done: int) -> str:
        """Returns `20 s left`, by the rate of the last minute; nothing before there is a rate."""
        self.clock.mark(done)
        each = self.clock.seconds_each()
        known = each is not None and self.total
        return f"{duration((self.total - done) * each)} left" if known else ""

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def progress(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields advance(done), which says how far the phase is. total: 0 if it is not known."""
    phase = Phase(name, total, done=None)
    try:
        yield lambda done: phase.advance(done, phase.left(done))
    finally:
        phase.stop()
