import pytest
import torch
from torch import nn

from lra import config
from lra.objective.classification import Classification
from lra.training.module import Learner, seed_everything


def module(max_steps=100, **optim):
    cfg = config.compose([f"optim.{key}={value}" for key, value in optim.items()])
    objective = Classification("classification", 2)
    return Learner(nn.Linear(2, 2), objective, cfg.optim, max_steps=max_steps, seed=0)


def test_the_linear_schedule_warms_up_and_ends_at_zero():
    factor = module(warmup=0.1, start_factor=0.0).learning_rate_factor
    assert [factor(step) for step in (0, 4, 9, 10)] == [0.1, 0.5, 1.0, 1.0]
    assert factor(55) == pytest.approx(0.5)
    assert factor(99) == pytest.approx(1 / 90)
    assert factor(100) == 0.0


def test_the_schedule_may_start_above_zero_or_have_no_warm_up():
    factor = module(warmup=0.1, start_factor=0.04).learning_rate_factor
    assert factor(0) == pytest.approx(0.04 + 0.96 / 10)
    assert factor(9) == 1.0
    assert module(warmup=0).learning_rate_factor(0) == 1.0


def test_the_rsqrt_schedule_is_lras():
    factor = module(max_steps=5000, warmup=0.2, decay="rsqrt").learning_rate_factor
    assert factor(499) == 0.5
    assert factor(3999) == pytest.approx((1000 / 4000) ** 0.5)


def test_the_gradient_is_clipped_to_its_norm():
    it = module(clip=1.0)
    for p in it.parameters():
        p.grad = torch.full_like(p, 10.0)
    it.on_before_optimizer_step(None)
    norm = torch.stack([p.grad.norm() for p in it.parameters()]).norm()
    assert norm == pytest.approx(1.0, rel=1e-3)
    it = module(clip="null")
    it.net.weight.grad = torch.full_like(it.net.weight, 10.0)
    it.on_before_optimizer_step(None)
    assert it.net.weight.grad.max() == 10.0


def test_seeds_are_a_function_of_the_whole_key():
    def draw(*key):
        seed_everything(*key)
        return torch.rand(1).item()

    assert draw(0, 5, 1) == draw(0, 5, 1)
    assert len({draw(s, i, r) for s in range(3) for i in range(3) for r in range(3)}) == 27
