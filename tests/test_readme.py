"""Runs every command of the README through bash in a smoke form: in a folder that links to the
project, with a few steps on a tiny ListOps."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lra import config
from tests import originals, warm
from tests.conftest import ROOT, TINY
from tests.originals import SETTINGS

TASKS = {"listops": TINY, **SETTINGS}

SMOKE = " ".join(["trainer=smoke", "trainer.threads=1", *TINY])
PAGES = {
    page.name: page.read_text() for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
}
TEXT = "\n".join(PAGES.values())


def commands(text: str) -> list[str]:
    """Returns the lines of a page's bash blocks."""
    return [
        line
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
        if line and not line.startswith(("#", "git clone", "cd "))
    ]


def smoke_form(command: str, python: str) -> str:
    if command.startswith(("make test", "make lint")):
        return f"make -n {command.removeprefix('make ')}"  # these run the tests that run this one
    if command.startswith("make setup"):
        return "make -n setup"
    if command.startswith("make run"):
        arguments = re.search(r'ARGS="(.*)"', command)
        default = "task=listops model=fourier protocol=lite"
        text = f"{arguments.group(1) if arguments else default} {SMOKE}"
        return f'make run ARGS="{text}" RUN="{python}" --old-file .venv/.run'
    command = command.split(" #")[0].rstrip()
    if "hydra/launcher" in command:  # joblib starts workers, which a forked process cannot
        command = command.replace("python ", f"{sys.executable} ", 1)
    if "lra.efficiency" in command:
        settings = "models=transformer lengths=32 batch=2 rounds=1 trainer.threads=1"
        settings += " results.root=results/smoke"
        return f"python -m lra.efficiency {settings}"
    if re.search("lra.(tables|plots|leaderboard)", command):
        return f"{command} modified=true trainer=smoke"
    if "lra.sweep" in command or "lra.search" in command:
        return f"{command.replace('trials=20', 'trials=1')} {SMOKE}"
    if "data_prep probe" in command:
        return f"{command} {' '.join(SETTINGS['text'])}"
    if "data_prep all" in command:
        tiny = [o.replace("task.", f"{task}.", 1) for task, os in TASKS.items() for o in os]
        return f"{command.replace('2000', '20')} {' '.join(tiny)}"
    if "lra.check" in command:
        return f"PYTEST_ADDOPTS='-k saved' {command}"
    if "benchmarks." in command:
        return f"{command} lengths=32,64" + (" widths=8" if "benchmarks.models" in command else "")
    if "data_prep doctor" in command:
        return command
    if "data_prep" in command:
        return f"{command} {' '.join(TINY)}"
    for task in SETTINGS:
        if f"task={task}" in command:
            smoke = " ".join(["trainer=smoke", "trainer.threads=1", *SETTINGS[task]])
            return command.replace("run.py", f"run.py {smoke} batch_size=1")
    command = command.replace("seed=0,1", "seed=0")  # half the cells of a sweep
    command = re.sub(r"run.py( -m)?", rf"run.py\1 {SMOKE}", command)  # typed overrides still win
    return command.replace("results/work", "results/smoke/work")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "clone"
    path.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in ("data", "results", ".git", ".venv"):
            (path / entry.name).symlink_to(entry)
    return path


def test_the_readme_shows_commands():
    shown = commands(PAGES["README.md"])
    assert len(shown) >= 6
    assert {"make test", "make run"} <= set(shown)


CLUSTER = re.findall(r"^# (python run\.py -m .*)$", TEXT, re.MULTILINE)


@pytest.mark.parametrize("command", CLUSTER)
def test_the_command_for_a_cluster_composes(command):
    """Composes the command only, since running it needs a cluster."""
    launcher = re.search(r"hydra/launcher=([a-z]+)", command).group(1)
    package = {"slurm": "submitit"}.get(launcher, launcher)
    pytest.importorskip(
        f"hydra_plugins.hydra_{package}_launcher", reason=f"pip install -e '.[{package}]' brings it"
    )
    swept = re.compile(r",|=glob\(")
    settings = [o for o in shlex.split(command)[3:] if not swept.search(o)]
    with initialize_config_dir(config_dir=str(config.CONF), version_base="1.3"):
        cfg = compose("config", settings, return_hydra_config=True)
    target = f"hydra_plugins.hydra_{package}_launcher"
    assert OmegaConf.to_container(cfg.hydra.launcher)["_target_"].startswith(target)
    assert cfg.hydra.launcher.get("partition") == "gpu" or cfg.hydra.launcher.ray.init.address


@pytest.mark.parametrize("page", sorted(page for page in PAGES if commands(PAGES[page])))
def test_every_command_runs(page, folder):
    """Runs a page's commands in its order, since later ones use the results of earlier ones."""
    archives = originals.write_all(folder / "archives")
    env = os.environ | {"WANDB_MODE": "offline", "HOME": str(folder)}
    env |= {"LRA_ARCHIVES": str(archives), "PYTHONPATH": str(folder)}
    with warm.Shell() as words:
        python = shlex.join(words)
        for command in commands(PAGES[page]):
            text = smoke_form(command, python)
            script = f'set -e; python() {{ {python} "$@"; }}; {text}'
            result = subprocess.run(
                ["bash", "-c", script], cwd=folder, capture_output=True, text=True, env=env
            )
            assert result.returncode == 0, f"{text}\n{result.stdout}\n{result.stderr}"


def test_every_model_is_in_the_list():
    listed = re.findall(r"^\| `(\w+)` \|", PAGES["models.md"], re.MULTILINE)
    assert sorted(listed) == config.models()
    assert f"the {len(listed)} models" in PAGES["README.md"]


@pytest.mark.parametrize("page", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_leads_to_a_file(page):
    base = ROOT / ("docs" if page in PAGES and page != "README.md" else "")
    for target in re.findall(r"\]\(([^)]+)\)", (base / page).read_text()):
        path, _, anchor = target.partition("#")
        if path.startswith("http"):
            continue
        file = base / path if path else base / page
        assert file.exists(), f"{page} links to {target}"
        headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in [h.lower().replace(" ", "-") for h in headings], target
