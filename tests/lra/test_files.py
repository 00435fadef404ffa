import errno
import multiprocessing
import os
import subprocess
import sys

import pytest

from lra import files
from lra.errors import UserError


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), files.replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x"]
    with files.replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["x"]


def test_a_written_file_is_readable_by_others_as_the_umask_says(tmp_path):
    with files.replacing(tmp_path / "x") as temporary:
        temporary.write_text("new")
    plain = tmp_path / "y"
    plain.write_text("new")
    assert (tmp_path / "x").stat().st_mode == plain.stat().st_mode


def test_a_new_file_is_never_overwritten(tmp_path):
    assert files.write_new(tmp_path / "x", b"one")
    assert not files.write_new(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["x"]


FULL = """
import resource, signal, sys
from pathlib import Path
from lra import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
from lra.cli import exit_code
def write():
    if sys.argv[2] == "write_new":
        files.write_new(path, bytes(5000))
    else:
        with files.replacing(path) as temporary:
            temporary.write_bytes(bytes(5000))
sys.exit(exit_code(write))
"""


@pytest.mark.parametrize("how", ["replacing", "write_new"])
def test_a_full_disk_is_one_sentence(tmp_path, how):
    """A file-size limit stands in for the full disk: the write fails in the same place."""
    path = tmp_path / "x"
    if how == "replacing":
        path.write_text("old")
    # -B: Python itself would leave truncated .pyc files on the full disk
    result = subprocess.run(
        [sys.executable, "-B", "-c", FULL, str(path), how], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"Cannot write {path}" in result.stderr
    assert os.listdir(tmp_path) == (["x"] if how == "replacing" else [])


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Cannot write"):
        files.make_folder(tmp_path / "file" / "below")


def hold(path, ready, release):
    with files.locked(path):
        ready.set()
        release.wait(30)


def test_a_lock_excludes_others_and_dies_with_its_holder(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, second = context.Event(), context.Event()
    never, release = context.Event(), context.Event()  # a killed process would spoil a shared one
    holder = context.Process(target=hold, args=(tmp_path / "lock", ready, never))
    holder.start()
    assert ready.wait(30)
    waiter = context.Process(target=hold, args=(tmp_path / "lock", second, release))
    waiter.start()
    assert not second.wait(2)
    holder.kill()
    assert second.wait(30)
    holder.join()
    release.set()
    waiter.join()


def test_a_folder_is_replaced_whole_and_readable_by_others(tmp_path):
    target = tmp_path / "folder"
    for content in ("one", "two"):
        with files.replacing_folder(target) as temporary:
            (temporary / "file").write_text(content)
    assert (target / "file").read_text() == "two"
    with pytest.raises(RuntimeError), files.replacing_folder(target) as temporary:  # noqa: PT012
        (temporary / "file").write_text("three")
        raise RuntimeError
    assert (target / "file").read_text() == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o777 & ~umask


def refuse(number: int):
    def refused(*_):
        raise OSError(number, os.strerror(number))

    return refused


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_a_new_file_is_made_all_the_same(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(number))
    assert files.write_new(tmp_path / "x", b"one")
    assert not files.write_new(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["x"]
    monkeypatch.delattr(os, "link")  # as on Android
    assert files.write_new(tmp_path / "y", b"one")


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES])
def test_another_error_of_a_link_makes_no_file(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "link", refuse(number))
    with pytest.raises(UserError, match="Cannot write"):
        files.write_new(tmp_path / "x", b"one")
    assert os.listdir(tmp_path) == []


def test_without_hard_links_a_disk_that_fills_up_leaves_no_half_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    synchronise, calls = os.fsync, []

    def full_the_second_time(handle):  # the first is of the temporary file
        calls.append(handle)
        return refuse(errno.ENOSPC)() if len(calls) == 2 else synchronise(handle)

    monkeypatch.setattr(os, "fsync", full_the_second_time)
    with pytest.raises(UserError, match="Free some space"):
        files.write_new(tmp_path / "x", b"one")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_where_files_cannot_be_locked_a_note_says_so(tmp_path, monkeypatch, capsys, number):
    monkeypatch.setattr(files.fcntl, "flock", refuse(number))
    with files.locked(tmp_path / "lock"):
        pass
    assert "cannot be locked" in capsys.readouterr().err
    monkeypatch.setattr(files, "fcntl", None)  # Windows
    with files.locked(tmp_path / "lock"):
        pass
    assert "cannot be locked" in capsys.readouterr().err


def test_another_error_of_the_lock_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(files.fcntl, "flock", refuse(errno.EIO))
    with pytest.raises(OSError, match="Input/output"), files.locked(tmp_path / "lock"):
        pass


@pytest.mark.parametrize(
    "number, says", [(errno.ENOSPC, "Free some space or"), (errno.EACCES, "Choose another")]
)
def test_space_is_asked_for_where_it_is_short(tmp_path, number, says):
    with pytest.raises(UserError, match=says), files.reported(tmp_path):
        refuse(number)()
