"""Claims on cells: one worker at a time, on one machine or on many that share a file system.

A claim is a file, claim-1.json, claim-2.json, ..., made exclusively; the one with the highest
number counts. Its holder renews it by a counter inside. A
worker that sees the counter unchanged for `expire` seconds, on its own clock, creates the next
claim. A holder that was stopped for that long finds out when it looks, which it does before every
write that counts (fencing), and then writes nothing. A file that cannot be read, such as one that a
full disk left empty, is a claim whose counter never moves.

Within one machine a holder that died is known at once, by its process id and start time.
"""

import json
import os
import re
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

import psutil

from lra import files
from lra.errors import UserError

NAME = re.compile(r"claim-\d+\.json")


class Busy(UserError):
    """Another worker has the cell."""

    exit_code = 75  # EX_TEMPFAIL: try again


class Lost(UserError):
    """Another worker took the cell over."""


class Claim:
    """A claim on a cell. As a context it is taken, renewed by a thread, and released at the end.

    renew, expire: seconds.
    """

    def __init__(self, folder: Path, *, renew: float, expire: float, wait: bool = False):
        self.folder, self.renew, self.expire, self.wait = folder, renew, expire, wait
        self.number, self.token, self.beat = 0, uuid.uuid4().hex, 0
        self._done = threading.Event()

    def __enter__(self) -> "Claim":
        self._take()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._done.set()
        self._thread.join()
        with suppress(UserError):  # a full disk: then it expires
            self._write(released=True)

    def check(self) -> None:
        """Raises Lost where the cell is another's by now."""
        if not self._mine():
            raise Lost(
                f"Another worker took this cell over ({self.folder}) while this one was stopped or "
                "cut off from the disk: it ends without writing."
            )

    def _take(self) -> None:
        seen, since = None, 0.0
        while True:
            number, content = newest(self.folder)
            if number and not _free(content):
                if content != seen:
                    if seen is not None and not self.wait:
                        raise Busy(
                            f"Another process is running this cell ({self.folder}): wait=true "
                            "waits for it."
                        )
                    seen, since = content, time.monotonic()
                if time.monotonic() - since < self.expire:
                    time.sleep(min(0.5, self.renew / 5))
                    continue
            if files.write_new(_path(self.folder, number + 1), self._content()):
                self.number = number + 1
                for older in _claims(self.folder):
                    if _number(older) < self.number:
                        older.unlink(missing_ok=True)
                return

    def _keep(self) -> None:
        while not self._done.wait(self.renew):
            if not self._mine():
                return
            self.beat += 1
            with suppress(UserError):  # a full disk: the next time, or the claim expires
                self._write()

    def _mine(self) -> bool:
        number, content = newest(self.folder)
        return number == self.number and bool(content) and content["token"] == self.token

    def _write(self, released: bool = False) -> None:
        if self._mine():
            with files.replacing(_path(self.folder, self.number)) as temporary:
                temporary.write_bytes(self._content(released))

    def _content(self, released: bool = False) -> bytes:
        content = {"token": self.token, "beat": self.beat, "released": released} | _process()
        return json.dumps(content).encode()


def newest(folder: Path) -> tuple[int, dict | None]:
    """Returns the number of the claim that counts (0: no claim) and its content."""
    while True:
        path = max(_claims(folder), key=_number, default=None)
        if path is None:
            return 0, None
        with suppress(FileNotFoundError):  # replaced by a newer one meanwhile
            return _number(path), _read(path)


def held(folder: Path) -> bool:
    """Returns whether somebody seems to be at work, at a glance: a holder that died on another
    machine still seems to be."""
    number, content = newest(folder)
    return bool(number) and not _free(content)


def _claims(folder: Path) -> list[Path]:
    """Returns the claims of a cell, without the copies that a synchronising disk makes of them."""
    return [path for path in folder.glob("claim-*.json") if NAME.fullmatch(path.name)]


def _read(path: Path) -> dict:
    unknown = {"token": None, "beat": None, "released": False, "machine": None}
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return unknown
    return unknown | content if isinstance(content, dict) else unknown


def _path(folder: Path, number: int) -> Path:
    return folder / f"claim-{number}.json"


def _number(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])


def _free(content: dict) -> bool:
    """Returns whether a claim is released, or held by a process of this machine that ended."""
    if content["released"]:
        return True
    here = _process()
    if here["machine"] is None or content["machine"] != here["machine"]:
        return False
    try:
        process = psutil.Process(content["pid"])
        alive = process.status() != psutil.STATUS_ZOMBIE
        return not alive or abs(process.create_time() - content["started"]) > 2
    except psutil.NoSuchProcess:
        return True


def _process() -> dict:
    """Returns our process id, with the machine and container in which it means something."""
    machine = None
    with suppress(OSError):  # not Linux
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        machine = f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    return {
        "machine": machine,
        "pid": os.getpid(),
        "started": psutil.Process().create_time(),
    }
