"""A rich progress bar, shown on a terminal when work takes more than two seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields advance(done), which moves the bar to `done` of `total`."""
    bar = Progress(console=Console(stderr=True), transient=True)
    start, job = time.monotonic(), None

    def advance(done: int) -> None:
        nonlocal job
        if job is None and bar.console.is_terminal and time.monotonic() - start > 2:
            bar.start()
            job = bar.add_task(what, total=total)
        if job is not None:
            bar.update(job, completed=done)

    try:
        yield advance
    finally:
        if job is not None:
            bar.stop()
