import itertools
from types import SimpleNamespace

import pytest

from lra.training.callbacks.progress import RunProgress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("time.monotonic", lambda: now.seconds)
    return now


def run(clock, capsys, steps=100, val_every=50, batches=20):
    """Trains at a second a step and evaluates at a second a batch; returns what was said."""
    shown = RunProgress(batch_size=4, test_size=2.0)
    module = SimpleNamespace(val_score=lambda: None)
    trainer = SimpleNamespace(
        max_steps=steps,
        global_step=0,
        val_check_interval=val_every,
        num_val_batches=[batches],
        num_test_batches=[2 * batches],
        lightning_module=module,
    )
    shown.on_train_start(trainer, module)
    for step in range(1, steps + 1):
        clock.seconds += 1
        trainer.global_step = step
        shown.on_train_batch_end(trainer, module, None, None, 0)
        if step % val_every == 0:
            shown.on_validation_start(trainer, module)
            for batch in range(batches):
                clock.seconds += 1
                shown.on_validation_batch_end(trainer, module, None, None, batch)
            shown.on_validation_end(trainer, module)
    shown.on_train_end(trainer, module)
    shown.on_test_start(trainer, module)
    for batch in range(2 * batches):
        clock.seconds += 1
        shown.on_test_batch_end(trainer, module, None, None, batch)
    shown.on_test_end(trainer, module)
    return capsys.readouterr().err.splitlines()


def test_every_phase_says_how_long_it_will_take(clock, capsys):
    lines = run(clock, capsys)
    phases = [name for name, _ in itertools.groupby(line.split(" ")[0] for line in lines)]
    assert phases == ["training", "validation:", "training", "validation:", "test:"]
    assert lines[0] == "training 2/100 \u00b7 1 min 38 s left"  # nothing was evaluated yet
    # after the validation at 50: 49 steps, the validation at 100 (20 s) and the test (40 s)
    assert "training 51/100 \u00b7 1 min 49 s left" in lines
    assert "test: batch 2/40 \u00b7 38 s left" in lines


def test_other_ranks_are_silent(clock, capsys):
    shown = RunProgress(batch_size=4)
    shown.disable()
    trainer = SimpleNamespace(num_test_batches=[20])
    shown.on_test_start(trainer, None)
    for batch in range(20):
        clock.seconds += 1
        shown.on_test_batch_end(trainer, None, None, None, batch)
    shown.on_test_end(trainer, None)
    assert capsys.readouterr().err == ""
