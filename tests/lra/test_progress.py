from types import SimpleNamespace

import pytest

from lra.progress import Phase, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("time.monotonic", lambda: now.seconds)
    return now


def test_the_rate_is_that_of_the_last_minute(clock):
    phase = Phase("steps", 1000)
    assert phase.seconds_each is None
    for step in range(1, 101):  # a second each, then ten
        clock.seconds += 1
        phase.mark(step)
    assert phase.seconds_each == pytest.approx(1)
    for step in range(101, 111):
        clock.seconds += 10
        phase.mark(step)
    assert phase.seconds_each == pytest.approx(10)
    assert phase.left == "2 h 28 min left"


def test_a_pause_is_not_part_of_the_rate(clock):
    phase = Phase("steps", 10)
    for step in (1, 2):
        clock.seconds += 2
        phase.mark(step)
    phase.pause()
    clock.seconds += 98
    phase.go_on()
    clock.seconds += 2
    phase.mark(3)
    assert phase.seconds_each == pytest.approx(2)


def test_work_of_before_is_not_part_of_the_rate(clock):
    """A resumed phase begins with what an earlier process did, in no time."""
    phase = Phase("images", 1000)
    for done in (500, 501, 502):
        clock.seconds += 1
        phase.mark(done)
    assert phase.left == "8 min 18 s left"


def test_a_phase_is_silent_for_two_seconds_and_then_says_a_line_a_minute(clock, capsys):
    phase = Phase("test: batch", 1000)
    for second in range(130):
        clock.seconds = second
        phase.mark(second)
        phase.say("5 s left")
    assert capsys.readouterr().err.splitlines() == [
        "test: batch 2/1,000 \u00b7 5 s left",
        "test: batch 62/1,000 \u00b7 5 s left",
        "test: batch 122/1,000 \u00b7 5 s left",
    ]


@pytest.mark.parametrize(
    "total, lines",
    [
        (100, ["drawing 2/100 \u00b7 1 min 38 s left", "drawing 62/100 \u00b7 38 s left"]),
        (0, ["drawing 2", "drawing 62"]),  # a download of unknown length
    ],
)
def test_a_long_loop_says_how_far_it_is(clock, capsys, total, lines):
    with progress("drawing", total) as advance:
        for done in range(1, 101):
            clock.seconds += 1
            advance(done)
    assert capsys.readouterr().err.splitlines() == lines
