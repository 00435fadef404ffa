"""The harness is installed from its checkout, editable, or not at all."""

import subprocess
import sys
import tomllib

import pytest

from tests.conftest import ROOT

BACKEND = """
import sys
sys.path.insert(0, ".ci")
import build_from_checkout as backend
backend.{hook}()
print("went on")
"""


def hook(name: str) -> subprocess.CompletedProcess:
    """Calls a hook of the build backend as pip does, in a process whose folder is the checkout."""
    pytest.importorskip("setuptools.build_meta", reason="pip brings setuptools where it builds")
    command = [sys.executable, "-c", BACKEND.format(hook=name)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["get_requires_for_build_wheel", "get_requires_for_build_sdist"])
def test_a_copy_is_refused_in_one_sentence_before_anything_is_downloaded(name):
    done = hook(name)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.endswith("clone the repository, and there type: pip install -e .")


def test_an_editable_install_goes_on():
    done = hook("get_requires_for_build_editable")
    assert done.stdout.endswith("went on\n"), done.stderr


def test_an_editable_install_brings_no_module_of_a_general_name_but_what_lra_imports():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["build-system"]["build-backend"] == "build_from_checkout"
    assert project["build-system"]["backend-path"] == [".ci"]
    found = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert found == ["lra*", "models*", "data_prep*"]
