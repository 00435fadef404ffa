"""Reads members of a folder or of a .tar, .tar.gz, .tar.xz or .zip, recognised by its content.

Members are read, never extracted, so an archive cannot write a file. Links in an archive are not
followed.
"""

import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lra.errors import UserError

# The errors that the libraries raise for a damaged archive (RuntimeError: a zip with a password).
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, OSError, RuntimeError),
)
ARCHIVE_NAMES = re.compile(r"\.(tar|gz|tgz|bz2|xz|txz|zip)$")
OTHER_NAMES = re.compile(r"\.(png|txt|npy|tsv|html|md)$")  # never opened to test for an archive


def members(path: Path, wanted: re.Pattern) -> Iterator[tuple[str, BinaryIO]]:
    """Yields (name, stream) of every file whose path inside the folder or archive matches `wanted`
    (re.search).

    A folder may hold archives. Raises UserError for an archive that is damaged, and for a file that
    is not an archive.
    """
    if path.is_dir():
        for file in files(path):
            name = file.relative_to(path).as_posix()
            if wanted.search(name):
                with open(file, "rb") as stream:
                    yield name, stream
            elif is_archive(file) or ARCHIVE_NAMES.search(file.name):
                yield from members(file, wanted)
        return
    with _explained(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                for info in archive.infolist():
                    if wanted.search(info.filename) and not info.is_dir():
                        with archive.open(info) as stream:
                            yield info.filename, _guarded(path, stream)
        elif tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for entry in archive:
                    if wanted.search(entry.name) and entry.isfile():
                        yield entry.name, _guarded(path, archive.extractfile(entry))
                    archive.members = []  # tarfile would keep the headers of 200,000 files
                _must_be_whole(archive)
        else:
            raise UserError(f"{path} is {kind(path)}, not a tar or zip archive: {bring()}")


def files(folder: Path) -> list[Path]:
    """Returns the files of a folder and of all folders in it, sorted. It follows links to folders,
    and visits no folder twice: links may form a loop."""
    found, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        found += [Path(root) / name for name in names]
    return sorted(file for file in found if file.is_file())


def _must_be_whole(archive: tarfile.TarFile) -> None:
    """Raises ReadError for a tar archive that breaks off or is damaged.

    tarfile takes a header that it cannot read for the end of the archive. The real end is a block
    of zeros. Reading on to the last byte makes the decompression compare its checksum.
    """
    archive.fileobj.seek(archive.offset)
    if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"no header and no end at byte {archive.offset:,}")
    while archive.fileobj.read(2**20):
        pass


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        raise UserError(f"{path} is damaged ({error}): {bring()}") from error


def _guarded(path: Path, stream: BinaryIO) -> BinaryIO:
    """Returns the stream wrapped to raise UserError for damage, which shows only on reading."""
    return io.BufferedReader(_Guarded(path, stream), 2**16)


class _Guarded(io.RawIOBase):
    def __init__(self, path: Path, stream: BinaryIO):
        self.path, self.stream = path, stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with _explained(self.path):
            content = self.stream.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)


def is_archive(path: Path) -> bool:
    if OTHER_NAMES.search(path.name):
        return False
    try:
        return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)
    except DAMAGE:
        return False


def kind(path: Path) -> str:
    """Returns the kind of a file that is not an archive, in words."""
    with open(path, "rb") as file:
        start = file.read(512).lstrip().lower()
    if not start:
        return "an empty file"
    return "an HTML page" if start.startswith((b"<!doctype", b"<html")) else "an unknown file"


def bring() -> str:
    return "fetch or copy the original file again."
