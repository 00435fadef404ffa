"""Reads named members of a folder, .tar, .tar.gz, .tar.xz or .zip, whatever the file is called.

Members are read, never extracted, so nothing in an archive can land outside a folder.
"""

import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from lra.errors import UserError

# what the libraries raise for a damaged archive (RuntimeError: a zip that wants a password)
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError),
)


def source(task: str, data) -> Path | None:
    """Where a task's original files are: data.archive, else LRA_ARCHIVES/<task>, else nowhere."""
    if data.archive is not None:
        path = Path(data.archive)
        if not path.exists():
            raise UserError(f"data.archive={path} does not exist.")
        return path
    root = os.environ.get("LRA_ARCHIVES")
    path = Path(root) / task if root else None
    return path if path and path.exists() else None


def members(path: Path, names: set[str]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every file called one of `names`, in a folder, an archive, or a folder
    that holds archives."""
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            if file.name in names:
                yield file.name, file.read_bytes()
            elif tarfile.is_tarfile(file) or zipfile.is_zipfile(file):
                yield from members(file, names)
        return
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if PurePosixPath(info.filename).name in names and not info.is_dir():
                        yield PurePosixPath(info.filename).name, archive.read(info)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for entry in archive:
                    if PurePosixPath(entry.name).name in names and entry.isfile():
                        yield PurePosixPath(entry.name).name, archive.extractfile(entry).read()
        else:
            raise UserError(f"{path} is no folder, tar or zip archive: bring the original file.")
    except DAMAGE as error:
        raise UserError(f"{path} is damaged ({error}): fetch or copy it again.") from error
