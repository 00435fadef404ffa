import math

import pytest
import torch

from models.s4 import S4, hippo
from tests.models.agree import LENGTHS, assert_mixes_as, gated
from tests.oracles import recurrences

WITHOUT = {"public": "no package has it", "limit": "a recurrence; the definition is the limit"}
N = max(LENGTHS)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.proof("definition")
@pytest.mark.parametrize("seq_len", [N - 1, N])  # an even and an odd length with CLS
@pytest.mark.parametrize("ssms", [1, 2])
def test_s4_is_its_dense_recurrence(seq_len, ssms):
    module = S4(8, seq_len=seq_len, d_state=6, ssms=ssms).double()
    sizes = {"lengths": (N - 1, 14, 5, 1), "N": N - 1}

    def kernels():
        c = torch.view_as_complex(module.c)
        return recurrences.s4_kernels(*module.system(), c, module.length)

    assert_mixes_as(module, gated(module, kernels), **sizes)


def test_s4_starts_with_what_hippo_is():
    a, p, b = hippo(8)
    n = torch.arange(8, dtype=torch.float64)
    matrix = torch.zeros(8, 8, dtype=torch.float64)
    for i in range(8):
        for k in range(i):
            matrix[i, k] = -math.sqrt((2 * i + 1) * (2 * k + 1))
        matrix[i, i] = -(i + 1)
    # the same transfer function C (s - A)^-1 B for real C: here C = B^T, at a few s
    whole = [torch.cat([v, v.conj()]) for v in (a, p, b)]
    ours = torch.diag(whole[0]) - torch.outer(whole[1], whole[1].conj())
    column = (2 * n + 1).sqrt()
    for s in (0.3 + 1j, 2.0 - 5j):
        eye = torch.eye(8, dtype=torch.complex128)
        there = whole[2].conj() @ torch.linalg.solve(s * eye - ours, whole[2])
        expected = column.to(eye.dtype) @ torch.linalg.solve(s * eye - matrix, column.to(eye.dtype))
        torch.testing.assert_close(there, expected, atol=1e-9, rtol=1e-9)
