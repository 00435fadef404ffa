"""The examples, and the comparisons with a definition, for the tests of a mechanism."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles import recurrences
from tests.oracles.attention import each_head

LENGTHS = (23, 14, 5, 1)
DIFFERENCES: list[float] = []  # one for each comparison of the running test


def heads(lengths=LENGTHS, N: int = 23, H: int = 2, K: int = 4, seed: int = 0):
    """Returns q, k, v (B, H, N, K) in float64, with gradients, and a mask (B, N)."""
    torch.manual_seed(seed)
    shape = (len(lengths), H, N, K)
    q, k, v = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3))
    return q, k, v, torch.arange(N) < torch.tensor(lengths)[:, None]


def sequences(lengths=LENGTHS, N: int = 23, D: int = 8, seed: int = 0):
    """Returns x (B, N, D) in float64, with gradients, and a mask (B, N)."""
    torch.manual_seed(seed)
    x = torch.randn(len(lengths), N, D, dtype=torch.float64, requires_grad=True)
    return x, torch.arange(N) < torch.tensor(lengths)[:, None]


def assert_same(ours: Tensor, theirs: Tensor, inputs, atol: float = 1e-9) -> None:
    """Asserts that the values agree, and the gradients to all inputs."""
    DIFFERENCES.append((ours - theirs).abs().max().item())
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)
    inputs = list(inputs)
    gradients = [
        torch.autograd.grad(y.sin().sum(), inputs, allow_unused=True, retain_graph=True)
        for y in (ours, theirs)
    ]
    for x, a, b in zip(inputs, *gradients, strict=True):
        zero = torch.zeros_like(x)
        torch.testing.assert_close(
            zero if a is None else a, zero if b is None else b, atol=atol, rtol=1e-7
        )


def assert_attends_as(module, oracle: Callable[..., Tensor], atol: float = 1e-9, **sizes) -> None:
    """Asserts that module.attend equals the oracle, head by head, at every real token."""
    q, k, v, mask = heads(**sizes)
    ours = module.double().eval().attend(q, k, v, mask) * mask[:, None, :, None]
    theirs = each_head(oracle, q, k, v, mask)
    assert_same(ours, theirs, [q, k, v, *module_parameters(module)], atol)


def assert_mixes_as(module: nn.Module, oracle: Callable[..., Tensor], atol: float = 1e-9, **sizes):
    """Asserts that module(x, mask) equals oracle(x of the real tokens), sequence by sequence."""
    x, mask = sequences(**sizes)
    module = module.double().eval()
    ours = module(x, mask) * mask[..., None]
    rows = []
    for i, n in enumerate(mask.sum(1).tolist()):
        y = oracle(x[i, :n])
        rows.append(torch.cat([y, y.new_zeros(x.shape[1] - n, y.shape[1])]))
    assert_same(ours, torch.stack(rows), [x, *module.parameters()], atol)


def gated(module, kernels: Callable[[], Tensor]) -> Callable[[Tensor], Tensor]:
    """Returns the definition of the layer around the convolution with kernels(), (2, D, L)."""

    def oracle(x: Tensor) -> Tensor:
        y = recurrences.convolution(x, kernels(), module.d)
        return F.glu(F.gelu(y) @ module.out.weight.T + module.out.bias)

    return oracle


def module_parameters(module: nn.Module) -> list[nn.Parameter]:
    """Returns the parameters that `attend` itself may use."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    return [p for name, p in named if not name.startswith(("qkv", "out"))]
