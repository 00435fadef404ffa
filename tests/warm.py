"""Runs Python as subprocess does, in a process that has its imports already.

A fresh interpreter spends five seconds on importing torch and Lightning. Here a server, started as
a fresh interpreter, imports them once and forks for each command: a process with its own pid,
signals, environment and output. The cells of sweeps start as fresh interpreters.
"""

import atexit
import json
import os
import runpy
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

from lra.machine import ROOT

context = get_context("forkserver")
context.set_forkserver_preload(
    ["lra.training.run", "lra.training.attempt", "lra.report.tables.scores"]
)
OUTPUTS = ("stdout", "stderr")


class Popen:
    """The part of subprocess.Popen that the tests use.

    command: the words after `python`, a script or -m and a module, then arguments.
    """

    def __init__(self, command: list[str], env: dict[str, str] | None = None, cwd: str = str(ROOT)):
        self.args = command
        self.folder = Path(tempfile.mkdtemp())
        arguments = (command, env or os.environ.copy(), cwd, self.folder)
        self.process = context.Process(target=_main, args=arguments)
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


def run(
    command: list[str],
    env: dict[str, str] | None = None,
    cwd: str = str(ROOT),
    timeout: float = 300,
) -> subprocess.CompletedProcess:
    child = Popen(command, env, cwd)
    out, err = child.communicate(timeout=timeout)
    return subprocess.CompletedProcess(command, child.returncode, out, err)


CLIENT = """import json, os, socket, sys
said = {"command": sys.argv[2:], "env": dict(os.environ), "cwd": os.getcwd()}
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    server.sendall(json.dumps(said).encode() + b"\\n")
    code, out, err = json.loads(server.makefile().readline())
sys.stdout.write(out), sys.stderr.write(err)
sys.exit(code)
"""


class Shell:
    """Lets commands of a shell run warm. The context yields the words that replace `python` in the
    shell: a client of 20 ms that hands its arguments, environment and folder to this process."""

    def __enter__(self) -> list[str]:
        self.folder = Path(tempfile.mkdtemp())
        self.server = socketserver.ThreadingUnixStreamServer(str(self.folder / "socket"), _Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        client = self.folder / "client.py"
        client.write_text(CLIENT)
        return [sys.executable, "-I", "-S", str(client), str(self.folder / "socket")]

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)


class _Answer(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        done = run(**json.loads(self.rfile.readline()))
        answer = json.dumps([done.returncode, done.stdout, done.stderr])
        self.wfile.write(answer.encode() + b"\n")


def _main(command: list[str], env: dict[str, str], cwd: str, folder: Path) -> None:
    for descriptor, name in enumerate(OUTPUTS, start=1):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.chdir(cwd)
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
