import pytest

from lra.report.inherited import begins, belongs, filtered, setting
from lra.store.row import Inherited
from tests.lra.report.tables.test_summarization import summary
from tests.lra.store.test_row import row

PRETRAINED = Inherited(init="results/work/x/pretrained", sha256="0123456789abcdef")


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({}, True),
        ({"modified": {"model.keep_ratio": [0.5, 0.2], "model.restore": ["a", "b"]}}, True),
        ({"modified": {"init": [None, "w"]}}, True),
        ({"modified": {"optim.lr": [1, 2]}}, False),
    ],
)
def test_a_filter_of_another_setting_belongs_here(changes, expected):
    assert belongs(summary(**changes)) is expected
    assert not belongs(row(**changes))  # a model of the arena on its tasks


def test_an_encoder_belongs_here_on_a_task_of_the_arena():
    assert belongs(row(model="encoder", config={"model": {"name": "encoder"}}))


def test_a_setting_is_the_filter_and_the_first_weights():
    ours = summary(settings={"keep_ratio": 0.2, "restore": "none"}, inherited=PRETRAINED)
    assert filtered(ours) == "keep 0.2, restore none"
    assert begins(ours) == "pretrained 01234567"
    assert setting(ours) == "keep 0.2, restore none, pretrained 01234567"
    assert setting(summary(settings={})) == "random weights"
    assert filtered(summary(settings={"keep_ratio": 1})) == "keep 1"
