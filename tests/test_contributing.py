"""The recipes of CONTRIBUTING.md, executed as they are written, in a copy of the project."""

import json
import re
import shlex
import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT, TINY
from tests.project import copy_to, python

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
FENCE = re.compile(r"^( *)```(\w+)(?: (\S+))?\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
BLOCKS = [(kind, path, textwrap.dedent(text)) for _, kind, path, text in FENCE.findall(TEXT)]
FEW = ["trainer=smoke", "trainer.threads=1"]


def files() -> dict[str, str]:
    return {path: text for kind, path, text in BLOCKS if path and kind != "diff"}


def commands() -> list[str]:
    blocks = (text for kind, _, text in BLOCKS if kind == "bash")
    return [line.split(" #")[0].strip() for text in blocks for line in text.splitlines()]


def changed(text: str, diff: str) -> str:
    """Applies a block of a diff, whose context must occur once in the text."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(before) == 1, f"the recipe's context is gone: {before}"
    return text.replace(before, after)


def smoke(command: str, data: str) -> list[str]:
    """Returns the words behind python, with a few steps on tiny data."""
    words = shlex.split(command)[1:]
    if words[0] == "run.py":
        short = TINY[1:] if "task.variant=short" in words else []
        return [words[0], *[w for w in words[1:] if w.startswith("-")], *FEW, *short, *data, *[
            w for w in words[1:] if not w.startswith("-")
        ]]  # fmt: skip
    if "lra.check" in words:
        return words
    if "lra.tables" in words:
        return [*words, "trainer=smoke"]
    return [*words, *data]


@pytest.fixture(scope="module")
def project(tmp_path_factory, tiny_root):
    root = tmp_path_factory.mktemp("recipes")
    copy_to(root, "tests")
    written = files()
    # the folder of one's own has another name for the class
    yaml = written["conf/model/sharper.yaml"].replace("models.sharper.", "sharper.")
    mine = {"mine/model/sharper.yaml": yaml, "mine/sharper.py": written["models/sharper.py"]}
    for path, text in (written | mine).items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        assert not file.exists(), f"the recipe's {path} is there already"
        file.write_text(text)
    for kind, path, text in BLOCKS:
        if kind == "diff":
            file = root / path
            file.write_text(changed(file.read_text(), text))
    return root


def test_every_recipe_has_files_and_commands():
    assert {path.split("/")[0] for path in files()} == {
        "models",
        "conf",
        "tests",
        "data_prep",
        "lra",
    }
    assert {path for kind, path, _ in BLOCKS if kind == "diff"} == {
        "conf/config.yaml",
        "lra/config/schema.py",
        "lra/training/module.py",
        "lra/config/identity.py",
    }
    assert len(commands()) >= 10


def test_every_command_of_every_recipe_runs(project, tiny_root, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k saved")  # of lra.check
    inside = [c for c in commands() if "--config-dir" not in c]
    data = [f"data.root={tiny_root}"]
    found = python(project, *[smoke(command, data) for command in inside])
    for command, (code, log) in zip(inside, found, strict=True):
        assert code == 0, f"{command}\n{log}"
    models = {path.parent.name for path in project.glob("results/smoke/runs/*/*/*.json")}
    assert models >= {"sharper", "fourier", "fnet"}
    (echo,) = project.glob("results/smoke/runs/echo/fourier/*.json")
    assert json.loads(echo.read_text())["variant"] == "standard"


def test_the_new_model_is_proven(project):
    """Runs the recipe's test file and what the contract tests say of the new yaml."""
    tests = ["tests/models/test_sharper.py", "tests/models/test_classifier.py"]
    words = ["-q", "-p", "no:cacheprovider", "-k", "sharper and not compile", *tests]
    command = [sys.executable, "-m", "pytest", *words]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d passed", done.stdout), done.stdout


def test_a_new_setting_leaves_older_rows_their_cells(project):
    script = project / "cells.py"
    script.write_text(
        "import json, sys\nfrom lra.config import Configuration\n"
        "print(json.dumps([Configuration.of(words).identity for words in"
        " (['model=fnet'], ['model=fnet', 'optim.amsgrad=true'])]))\n"
    )
    ((code, log),) = python(project, ["cells.py"])
    assert code == 0, log
    before, after = json.loads(log)
    assert "amsgrad" not in before["optim"]
    assert after["optim"]["amsgrad"] is True


def test_a_model_of_ones_own_needs_no_change_of_the_repository(project, tiny_root):
    """Without the files that the first recipe has added; in a sweep, too."""
    (project / "models/sharper.py").rename(project / "sharper.py.away")
    (project / "conf/model/sharper.yaml").rename(project / "sharper.yaml.away")
    try:
        outside = [c for c in commands() if "--config-dir" in c]
        data = [f"data.root={tiny_root}", f"results.root={project}/own"]
        found = python(project, *[smoke(command, data) for command in outside])
    finally:
        (project / "sharper.py.away").rename(project / "models/sharper.py")
        (project / "sharper.yaml.away").rename(project / "conf/model/sharper.yaml")
    assert len(found) == 2
    for command, (code, log) in zip(outside, found, strict=True):
        assert code == 0, f"{command}\n{log}"
    assert "2 cells: 1 skipped, 1 done" in found[1][1]


def test_a_task_of_ones_own_names_its_maker(project, tmp_path):
    for path in ("task", "budget/matched"):
        (tmp_path / path).mkdir(parents=True)
    yaml = files()["conf/task/echo.yaml"].replace("name: echo", "name: call\nmaker: call")
    (tmp_path / "task/call.yaml").write_text(yaml)
    (tmp_path / "call.py").write_text(files()["data_prep/tasks/echo.py"])
    (tmp_path / "budget/matched/call.yaml").write_text(files()["conf/budget/matched/echo.yaml"])
    words = [f"--config-dir={tmp_path}", "task=call", "model=fnet", *FEW]
    roots = [f"data.root={tmp_path}/data", f"results.root={tmp_path}/results"]
    ((code, log),) = python(project, ["run.py", *words, *roots])
    assert code == 0, log
    assert list(tmp_path.glob("results/smoke/runs/call/fnet/*.json"))
