"""run.py where pieces of Linux are missing: macOS, and file systems without links and locks."""

import subprocess
import sys

from lra.store import runs
from tests.conftest import ROOT, TINY

# Takes away what macOS lacks, for all code but that of libraries, which have their own ways there.
MACOS = """
import builtins, errno, io, os, runpy, sys

def of_a_library():
    frame = sys._getframe(2)
    while frame:
        if frame.f_globals.get("__name__", "").split(".")[0] in ("psutil", "torch", "numpy"):
            return True
        frame = frame.f_back
    return False

def hiding(function):
    def hidden(path, *arguments, **settings):
        if isinstance(path, (str, os.PathLike)) and os.fspath(path).startswith("/proc/"):
            if not of_a_library():
                raise FileNotFoundError(errno.ENOENT, "No such file or directory", str(path))
        return function(path, *arguments, **settings)
    return hidden

builtins.open = io.open = hiding(open)
os.readlink = hiding(os.readlink)
del os.sched_getaffinity
"""
NO_LINKS = """
import errno, fcntl, os, runpy, sys

def refused(*_):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

os.link = fcntl.flock = refused
"""


def run_with(code, tmp_path):
    words = ["trainer=smoke", *TINY, f"data.root={tmp_path}/data", f"results.root={tmp_path}"]
    start = f"{code}\nsys.argv[0] = 'run.py'\nrunpy.run_path('run.py', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", start, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (row,) = runs.read_all(tmp_path / "smoke")
    return done, row


def test_on_macos_a_run_makes_its_data_and_its_row(tmp_path):
    done, row = run_with(MACOS, tmp_path)
    assert row.status == "done"
    assert row.memory.kind == "rss"
    assert row.environment["cores"] >= 1
    assert "stored in:" in done.stdout


def test_a_disk_without_links_and_locks_is_enough(tmp_path):
    done, row = run_with(NO_LINKS, tmp_path)
    assert row.status == "done"
    assert "cannot be locked" in done.stderr
