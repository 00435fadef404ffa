import cmath
import math

import pytest
import torch

from models.fnet import FourierMixing
from tests.models.agree import assert_mixes_as, sequences

WITHOUT = {
    "limit": "no attention weights; nothing it could be equal to",
}


def dft(x: torch.Tensor) -> torch.Tensor:
    """Returns Re(F_N x F_D) / sqrt(N D), from the definition."""
    N, D = x.shape

    def matrix(size):
        root = [[cmath.exp(-2j * math.pi * a * b / size) for b in range(size)] for a in range(size)]
        return torch.tensor(root, dtype=torch.complex128) / math.sqrt(size)

    return (matrix(N) @ x.to(torch.complex128) @ matrix(D)).real


@pytest.mark.proof("definition")
def test_agrees_with_the_definition():
    assert_mixes_as(FourierMixing(8), dft, lengths=(23, 23))
    assert_mixes_as(FourierMixing(5), dft, lengths=(8, 8), N=8, D=5)


def test_padding_is_zeroed_first():
    x, mask = sequences(lengths=(9,))
    expected = dft(torch.where(mask[0, :, None], x[0], 0.0))
    torch.testing.assert_close(FourierMixing(8)(x, mask)[0], expected)
