"""The certificate of a model: what is proven of it, by running the tests that prove it.

python -m lra.check model=performer      one model, with the reason for whatever is not proven
python -m lra.check models=all           all of them, and results/certificate.md

A test says what it proves with the marker proof(of). Those in tests/models/test_classifier.py hold
for every model; the others are about the mechanism in the file that they mirror.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import pandas as pd
from omegaconf import OmegaConf
from rich.console import Console
from rich.table import Table

from lra import config
from lra.errors import UserError, exit_code, one_of
from lra.files import replacing

ROOT = config.CONF.parent
# What can be proven, and what that means.
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
# Why a model has no proof of a kind. Skipped tests give their own reason.
NO_LIMIT = {
    "cosformer": "another similarity than the softmax's; nothing it could be equal to",
    "fnet": "no attention weights; nothing it could be equal to",
    "kernelized": "it is the exact form",
    "linear_transformer": "another similarity than the softmax's; nothing it could be equal to",
    "lru": "a recurrence; the definition is the limit",
    "luna": "two attentions in a row; nothing it could be equal to",
    "mega": "gates and a moving average beside attention; nothing it could be equal to",
    "s4d": "a recurrence; the definition is the limit",
    "synthesizer": "no products of tokens; nothing it could be equal to",
    "transformer": "it is the exact form",
}


def named(models: str) -> list[str]:
    """all, or names between commas."""
    known = config.models()
    chosen = known if models == "all" else models.split(",")
    for model in chosen:
        if model not in known:
            raise one_of("model", model, known)
    return chosen


def mechanism(model: str) -> str:
    """The file in models/ that makes the model what it is."""
    block = OmegaConf.to_container(config.compose([f"model={model}"]).model.block, resolve=False)
    own = block["_target_"] != "models.block.Block"
    return (block if own else block["mixer"])["_target_"].split(".")[1]


class Certificate:
    """A pytest plugin: keeps the tests that prove something of these models, and their outcome."""

    def __init__(self, chosen: list[str]):
        self.files = {f"test_{mechanism(model)}": model for model in chosen}
        self.chosen = chosen
        self.proves: dict[str, tuple[str, str]] = {}  # test -> (model, proof)
        self.outcomes = defaultdict(list)  # (model, proof) -> (outcome, reason)
        self.differences = defaultdict(list)  # (model, proof) -> of the comparisons

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
        if report.when == "teardown":  # when the properties are complete
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
        """What the table says, and the reason where it is not a plain yes."""
        outcomes = self.outcomes.get((model, proof), [])
        failed = [reason for outcome, reason in outcomes if outcome == "failed"]
        if failed:
            return "FAILS", failed[0]
        skipped = sorted({reason for outcome, reason in outcomes if outcome == "skipped"})
        if not any(outcome == "passed" for outcome, _ in outcomes):
            reasons = skipped or [
                {"limit": NO_LIMIT, "public": no_public()}.get(proof, {}).get(model)
            ]
            return "-", reasons[0] or "no test proves it"
        differences = self.differences[model, proof]
        said = f"yes, {max(differences):.0e}" if differences else "yes"
        return (said + " *", skipped[0]) if skipped else (said, "")


def no_public() -> dict[str, str]:
    sys.path.insert(0, str(ROOT))
    from tests.models.test_public import NOT_PUBLIC

    return NOT_PUBLIC


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


def passed(path: Path) -> set[str]:
    """The models of which a certificate, as `markdown` writes it, says that nothing fails."""
    if not path.exists():
        return set()
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {model for model, *proofs in cells if "FAILS" not in proofs}


def main() -> None:
    arguments = sys.argv[1:]
    match = re.fullmatch(r"models?=(\S+)", arguments[0]) if len(arguments) == 1 else None
    if not match:
        raise UserError("Name the models: python -m lra.check model=performer, or models=all.")
    everything = match[1] == "all"
    chosen = named(match[1])
    frame, reasons = table(certify(chosen))
    if everything:
        path = Path("results/certificate.md")
        with replacing(path) as temporary:
            temporary.write_text(markdown(frame, reasons))
        print(f"written: {path}")
    else:
        show(frame, reasons)
    if frame.map(lambda cell: cell == "FAILS").any(axis=None):
        raise UserError("Something that a model should do, it does not: see FAILS above.")


if __name__ == "__main__":
    sys.exit(exit_code(main))
