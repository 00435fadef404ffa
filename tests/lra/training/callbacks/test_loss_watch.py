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


def test_says_once_that_nothing_is_learned_yet_and_once_that_it_is(capsys):
    flat = [ENTROPY * (1 + 0.02 * (-1) ** i) for i in range(190)]  # noise averages out
    watch = train(flat)
    assert capsys.readouterr().err == ""
    train(flat + flat, watch=watch)
    told = capsys.readouterr().err
    assert told.count("nothing is learned yet") == 1
    train([1.0] * 60, watch=watch)
    assert "note: the loss left the plateau at step " in capsys.readouterr().err
    assert watch.final_loss == pytest.approx(1.0)


@pytest.mark.parametrize("loss", [math.log(10) * 0.98, 1.5])
def test_says_nothing_where_something_is_learned(loss, capsys):
    assert train([loss] * 500).final_loss == pytest.approx(loss)
    assert capsys.readouterr().err == ""


def test_a_loss_above_that_of_the_label_frequencies_is_on_the_plateau(capsys):
    train([ENTROPY * 1.2] * 500)
    assert "nothing is learned yet" in capsys.readouterr().err


def test_the_final_loss_is_the_mean_of_the_last_twentieth_of_the_steps():
    assert train([5.0] * 100 + [1.0] * 25 + [2.0] * 25).final_loss == pytest.approx(1.5)
    assert LossWatch(ACCURACY, ENTROPY, 1000, lr=0.1).final_loss is None


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


def test_without_a_loss_to_compare_with_there_is_no_plateau(capsys):
    train([ENTROPY] * 500, watch=LossWatch(ACCURACY, None, 1000, lr=0.1))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_the_run(loss):
    with pytest.raises(Diverged, match="lower optim.lr"):
        train([2.0] * 13 + [loss] + [2.0] * 10)


def test_no_checkpoint_holds_diverged_weights():
    watch = train([2.0, math.nan])
    with pytest.raises(Diverged):
        watch.state_dict()


def test_goes_on_from_a_checkpoint_as_if_unbroken(capsys):
    losses = [ENTROPY + 0.01 * math.sin(i) for i in range(300)]
    unbroken = train(losses)
    told = capsys.readouterr().err
    two = LossWatch(ACCURACY, ENTROPY, 1000, 0.1)
    two.load_state_dict(train(losses[:97]).state_dict())
    train(losses[97:], watch=two)
    two.look(), unbroken.look()
    assert two.state_dict() == unbroken.state_dict()
    assert capsys.readouterr().err == told != ""
