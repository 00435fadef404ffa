"""Runs Python as subprocess does, in a process that has its imports already.

A fresh interpreter spends five seconds on importing torch and Lightning. Here a server, started as
a fresh interpreter, imports them once and forks for each command, and for each cell of a sweep: a
process with its own pid, signals, environment and output. A launcher's workers and their cells
start as fresh interpreters, as everything does that a test starts with subprocess itself.
"""

import atexit
import json
import os
import runpy
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

from lra.machine import ROOT
from lra.sweep import supervisor

context = get_context("forkserver")
context.set_forkserver_preload(
    ["lra.training.run", "lra.training.attempt", "lra.report.tables.scores", "lra.sweep.supervisor"]
)
OUTPUTS = ("stdout", "stderr")
# multiprocessing looks at all children whenever it starts one: two threads would read one's code
LOCK = threading.Lock()


class Popen:
    """The part of subprocess.Popen that the tests use.

    command: the words after `python`, a script or -m and a module, then arguments. outputs: the
    files that take its output, else files of its own.
    """

    def __init__(
        self,
        command: list[str],
        env: dict[str, str] | None = None,
        cwd: str = str(ROOT),
        outputs: list[str] | None = None,
    ):
        self.args = command
        self.folder = Path(tempfile.mkdtemp())
        outputs = outputs or [str(self.folder / name) for name in OUTPUTS]
        arguments = (command, env or os.environ.copy(), cwd, outputs, _cells())
        self.process = context.Process(target=_main, args=arguments)
        with LOCK:
            self.process.start()
        self.pid = self.process.pid

    @property
    def returncode(self) -> int | None:
        with LOCK:
            return self.process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (code := self.returncode) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.01)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        self.wait(timeout)
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
        self.server = _serve(self.folder, _Command)
        client = self.folder / "client.py"
        client.write_text(CLIENT)
        return [sys.executable, "-I", "-S", str(client), self.server.server_address]

    def __exit__(self, *_) -> None:
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.folder)


class Cell:
    """Takes the place of subprocess.Popen in a sweep: this process is not the parent of the warm
    one, which tells its pid and its exit code through a socket."""

    address: str

    def __init__(self, command: list[str], start_new_session: bool, env: dict[str, str]):
        mine = [f"/proc/{os.getpid()}/fd/{descriptor}" for descriptor in (1, 2)]
        said = {"command": command[1:], "env": env, "cwd": os.getcwd(), "outputs": mine}
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(self.address)
        self.server.sendall(json.dumps(said).encode() + b"\n")
        self.answers = self.server.makefile()
        self.pid = int(self.answers.readline())

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        code = int(self.answers.readline())
        self.answers.close()
        self.server.close()
        return code


class _Command(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        done = run(**json.loads(self.rfile.readline()))
        answer = json.dumps([done.returncode, done.stdout, done.stderr])
        self.wfile.write(answer.encode() + b"\n")


class _Cell(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        child = Popen(**json.loads(self.rfile.readline()))
        self.wfile.write(b"%d\n" % child.pid)
        code = child.wait()
        with suppress(BrokenPipeError):  # the sweep was killed
            self.wfile.write(b"%d\n" % code)
        shutil.rmtree(child.folder)


def _serve(folder: Path, handler) -> socketserver.ThreadingUnixStreamServer:
    server = socketserver.ThreadingUnixStreamServer(str(folder / "socket"), handler)
    server.daemon_threads = True  # a test that failed may leave a sweep behind
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@cache
def _cells() -> str:
    """Returns the address of the server of cells, which lives as long as this process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    return str(_serve(folder, _Cell).server_address)


def _main(
    command: list[str], env: dict[str, str], cwd: str, outputs: list[str], cells: str
) -> None:
    os.setsid()
    for descriptor, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = filter(None, env.get("PYTHONPATH", "").split(os.pathsep))
    Cell.address, supervisor.subprocess = cells, SimpleNamespace(Popen=Cell)
    try:
        if command[0] == "-m":
            sys.argv = command[1:]
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = command
            runpy.run_path(command[0], run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing's children leave them out
