"""Downloads one file: resumes where it stopped, checks the file, and only then names it."""

import json
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from data_prep import archive
from lra.errors import UserError
from lra.files import locked, make_folder, replacing, reported, sha256
from lra.progress import progress

CHUNK = 2**20
MB = 1_000_000
TIMEOUT = 30  # seconds without a byte


class Download(NamedTuple):
    """A file to download.

    sha256: the file's sum, if its publisher or several of its users agree on one. If None, the sum
    of the first download is recorded and expected of every later download.
    """

    url: str
    name: str
    sha256: str | None


class Broken(Exception):
    """A connection that broke, as opposed to a disk that is full."""


def fetch(original: Download, folder: Path) -> Path:
    """Returns the file in `folder`, and downloads it first if it is absent.

    Raises UserError. The bytes that arrived are kept for the next try, unless they are known to be
    wrong.
    """
    path = make_folder(folder) / original.name
    with locked(folder / f".{original.name}.lock"):
        if path.exists():
            return path
        partial = folder / f"{original.name}.part"
        _receive(original, partial)
        if not archive.is_archive(partial):
            what = archive.kind(partial)
            partial.unlink()
            raise UserError(f"{original.url} gave {what}, not an archive: {_by_hand(original)}")
        _check(original, partial, folder / "sha256.json")
        with reported(path):
            partial.replace(path)
    return path


def _receive(original: Download, partial: Path) -> None:
    """Appends the missing bytes of the file to `partial`."""
    done = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(original.url, headers={"Range": f"bytes={done}-"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            if answer.status != 206:  # the server has no ranges: start again
                done = 0
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else None
            with (
                reported(partial),
                open(partial, "ab" if done else "wb") as file,
                progress(f"downloading {original.name}: MB", (total or 0) // MB) as advance,
            ):
                while chunk := _read(answer):
                    file.write(chunk)
                    done += len(chunk)
                    advance(done // MB)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing is missing
            return
        raise _unreachable(original, f"{error.code} {error.reason}") from error
    except (urllib.error.URLError, Broken, HTTPException, TimeoutError, ConnectionError) as error:
        raise _unreachable(
            original, str(getattr(error, "reason", error)) or type(error).__name__
        ) from error
    if total is not None and done < total:
        raise _unreachable(original, f"it broke off after {done:,} of {total:,} bytes")


def _read(answer) -> bytes:
    try:
        return answer.read(CHUNK)
    except (OSError, HTTPException) as error:
        raise Broken(str(error)) from error


def _check(original: Download, file: Path, record: Path) -> None:
    try:
        known = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    except ValueError as error:
        raise UserError(f"{record} is not JSON: delete it.") from error
    expected = original.sha256 or known.get(original.name)
    found = sha256(file)
    if expected is None:
        known[original.name] = found
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    elif found != expected:
        file.unlink()
        raise UserError(
            f"{original.url} gave a file with sha256 {found[:16]}..., not {expected[:16]}...; it "
            f"was deleted: {_by_hand(original)}"
        )


def _unreachable(original: Download, reason: str) -> UserError:
    return UserError(f"Cannot download {original.url} ({reason}): {_by_hand(original)}")


def _by_hand(original: Download) -> str:
    return (
        "type the command again (it goes on where it stopped), or bring the file "
        f"{original.name} and name it with data.archive=PATH, or put it into $LRA_ARCHIVES."
    )
