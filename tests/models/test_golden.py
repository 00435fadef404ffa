"""Changes for speed keep the results: the first steps of every model are those of the commit that
wrote tests/golden.json, up to the rounding of float32."""

import json

import pytest

from lra import config
from tests import golden

CURVES = json.loads(golden.FILE.read_text())


CASES = [
    pytest.param(case, marks=[] if case == "listops" else pytest.mark.slow) for case in golden.CASES
]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("model", config.models())
def test_the_first_steps_are_those_of_a_trusted_commit(model, case):
    assert golden.curve(model, case) == pytest.approx(CURVES[model][case], rel=2e-4)
