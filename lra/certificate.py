"""The certificate of a model: the properties that its tests prove, found by running the tests.

A test names the property that it proves with the marker proof(of). The tests in
tests/models/test_classifier.py hold for every model. Every other test is about the mechanism in the
file that it mirrors; WITHOUT in the test file says why the model lacks a proof.
"""

import json
import sys
from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from lra import config
from lra.errors import UserError, one_of
from lra.files import replacing

ROOT = config.CONF.parent
# The properties that can be proven, with their meanings.
PROOFS = {
    "definition": "outputs and gradients equal the method written plainly in float64",
    "limit": "equal to exact attention where the method is exact",
    "public": "equal to a public implementation with the same weights",
    "finite": "finite in float32 and in bfloat16 autocast, and the two agree",
    "gradients": "every parameter gets one",
    "deterministic": "two evaluations are equal bit for bit",
    "batch-mates": "a prediction does not depend on the rest of the batch",
    "padding": "neither on what stands in the padding, nor on how much there is",
    "lengths": "any length, from 1, also one that fits no block",
    "documents": "two documents are encoded alike",
    "compiles": "torch.compile without a graph break",
    "saved": "weights saved and loaded give the same outputs",
    "learns": "learns 64 ListOps examples by heart",
}
FAILS = "FAILS"
Findings = dict[tuple[str, str], list]  # (model, proof) -> findings of its tests


def named(models: str) -> list[str]:
    """Returns all models for `all`, else the models named between commas."""
    known = config.models()
    chosen = known if models == "all" else models.split(",")
    for model in chosen:
        if model not in known:
            raise one_of("model", model, known)
    return chosen


def mechanism(model: str) -> str:
    """Returns the name of the file in models/ that defines the model's mechanism."""
    block = config.plain(config.compose([f"model={model}"]).model.block)
    own = block["_target_"] != "models.block.Block"
    return (block if own else block["mixer"])["_target_"].split(".")[-2]


class Certificate:
    """A pytest plugin: keeps the tests that prove something of these models, and their outcomes."""

    def __init__(self, chosen: list[str]):
        self.files = {f"test_{mechanism(model)}": model for model in chosen}
        self.chosen = chosen
        self.proves: dict[str, tuple[str, str]] = {}  # test -> (model, proof)
        self.outcomes: Findings = defaultdict(list)  # (model, proof) -> (outcome, reason)
        self.differences: Findings = defaultdict(list)  # of the tests' comparisons

    def pytest_collection_modifyitems(self, config, items) -> None:
        kept = []
        for item in items:
            mark = item.get_closest_marker("proof")
            parameters = getattr(getattr(item, "callspec", None), "params", {})
            model = parameters.get("model", self.files.get(item.path.stem))
            if mark and model in self.chosen:
                self.proves[item.nodeid] = (model, mark.args[0])
                kept.append(item)
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def pytest_runtest_logreport(self, report) -> None:
        proves = self.proves[report.nodeid]
        if report.when == "teardown":  # only then are the properties complete
            self.differences[proves] += dict(report.user_properties).values()
        if report.when != "call" and report.outcome == "passed":
            return
        reason = ""
        if report.outcome == "skipped":
            reason = str(report.longrepr[2]).removeprefix("Skipped: ")
        elif report.outcome == "failed":
            reason = str(report.longrepr).strip().splitlines()[-1]
        self.outcomes[proves].append((report.outcome, reason))

    def cell(self, model: str, proof: str) -> tuple[str, str]:
        """Returns the cell of the table, and the reason where it is not a plain yes."""
        outcomes = self.outcomes.get((model, proof), [])
        failed = [reason for outcome, reason in outcomes if outcome == "failed"]
        if failed:
            return FAILS, failed[0]
        skipped = sorted({reason for outcome, reason in outcomes if outcome == "skipped"})
        if not any(outcome == "passed" for outcome, _ in outcomes):
            reasons = skipped or [without(model).get(proof, "no test proves it")]
            return "-", reasons[0]
        differences = self.differences[model, proof]
        said = f"yes, {max(differences):.0e}" if differences else "yes"
        return (said + " *", skipped[0]) if skipped else (said, "")


def without(model: str) -> dict[str, str]:
    """Returns the proofs that a model cannot have, with the reasons: WITHOUT in its test file."""
    sys.path.insert(0, str(ROOT))
    module = f"tests.models.test_{mechanism(model)}"
    if find_spec(module) is None:  # a model of another folder
        return dict.fromkeys(("definition", "limit", "public"), f"{module} is not here")
    return getattr(import_module(module), "WITHOUT", {})


def certify(chosen: list[str]) -> Certificate:
    try:
        import pytest
    except ImportError:
        raise UserError("The certificate runs the tests: pip install -e '.[dev]'.") from None
    certificate = Certificate(chosen)
    tests = str(ROOT / "tests/models")
    options = ["-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", f"--rootdir={ROOT}"]
    # hydra, a pytest plugin too, is imported already
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*options, tests], plugins=[certificate])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise UserError("pytest did not finish: see above.")
    return certificate


def table(certificate: Certificate) -> tuple[pd.DataFrame, list[str]]:
    lines, reasons = [], []
    for model in certificate.chosen:
        line = {"model": model, "cost": config.cost(model)}
        for proof in PROOFS:
            line[proof], reason = certificate.cell(model, proof)
            if reason:
                reasons.append(f"{model}, {proof}: {reason}")
        lines.append(line)
    return pd.DataFrame(lines), reasons


def show(frame: pd.DataFrame, reasons: list[str]) -> None:
    console = Console(width=None if sys.stdout.isatty() else 160)
    view = Table(title="Certificate", title_justify="left")
    view.add_column("proof")
    for model in frame.model:
        view.add_column(model)
    for proof, meaning in PROOFS.items():
        view.add_row(f"{proof}: {meaning}", *frame[proof])
    console.print(view)
    for reason in reasons:
        console.print(f"- {reason}", markup=False)


def markdown(frame: pd.DataFrame, reasons: list[str]) -> str:
    text = "<!-- written by python -m lra.check models=all; do not edit -->\n\n# Certificate\n\n"
    text += (
        "A number is the largest difference found; * marks what holds with the exception below.\n\n"
    )
    text += "| " + " | ".join(frame.columns) + " |\n|" + "---|" * len(frame.columns) + "\n"
    for line in frame.itertuples(index=False):
        text += "| " + " | ".join(line) + " |\n"
    text += "\n" + "".join(f"- {proof}: {meaning}\n" for proof, meaning in PROOFS.items())
    return text + "\n" + "".join(f"- {reason}\n" for reason in reasons)


def write(frame: pd.DataFrame, reasons: list[str], root: Path) -> None:
    """Writes certificate.md for people and certificate.json, which `passed` reads."""
    lines = {"models": frame.to_dict("records"), "reasons": reasons}
    texts = {"md": markdown(frame, reasons), "json": json.dumps(lines, indent=1) + "\n"}
    for ending, text in texts.items():
        path = root / f"certificate.{ending}"
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(f"written: {path}")


def passed(root: Path = ROOT / "results") -> set[str]:
    """Returns the models for which the certificate below `root` shows no failure."""
    path = root / "certificate.json"
    if not path.exists():
        return set()
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))["models"]
        return {line["model"] for line in lines if FAILS not in line.values()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a certificate: restore it from git.") from error
