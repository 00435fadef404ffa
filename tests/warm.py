"""Runs Python as subprocess does, in a process that has its imports already.

A fresh interpreter spends five seconds on importing torch and Lightning. Here a server, started as
a fresh interpreter, imports them once and forks for each command: a process with its own pid,
signals, environment and output. The cells of sweeps and the README's commands start from nothing.
"""

import atexit
import os
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from lra.machine import ROOT

server = get_context("forkserver")
server.set_forkserver_preload(
    ["lra.training.run", "lra.training.attempt", "lra.report.tables.scores"]
)
OUTPUTS = ("stdout", "stderr")


class Popen:
    """What the tests use of subprocess.Popen. command: what would stand behind `python`, a script
    or -m and a module, then arguments."""

    def __init__(self, command: list[str], env: dict[str, str] | None = None):
        self.args = command
        self.folder = Path(tempfile.mkdtemp())
        arguments = (command, env or os.environ.copy(), self.folder)
        self.process = server.Process(target=_main, args=arguments)
        self.process.start()
        self.pid = self.process.pid

    @property
    def returncode(self) -> int | None:
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        out, err = ((self.folder / name).read_text() for name in OUTPUTS)
        shutil.rmtree(self.folder)
        return out, err

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(command: list[str], env: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    child = Popen(command, env)
    out, err = child.communicate(timeout=300)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


def _main(command: list[str], env: dict[str, str], folder: Path) -> None:
    for descriptor, name in enumerate(OUTPUTS, start=1):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    try:
        if command[0] == "-m":
            sys.argv = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing's children leave them out
