"""Finds the original files of a task: data.archive, a folder in LRA_ARCHIVES, a download."""

import ast
import codecs
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data_prep import archive, download
from data_prep.download import Download
from lra.errors import UserError
from lra.files import sha256


def find(
    task: str,
    data,
    names: Sequence[str],
    wanted: re.Pattern,
    original: Download | None,
    form: str | None = None,
) -> Path:
    """Returns the first source that exists.

    names: the possible names of the task's folder or file below LRA_ARCHIVES. wanted: a member that
    the source must hold; an entry of LRA_ARCHIVES without it is passed over. original: the file to
    download to <data.root>/downloads; None if nobody offers the files. form: the files in words.
    """
    if data.archive is not None:
        path = Path(data.archive)
        if not path.exists():
            raise UserError(f"data.archive={path} does not exist.")
        return path
    path = in_archives(names, wanted)
    if path is not None:
        return path
    if original is None:
        raise UserError(
            f"Nothing holds {task}'s files ({form or wanted.pattern}): name their folder or "
            f"archive with data.archive=PATH, or put it in $LRA_ARCHIVES/{names[0]}."
        )
    return download.fetch(original, Path(data.root) / "downloads")


def in_archives(names: Sequence[str], wanted: re.Pattern) -> Path | None:
    """Returns the first of `names` below LRA_ARCHIVES that holds a wanted member, or None."""
    root = os.environ.get("LRA_ARCHIVES")
    if root and not Path(root).is_dir():
        raise UserError(f"LRA_ARCHIVES={root} is not a folder: correct it, or unset it.")
    for name in names if root else ():
        path = Path(root) / name
        if path.exists() and next(archive.members(path, wanted), None):
            return path
    return None


def describe(path: Path, wanted: re.Pattern) -> str:
    """Describes the source for a manifest: names, without absolute paths, and the sums of archives
    that hold wanted members."""
    if not path.is_dir():
        return f"{path.name} (sha256 {sha256(path)})"
    loose, archives = False, []
    for file in archive.files(path):
        if wanted.search(file.relative_to(path).as_posix()):
            loose = True
        elif archive.is_archive(file) and next(archive.members(file, wanted), None):
            archives.append(f"{file.name} (sha256 {sha256(file)})")
    return ", ".join([f"folder {path.name}"] * (loose or not archives) + archives)


def lines(name: str, stream: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yields (line number, line without its end) of a file, without a byte-order mark and the empty
    lines that editors leave at the end. Raises UserError for an empty line before others."""
    empty = 0  # the number of the first one
    for number, line in enumerate(stream, start=1):
        text = line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").rstrip(b"\r\n")
        if not text.strip():
            empty = empty or number
        elif empty:
            raise UserError(f"{name}, line {empty} is empty, and others follow: is it complete?")
        else:
            yield number, text


def must_hold(origin: Path, found: dict[str, int], expected, original: str) -> None:
    """Raises UserError unless every split has as many examples as the variant says."""
    for split, n in found.items():
        if n != expected[split]:
            raise UserError(
                f"{origin} gives {n:,} examples for {split}, not {expected[split]:,}: bring the "
                f"whole of {original}."
            )


def must_suffice(origin: Path, n: int, examples: str) -> None:
    """Raises UserError for so few examples that a tenth of them, a split, is none."""
    if n < 10:
        raise UserError(
            f"{origin} gives {n} {examples}, too few for three splits: bring at least 10, better "
            "thousands."
        )


def literal(text: bytes) -> bytes | None:
    """Returns the bytes that a literal b'...' of Python denotes; None for any other text."""
    if not text.startswith((b"b'", b'b"')):
        return None
    try:
        value = ast.literal_eval(text.decode("ascii"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, bytes) else None


def must_not_be_printed(text: bytes, where: str) -> None:
    """Raises UserError for a text that was printed as Python prints bytes, where the format has the
    text itself: a model would read backslashes and letters for its line ends and accents."""
    if literal(text) is not None:
        raise UserError(
            f"{where}: the text is a printed bytes literal ({text[:20].decode()}...): store what "
            "it denotes."
        )


def put(found: dict, key, value, name: str, origin: Path) -> None:
    """Puts found[key] = value, which the file `name` of a source gave. Raises UserError where
    another file gave another value: nothing says which one is meant. Two equal copies, an archive
    beside its files, say, are one."""
    if key in found and not _equal(found[key], value):
        raise UserError(
            f"{origin} holds {name} a second time, with other content: leave one of the two there."
        )
    found[key] = value


def _equal(a, b) -> bool:
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b
