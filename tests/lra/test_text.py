import pytest

from lra.text import duration


@pytest.mark.parametrize(
    "seconds, text",
    [(5, "5 s"), (59.7, "1 min 00 s"), (605, "10 min 05 s"), (7260, "2 h 01 min")],
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
