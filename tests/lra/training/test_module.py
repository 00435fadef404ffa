from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lra import config
from lra.objective import Batch
from lra.objective.classification import Classification
from lra.training.module import Learner, seed_everything
from models.learning import learns


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


def test_a_cosine_may_end_at_zero():
    factor = module(warmup=0.1, decay="cosine_to_zero").learning_rate_factor
    assert factor(9) == factor(10) == 1.0
    assert factor(55) == pytest.approx(0.5)
    assert factor(100) == pytest.approx(0.0, abs=1e-12)
    assert module(warmup=0.1, decay="cosine").learning_rate_factor(100) > 0.02


def test_parameters_learn_at_their_own_rates():
    it = module(lr=0.01, weight_decay=0.1, warmup=0)
    assert it.own_settings() is None
    learns(it.net.bias, lr=0.001, weight_decay=0.0)
    assert it.own_settings() == [
        {"lr": 0.01, "weight_decay": 0.1, "parameters": 4},
        {"lr": 0.001, "weight_decay": 0.0, "parameters": 2},
    ]
    made = it.configure_optimizers()
    for step, factor in enumerate((1.0, 1.0, 98 / 99)):
        rates = [group["lr"] for group in made["optimizer"].param_groups]
        assert rates == pytest.approx([0.01 * factor, 0.001 * factor]), step
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()


def test_norms_and_biases_may_be_spared_the_decay():
    it = module(lr=0.01, weight_decay=0.1, warmup=0, decay_norms="false")
    assert [(g["weight_decay"], g["parameters"]) for g in it.own_settings()] == [(0.1, 4), (0.0, 2)]


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


class Weighted(Classification):
    """Weighs examples by their length, as tasks of texts weigh them by their target tokens."""

    uneven = True

    def units(self, batch):
        return float(batch.lengths.sum())

    def loss(self, net, batch):
        outputs = net(batch.ids[:, 0].double())
        losses = nn.functional.cross_entropy(outputs, batch.targets, reduction="none")
        return (losses * batch.lengths[:, 0]).sum() / self.units(batch)


@pytest.mark.parametrize("parts", [None, 1, 2])
def test_ranks_of_uneven_batches_average_to_the_gradient_of_the_whole_batch(parts):
    """Two ranks, of 3 and 2 examples with 12 and 300 units, average their gradients evenly."""
    torch.manual_seed(0)
    lengths = torch.tensor([[1], [2], [9], [100], [200]])
    batch = Batch(torch.randint(9, (5, 1, 2)), lengths, torch.arange(5) % 2, torch.arange(5))
    ranks = batch.part(0, 3), batch.part(3, 5)
    mean = torch.tensor(312 / 2)

    def gradient(batch, world_size):
        it = Learner(
            nn.Linear(2, 2, dtype=torch.float64),
            Weighted("weighted", 2),
            config.compose([]).optim,
            max_steps=1,
            seed=0,
            micro_batch=parts,
        )
        nn.init.eye_(it.net.weight), nn.init.zeros_(it.net.bias)
        strategy = SimpleNamespace(reduce=lambda own, reduce_op: mean, model=it.net)
        it._trainer = SimpleNamespace(world_size=world_size, strategy=strategy)
        optimizer = torch.optim.SGD(it.parameters())
        it.optimizers = lambda use_pl_optimizer: optimizer
        it.training_step(batch, 0)["loss"].backward()
        return it.net.weight.grad

    whole = gradient(batch, 1)
    halves = [gradient(rank, 2) for rank in ranks]
    torch.testing.assert_close(sum(halves) / 2, whole)
    alone = [gradient(rank, 1) for rank in ranks]  # each by its own units: not the same
    assert not torch.allclose(sum(alone) / 2, whole, rtol=0.1)


def test_seeds_are_a_function_of_the_whole_key():
    def draw(*key):
        seed_everything(*key)
        return torch.rand(1).item()

    assert draw(0, 5, 1) == draw(0, 5, 1)
    assert len({draw(s, i, r) for s in range(3) for i in range(3) for r in range(3)}) == 27
