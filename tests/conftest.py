"""Shared fixtures: a tiny ListOps, and run.py as a user calls it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lra import config
from tests import warm

torch.set_num_threads(1)  # tests run side by side
ROOT = Path(__file__).resolve().parents[1]
os.environ["LRA_BOARD"] = str(ROOT / "nowhere")  # tests that need a board name theirs
TINY = [
    "task.variant=short",
    "task.variants.short.counts.train=256",
    "task.variants.short.counts.val=40",
    "task.variants.short.counts.test=50",
]
MODELS = config.models()

# Budgets that give several blocks, and less than one feature a token, for 60 tokens.
SMALL = {
    "bigbird": {"block": 8, "random_blocks": 2},
    "informer": {"features": 16},
    "linformer": {"features": 16},
    "local": {"window": 16},
    "longformer": {"window": 16},
    "nystromformer": {"landmarks": 16, "conv_kernel": 5},
    "performer": {"features": 32},
    "reformer": {"chunk": 16},
    "sinkhorn": {"block": 16},
    "skyformer": {"landmarks": 16},
}


def pytest_collection_modifyitems(items) -> None:
    """Puts the longest tests first, so that no worker waits for one at the end."""
    items.sort(key=lambda item: not item.name.startswith("test_every_command"))


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """A data.root with the tiny ListOps in it."""
    import data_prep

    root = tmp_path_factory.mktemp("data")
    cfg = config.compose([*TINY, f"data.root={root}"])
    data_prep.prepare(cfg.task, cfg.data)
    return root


@pytest.fixture(scope="session")
def archives() -> Path:
    """The folder of original archives; tests on the large real data skip without it."""
    root = os.environ.get("LRA_ARCHIVES")
    if not root:
        pytest.skip("LRA_ARCHIVES does not name a folder with the original archives")
    return Path(root)


def original(archives: Path, name: str) -> Path:
    """Returns a file or folder of the original archives; the test skips where it is missing."""
    if not (archives / name).exists():
        pytest.skip(f"LRA_ARCHIVES has no {name}")
    return archives / name


class Runner:
    """Calls run.py on the tiny task, with results in a folder of the test's own."""

    def __init__(self, data_root: Path, results_root: Path):
        self.results = results_root / "smoke"
        self.common = [
            "trainer=smoke",
            "trainer.threads=1",
            *TINY,
            f"data.root={data_root}",
            f"results.root={results_root}",
        ]

    def command(self, *overrides: str) -> list[str]:
        flags = [o for o in overrides if o.startswith("-")]  # Hydra wants them in front
        settings = [o for o in overrides if not o.startswith("-")]
        return [sys.executable, str(ROOT / "run.py"), *flags, *self.common, *settings]

    def start(self, *overrides: str, cold: bool = False) -> "warm.Popen | subprocess.Popen":
        """cold: fresh interpreters, also for the cells of a sweep."""
        command = self.command(*overrides)
        # a launcher starts workers, which a forked process cannot
        if cold or any(word.startswith("hydra/launcher=") for word in command):
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
        return warm.Popen(command[1:])

    def __call__(
        self, *overrides: str, timeout: float = 300, cold: bool = False
    ) -> subprocess.CompletedProcess:
        child = self.start(*overrides, cold=cold)
        out, err = child.communicate(timeout=timeout)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def rows(self):
        from lra.store import runs

        return runs.read_all(self.results)


@pytest.fixture
def run(tiny_root, tmp_path) -> Runner:
    return Runner(tiny_root, tmp_path / "results")


def compose_net(settings: dict, seed: int = 0):
    """The network that these overrides would train, on the short ListOps, with a SMALL budget."""
    from hydra.utils import instantiate

    small = SMALL.get(settings.get("model"), {})
    settings = {f"model.block.mixer.{key}": value for key, value in small.items()} | settings
    overrides = [f"{key}={value}".replace(" ", "") for key, value in settings.items()]
    cfg = config.compose(["task.variant=short", *overrides])
    torch.manual_seed(seed)
    return instantiate(cfg.model.net)
