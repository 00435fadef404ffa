import math
from types import SimpleNamespace

import pytest
import torch

from lra.errors import Diverged
from lra.objective import share_score
from lra.objective.classification import ACCURACY
from lra.training.callbacks.loss_watch import LossWatch

ENTROPY = math.log(10)


def train(losses, max_steps=1000, watch=None):
    watch = watch or LossWatch(ACCURACY, ENTROPY, max_steps, lr=0.1)
    trainer = SimpleNamespace(global_step=0, loggers=[])
    for loss in losses:
        trainer.global_step += 1
        watch.on_train_batch_end(trainer, None, {"mean": torch.tensor(loss)}, None, 0)
    return watch


def test_warns_once_of_a_plateau_at_the_label_entropy():
    flat = [math.log(10) * (1 + 0.02 * (-1) ** i) for i in range(190)]  # noise averages out
    assert train(flat).warnings == []
    watch = train(flat + flat)
    assert len(watch.warnings) == 1
    assert "plateau" in watch.warnings[0]
    assert "warmup" in watch.warnings[0]


@pytest.mark.parametrize("loss", [math.log(10) * 0.98, 1.5])
def test_does_not_warn_where_something_is_learned(loss):
    assert train([loss] * 500).warnings == []


def validate(watch, step, accuracy, fn="fit"):
    scores = {"val": {"accuracy": share_score(round(100 * accuracy), 100)}}
    trainer = SimpleNamespace(global_step=step, loggers=[], state=SimpleNamespace(fn=fn))
    watch.on_validation_end(trainer, SimpleNamespace(scores=scores))


def test_the_curve_has_the_mean_loss_between_two_validations():
    watch = train([2.0] * 15 + [1.0] * 5)
    validate(watch, 20, 0.5)
    train([0.5] * 3, watch=watch)
    validate(watch, 23, 0.6)
    validate(watch, 23, 0.6, fn="validate")  # scored again at the end of a run: no point
    assert watch.curve == [(20, pytest.approx(1.75), 0.5), (23, pytest.approx(0.5), 0.6)]


def test_the_curve_goes_on_from_a_checkpoint():
    watch = train([2.0] * 10)
    validate(watch, 10, 0.4)
    train([1.0] * 5, watch=watch)
    resumed = LossWatch(ACCURACY, watch.untaught, 1000, lr=0.1)
    resumed.load_state_dict(watch.state_dict())
    train([0.0] * 5, watch=resumed)
    validate(resumed, 20, 0.5)
    assert resumed.curve == [(10, 2.0, 0.4), (20, 0.5, 0.5)]


def test_without_a_loss_to_compare_with_there_is_no_plateau():
    watch = LossWatch(ACCURACY, None, 1000, lr=0.1)
    assert train([ENTROPY] * 500, watch=watch).warnings == []


def test_a_break_starts_the_plateau_anew():
    flat = [math.log(10)] * 190
    assert train(flat + [1.0] * 10 + flat).warnings == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(loss):
    with pytest.raises(Diverged, match="lower optim.lr"):
        train([2.0] * 13 + [loss] + [2.0] * 10)


def test_no_checkpoint_holds_diverged_weights():
    watch = train([2.0, math.nan])
    with pytest.raises(Diverged):
        watch.state_dict()


def test_goes_on_from_a_checkpoint_as_if_unbroken():
    losses = [math.log(10)] * 205
    unbroken, one = train(losses), train(losses[:97])
    two = LossWatch(ACCURACY, one.untaught, 1000, 0.1)
    two.load_state_dict(one.state_dict())
    train(losses[97:], watch=two)
    two.look(), unbroken.look()
    assert two.warnings == unbroken.warnings != []
