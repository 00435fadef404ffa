import pytest
import torch

from models.nystromformer import NystromAttention, pseudo_inverse
from tests.models.agree import assert_attends_as, assert_same, heads
from tests.oracles.attention import nystromformer, softmax_attention

# A small budget: 60 tokens make several blocks and get less than one feature each.
SMALL = {"landmarks": 16, "conv_kernel": 5}


def attention(landmarks, iterations=40, conv_kernel=None):
    return NystromAttention(
        8, n_heads=2, landmarks=landmarks, iterations=iterations, conv_kernel=conv_kernel
    )


@pytest.mark.proof("definition")
@pytest.mark.parametrize("landmarks", [1, 3, 6])
def test_agrees_with_the_definition_once_the_inverse_converged(landmarks):
    def oracle(q, k, v):
        return nystromformer(q, k, v, landmarks)

    # an example with fewer tokens than landmarks has one landmark for each token
    assert_attends_as(attention(landmarks), oracle, atol=1e-6)


@pytest.mark.proof("limit")
def test_a_landmark_for_each_token_is_softmax_attention():
    assert_attends_as(attention(64, iterations=60), softmax_attention, atol=1e-5)


def test_the_convolution_adds_its_neighbours_values():
    q, k, v, mask = heads()
    module = attention(4, conv_kernel=3).double()
    plain = attention(4).double()
    kernel = module.conv.weight[:, 0, :, 0]  # (H, 3)
    added = torch.zeros_like(v)
    for b, n in enumerate(mask.sum(1).tolist()):
        for i in range(n):
            for offset in (-1, 0, 1):
                if 0 <= i + offset < n:
                    added[b, :, i] += kernel[:, offset + 1, None] * v[b, :, i + offset]
    real = mask[:, None, :, None]
    ours = (module.attend(q, k, v, mask) - plain.attend(q, k, v, mask)) * real
    torch.testing.assert_close(ours, added)


def test_the_inverse_of_a_matrix_does_not_depend_on_the_others():
    a = torch.rand(3, 5, 5, dtype=torch.float64) + torch.eye(5) * 4
    a = a * torch.tensor([1.0, 10.0, 100.0])[:, None, None]
    together = pseudo_inverse(a, 6)
    torch.testing.assert_close(pseudo_inverse(a[:1], 6), together[:1])
    torch.testing.assert_close(pseudo_inverse(a, 30), torch.linalg.inv(a))


@pytest.mark.parametrize("taps", [1, 5, 35])
@pytest.mark.parametrize("N", [1, 6, 40])
def test_the_convolution_by_transforms_is_the_convolution(N, taps):
    module = attention(4, conv_kernel=taps).double()
    v = torch.randn(3, 2, N, 4, dtype=torch.float64, requires_grad=True)
    assert_same(module.convolved(v), module.conv(v), [v, *module.conv.parameters()])


def test_an_even_kernel_is_an_error():
    with pytest.raises(ValueError, match="conv_kernel=4"):
        attention(4, conv_kernel=4)
