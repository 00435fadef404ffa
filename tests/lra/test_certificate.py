"""The certificate on disk: one text for people, one for the page, of the same findings."""

import json

import pandas as pd
import pytest

from lra import certificate, config
from lra.errors import UserError
from tests.conftest import ROOT


def line(model, **proofs):
    return {"model": model, "cost": "N"} | dict.fromkeys(certificate.PROOFS, "yes") | proofs


def test_a_model_that_fails_has_not_passed(tmp_path):
    frame = pd.DataFrame(
        [line("good"), line("bad", limit=certificate.FAILS), line("none", limit="-")]
    )
    certificate.write(frame, ["none, limit: a reason"], tmp_path)
    assert certificate.passed(tmp_path) == {"good", "none"}
    text = (tmp_path / "certificate.md").read_text()
    assert "| bad | N | yes | FAILS |" in text
    assert text.endswith("- none, limit: a reason\n")
    assert certificate.passed(tmp_path / "elsewhere") == set()


def test_the_committed_texts_are_of_the_same_findings():
    stored = json.loads((ROOT / "results/certificate.json").read_text())
    frame = pd.DataFrame(stored["models"])
    text = (ROOT / "results/certificate.md").read_text()
    assert text == certificate.markdown(frame, stored["reasons"])
    assert certificate.passed(ROOT / "results") == set(config.models())


@pytest.mark.parametrize(
    "model, file, lacking",
    [
        ("transformer", "attention", {"limit"}),
        ("fourier", "fourier", {"public"}),
        ("luna", "luna", {"limit", "public"}),
        ("bigbird", "bigbird", set()),
    ],
)
def test_a_model_says_in_its_own_test_file_which_proofs_it_lacks(model, file, lacking):
    assert certificate.mechanism(model) == file
    assert certificate.without(model).keys() == lacking


def test_an_unknown_model_is_named():
    assert certificate.named("all") == config.models()
    with pytest.raises(UserError, match="Did you mean performer"):
        certificate.named("fnet,perfomer")
