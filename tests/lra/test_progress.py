from types import SimpleNamespace

import pytest

from lra.progress import Clock, Phase, progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("time.monotonic", lambda: now.seconds)
    return now


def test_the_rate_is_that_of_the_last_minute(clock):
    rate = Clock()
    for step in range(100):  # a second each, then ten
        clock.seconds += 1
        rate.mark(step)
    assert rate.seconds_each() == pytest.approx(1)
    for step in range(100, 110):
        clock.seconds += 10
        rate.mark(step)
    assert rate.seconds_each() == pytest.approx(10)


def test_a_pause_is_not_part_of_the_rate(clock):
    rate = Clock()
    rate.mark(0)
    clock.seconds = 2
    rate.mark(1)
    rate.pause()
    clock.seconds = 100
    rate.go_on()
    clock.seconds = 102
    rate.mark(2)
    assert rate.seconds_each() == pytest.approx(2)


def test_many_fast_steps_leave_few_marks(clock):
    rate = Clock()
    for step in range(10_000):
        clock.seconds += 0.001
        rate.mark(step)
    assert len(rate._marks) < 50
    assert rate.seconds_each() == pytest.approx(0.001)


def test_a_phase_is_silent_for_two_seconds_and_then_says_a_line_a_minute(clock, capsys):
    phase = Phase("test: batch", 1000)
    for second in range(130):
        clock.seconds = second
        phase.advance(second, "5 s left")
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "test: batch 2/1,000 \u00b7 5 s left",
        "test: batch 62/1,000 \u00b7 5 s left",
        "test: batch 122/1,000 \u00b7 5 s left",
    ]


def test_a_long_loop_says_how_far_it_is(clock, capsys):
    with progress("drawing", 100) as advance:
        for done in range(1, 101):
            clock.seconds += 1
            advance(done)
    assert capsys.readouterr().err.splitlines() == [
        "drawing 2/100 \u00b7 1 min 38 s left",
        "drawing 62/100 \u00b7 38 s left",
    ]


def test_a_loop_of_unknown_length_says_how_far_it_is(clock, capsys):
    with progress("downloading", 0) as advance:
        for done in range(1, 5):
            clock.seconds += 1
            advance(done)
    assert capsys.readouterr().err == "downloading 2\n"
