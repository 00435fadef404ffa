"""The norms of a block, and BatchNorm without its padding."""

import pytest
import torch

from models.norm import BatchNorm, norm
from tests.models.agree import sequences


def real_positions(x, mask):
    return torch.cat([row[: int(n)] for row, n in zip(x, mask.sum(1), strict=True)])


def test_batch_norm_is_torchs_over_the_real_positions():
    x, mask = sequences()
    ours = norm("batch", 8).double()
    theirs = torch.nn.BatchNorm1d(8).double()
    with torch.no_grad():
        for parameter in (*ours.parameters(), *theirs.parameters()):
            parameter.copy_(torch.arange(1.0, 9.0))
    for _ in range(3):
        found = real_positions(ours(x, mask), mask)
        expected = theirs(real_positions(x, mask))
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
        gradients = [torch.autograd.grad(y.sin().sum(), x)[0] for y in (found, expected)]
        torch.testing.assert_close(*gradients, atol=1e-12, rtol=0)
    torch.testing.assert_close(ours.running_mean, theirs.running_mean)
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    ours, theirs = ours.eval(), theirs.eval()
    found = real_positions(ours(x, mask), mask)
    torch.testing.assert_close(found, theirs(real_positions(x, mask)), atol=1e-12, rtol=0)


def test_padding_moves_no_statistic():
    x, mask = sequences()
    one, two = BatchNorm(8).double(), BatchNorm(8).double()
    one(x, mask)
    two(torch.where(mask[..., None], x, 1e6), mask)
    torch.testing.assert_close(one.running_var, two.running_var)


def test_rms_norm_is_its_definition():
    x, mask = sequences()
    module = norm("rms", 8).double()
    with torch.no_grad():
        module.weight.copy_(torch.arange(8.0))
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * torch.arange(8.0)
    torch.testing.assert_close(module(x, mask), expected)


def test_an_unknown_norm_is_refused():
    with pytest.raises(ValueError, match="norm=group: choose layer, batch, rms"):
        norm("group", 8)
