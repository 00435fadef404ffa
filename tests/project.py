"""A copy of the project that a test may add files to, and commands run in it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

# Imports the slow modules once, then runs one command after the other, each in a fork.
DRIVER = """
import json, os, runpy, sys
sys.path.insert(0, os.getcwd())
import lra.training.run, lra.report.tables.scores
for words, log in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        for stream in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        sys.argv = words[words[0] == "-m":]
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


FILES = ("run.py", "pyproject.toml", "CITATION.cff")


def copy_to(root: Path, *more: str) -> None:
    """Copies the code, conf/ and the published figures; more: further files and folders."""
    for entry in ("lra", "models", "data_prep", "conf", *FILES, *more):
        copy = shutil.copytree if (ROOT / entry).is_dir() else shutil.copy
        copy(ROOT / entry, root / entry)
    (root / "results/published").mkdir(parents=True)
    for path in (ROOT / "results/published").glob("*.*"):
        shutil.copy(path, root / "results/published")


def python(root: Path, *commands: list[str]) -> list[tuple[int, str]]:
    """Runs commands in the copy; returns their exit codes and outputs."""
    logs = [root / f"{i}.log" for i in range(len(commands))]
    for log in logs:
        log.unlink(missing_ok=True)
    pairs = [(words, str(log)) for words, log in zip(commands, logs, strict=True)]
    driver = [sys.executable, "-c", DRIVER, json.dumps(pairs)]
    done = subprocess.run(driver, cwd=root, capture_output=True, text=True, check=True)
    codes = map(int, done.stdout.split())
    return [(code, log.read_text()) for code, log in zip(codes, logs, strict=True)]
