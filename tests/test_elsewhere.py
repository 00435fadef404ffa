"""Commands where pieces of Linux are missing: on macOS, on Windows, and on file systems without
links and locks."""

import ast
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
# Takes away what Windows lacks besides, for all code but that of libraries.
WINDOWS = f"""{MACOS}
import multiprocessing, signal

usr1 = signal.SIGUSR1
del signal.SIGUSR1
import lra.errors
signal.SIGUSR1 = usr1  # Lightning asks for it, but not on Windows
for name in ("fork", "killpg", "setsid", "getpgid", "nice"):
    delattr(os, name)

def importing(name, names=None, *rest, found=__import__, **settings):
    ours = (names or {{}}).get("__name__", "").split(".")[0] in ("lra", "data_prep", "models")
    if ours and name in ("fcntl", "resource", "pwd", "grp"):
        raise ModuleNotFoundError(f"No module named {{name}}")
    return found(name, names, *rest, **settings)

builtins.__import__ = importing
multiprocessing.get_all_start_methods = lambda: ["spawn"]
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


def test_on_windows_a_run_makes_its_row(tmp_path):
    done, row = run_with(WINDOWS, tmp_path)
    assert row.status == "done"


def test_on_windows_the_lab_says_where_it_works(tmp_path):
    start = f"{WINDOWS}\nrunpy.run_module('lra.efficiency', run_name='__main__')"
    words = ["models=fourier", "lengths=64", f"results.root={tmp_path}"]
    command = [sys.executable, "-c", start, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "use Linux, macOS, or WSL on Windows" in done.stderr


def test_a_disk_without_links_and_locks_is_enough(tmp_path):
    done, row = run_with(NO_LINKS, tmp_path)
    assert row.status == "done"
    assert "cannot be locked" in done.stderr


def without_encoding(path) -> list[str]:
    """Returns the calls that read or write a text in the encoding of the system."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        opens = name == "open" and isinstance(node.func, ast.Name)
        binary = any(
            isinstance(part, ast.Constant) and "b" in str(part.value)
            for word in node.args[1:]
            for part in ast.walk(word)
        )
        named = any(word.arg == "encoding" for word in node.keywords)
        if (opens or name in ("read_text", "write_text")) and not binary and not named:
            found.append(f"{path}: {ast.unparse(node)}")
    return found


def test_texts_are_utf_8_on_every_system():
    """Windows has another encoding where a call names none."""
    code = [path for part in ("lra", "data_prep", "models") for path in (ROOT / part).rglob("*.py")]
    assert len(code) > 80
    assert [call for path in code for call in without_encoding(path)] == []
