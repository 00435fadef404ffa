"""Writes files so that a kill, a full disk or a second process leaves none half-written."""

import errno
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lra.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}  # of a file system
# Errors that space would not mend. numpy reports a full disk without a number.
NOT_FULL = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.EOPNOTSUPP}


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turns an error of the disk into a UserError of one sentence."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        help_ = "Choose" if error.errno in NOT_FULL else "Free some space or choose"
        raise UserError(
            f"Cannot write {path}: {reason}. {help_} another folder (data.root=..., "
            "results.root=...), then type the command again."
        ) from error


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: Path) -> Path:
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name in the same folder; it becomes `path` when the block succeeds."""
    make_folder(path.parent)
    with reported(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)  # mkstemp makes files private
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path`; it takes the place of `path` when the block
    succeeds."""
    make_folder(path.parent)
    with reported(path):
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
        try:
            yield temporary
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o777 & ~umask)  # mkdtemp makes folders private
            shutil.rmtree(path, ignore_errors=True)
            os.rename(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_new(path: Path, content: bytes) -> bool:
    """Writes `path` whole or not at all; writes nothing and returns False if it exists already.

    Where the file system has no hard links (exFAT, some network disks), a kill can leave it empty.
    """
    make_folder(path.parent)
    with reported(path):
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        temporary = Path(name)
        try:
            with open(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            _link(temporary, path, content)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
    return True


def _link(temporary: Path, path: Path, content: bytes) -> None:
    """Gives the file a second name. Unlike a rename, this fails where the name is taken."""
    try:
        return os.link(temporary, path)
    except AttributeError:  # a system without them
        pass
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    with open(path, "xb") as file:  # fails where the name is taken, too
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            path.unlink()
            raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`; waits for another holder on this machine.

    The kernel drops the lock when its holder dies, so a kill leaves nothing to clean up. Where a
    file cannot be locked, a note says so and the block runs all the same.
    """
    make_folder(path.parent)
    with reported(path):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _lock(handle):
            print(
                f"note: files in {path.parent} cannot be locked; let no second command prepare the "
                "same data at the same time",
                file=sys.stderr,
            )
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Returns False where the system or the file system knows no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        return False
    return True
