"""Parts of a batch give the gradient of the whole batch, and the largest that fits is found."""

from contextlib import nullcontext

import pytest
import torch

from lra import config
from lra.objective import Batch
from lra.objective.classification import Classification
from lra.store import runs
from lra.training import micro_batch
from lra.training.module import Learner
from tests.conftest import compose_net
from tests.lra.store.test_row import row


@pytest.mark.parametrize("size", [1, 3, 4, 8, 100])
def test_the_gradient_is_that_of_the_whole_batch(size):
    """Holds also where the parts do not divide the batch: 8 = 3 + 3 + 2."""
    ids, lengths = torch.randint(1, 15, (8, 1, 60)), torch.full((8, 1), 60)
    batch = Batch(ids, lengths, targets=torch.arange(8), indices=torch.arange(8))
    objective = Classification("classification", 10)
    gradients = []
    for parts in (None, size):
        net = compose_net({"model": "transformer", "model.dropout": 0}).double()
        cfg = config.compose([])
        module = Learner(net, objective, cfg.optim, max_steps=1, seed=0, micro_batch=parts)
        optimizer = torch.optim.SGD(net.parameters())
        module.optimizers = lambda use_pl_optimizer, optimizer=optimizer: optimizer
        module._no_sync = nullcontext
        out = module.training_step(batch, 0)
        out["loss"].backward()
        gradients.append([p.grad.clone() for p in net.parameters()])
        expected = torch.nn.functional.cross_entropy(net(ids, lengths).float(), batch.targets)
        torch.testing.assert_close(out["mean"], expected.detach())
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-7)


def attempt(status, size=None, **facts):
    return row(status=status, environment={} if size is None else {"micro_batch": size}, **facts)


@pytest.mark.parametrize(
    "attempts, expected",
    [
        ([attempt("oom", 32)], 16),
        ([attempt("oom", 32), attempt("oom", 16)], 8),
        ([attempt("oom", 1)], 0),
        ([attempt("oom")], 16),  # killed before its first checkpoint
        ([attempt("oom"), attempt("oom")], 8),
        ([attempt("failed"), attempt("oom")], 16),
    ],
)
def test_each_attempt_without_memory_halves_the_next(attempts, expected):
    assert micro_batch.halved(attempts, 32) == expected


def test_a_step_is_tried_in_a_child_process():
    cfg = config.compose(["task.variant=short", "batch_size=4"])
    assert micro_batch.fits(cfg, 4)
    wide = ["model.d_model=1024", "model.d_ff=8", "model.n_layers=1", "model.seq_len=8000"]
    wide = config.compose(["task.variant=short", *wide])
    assert not micro_batch.fits(wide, 4_000)  # 131 GB of embeddings


def test_the_batch_is_halved_until_it_fits(monkeypatch):
    for limit, expected in ((100, 32), (10, 8), (0, 1)):
        monkeypatch.setattr(micro_batch, "fits", lambda cfg, size, limit=limit: size <= limit)
        assert micro_batch.largest(None, 32) == expected


@pytest.mark.slow
def test_the_supervisor_goes_on_in_smaller_parts(run):
    """Marks the cell's attempt as out of memory; the next attempt takes half the size."""
    cell = ["model=transformer", "trainer.micro_batch=auto", "max_steps=2"]
    assert run("-m", *cell, "batch_size=4", "seed=0").returncode == 0
    (path,) = run.results.glob("runs/*/*/*.json")
    done = runs.read(path)
    path.unlink()
    path.with_suffix(".npy").unlink()
    runs.write(path.parent, done.model_copy(update={"status": "oom", "test": None}))
    assert done.environment["micro_batch"] == 4
    again = run("-m", *cell, "batch_size=4", "seed=0", "retry=all")
    assert again.returncode == 0, again.stderr
    assert [r.environment["micro_batch"] for r in run.rows()] == [4, 2]
