import math

import numpy as np
import pytest
import torch
from torch import nn

from lra.objective import Batch, named, share_score
from lra.objective.classification import Classification

OBJECTIVE = Classification("classification", 3)


class Constant(nn.Module):
    """Gives every example the same logits."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, ids, lengths):
        return self.logits.expand(len(ids), -1)


def batch(targets):
    n = len(targets)
    ids, lengths = torch.zeros(n, 1, 4), torch.full((n, 1), 4)
    return Batch(ids, lengths, torch.tensor(targets), torch.arange(n))


def test_the_loss_is_cross_entropy_in_float32_whatever_the_net_computes_in():
    net = Constant([2.0, 0.0, 0.0]).to(torch.bfloat16)
    loss = OBJECTIVE.loss(net, batch([0, 1]))
    p = math.exp(2) / (math.exp(2) + 2)
    expected = -(math.log(p) + math.log((1 - p) / 2)) / 2
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected)


def test_a_prediction_is_the_class_of_the_largest_logit():
    kept = OBJECTIVE.evaluate(Constant([0.0, 3.0, 1.0]), batch([1, 2]), "test")
    predictions = OBJECTIVE.predictions(kept.detach().numpy(), "test")
    assert predictions.dtype == np.uint8
    assert predictions.tolist() == [1, 1]
    assert OBJECTIVE.score(predictions, np.array([1, 2])) == {"accuracy": share_score(1, 2)}
    assert OBJECTIVE.values(predictions, np.array([1, 2])).tolist() == [True, False]


def test_more_than_256_classes_are_stored_whole():
    kept = np.zeros((1, 300))
    kept[0, 299] = 1
    assert OBJECTIVE.predictions(kept, "test").tolist() == [299]


def test_the_untaught_loss_is_that_of_knowing_the_frequencies_alone():
    assert OBJECTIVE.untaught_loss([1] * 10) == pytest.approx(math.log(10))
    assert OBJECTIVE.untaught_loss([5, 0]) == 0
    by_hand = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert OBJECTIVE.untaught_loss([3, 1]) == pytest.approx(by_hand)


def test_it_is_found_by_its_name_and_others_are_not():
    assert type(named("classification")) is Classification
    assert named("no_such_objective") is None
    assert named("../model/fourier") is None
