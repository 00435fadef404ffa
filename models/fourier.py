"""Fourier Transformer: Fast Long Range Modeling by Removing Sequence Redundancy with FFT Operator.

He et al., Findings of ACL 2023, arXiv 2305.15099. The filter shortens the sequence, with
orthonormal transforms along it:
    y = IDCT_M(DCT_N(x)[:M]),   M = ceil(T * keep_ratio)
The low frequencies of N positions become an ordinary sequence of M positions.

Like the authors' code (LUMIA-Group/FourierTransformer@cba1dc2, LRA/code/attention_dct.py):
- the filter reads norm1(x), or x with model.prenorm=false, and y is both the input of attention and
  the residual;
- CLS is set aside before the filter and put back after it, and T counts CLS (N = T - 1);
- several layers may filter, and each shortens the output of the previous one;
- nothing is rescaled although the sequence gets shorter.
Differences from it:
- padding="zero" (their code is padding="keep"): padded positions are zeroed before the DCT, and
  afterwards position j counts as real if j < max(1, ceil(length * M / N)). In their code padding
  takes part in the DCT and nothing is masked afterwards.
- Attention is the shared one in every layer, so any other mechanism may take its place. Under mixed
  precision the filter alone is computed in float32; theirs keeps attention in float32 as well.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor

from models.block import Block
from models.parts import Part, apart, joined, zero_padding


def spectral_filter(x: Tensor, keep: int) -> Tensor:
    """Shortens x (B, N, D) to (B, keep, D): DCT-II over N, the first `keep` coefficients, DCT-III.

    Both transforms are orthonormal, 1 <= keep <= N. Half precision is computed in float32. Raises
    ValueError for another keep, or numbers that have no gradient.
    """
    if not 1 <= keep <= x.shape[1]:
        raise ValueError(f"cannot keep {keep} of {x.shape[1]} frequencies")
    if not x.is_floating_point():
        raise ValueError(f"cannot filter {x.dtype}: the filter takes floating-point numbers")
    # torch.compile traces no Function with a jvp; torch.func refuses the gradient of an operator
    by = resample if torch.compiler.is_compiling() else Resample.apply
    if x.dtype in (torch.float16, torch.bfloat16):
        return by(x.float(), keep).to(x.dtype)
    return by(x, keep)


# A custom operator is opaque to torch.compile. It runs without the keys of lazy conjugates and
# negatives there: use conj_physical() in it, never conj().
@torch.library.custom_op("lra::resample", mutates_args=())
def resample(x: Tensor, length: int) -> Tensor:
    """Resamples (B, N, D) to (B, length, D): DCT-II, cut or fill with zero frequencies, DCT-III."""
    N, D = x.shape[1:]
    if not x.numel():
        return x.new_empty(x.shape[0], length, D)
    by = _resample_by_product if by_product(N, length, D) else _resample_by_fft
    # Autocast reaches into a custom operator, and the products would lose precision in bfloat16.
    with torch.autocast(x.device.type, enabled=False):
        return by(x, length)


def by_product(N: int, M: int, D: int) -> bool:
    """Tells whether matrix products beat FFTs. Measured on 2 cores: two products of half size win
    until the matrices outgrow the cache, and a wide x makes products more efficient
    (python -m benchmarks.spectral_filter)."""
    return 2**14 * min(D, 256) >= N * M


@resample.register_fake
def _(x: Tensor, length: int) -> Tensor:
    return x.new_empty(x.shape[0], length, x.shape[2])


# One linear map serves both directions: resampling from M back to N is the adjoint of resampling
# from N to M, so each is the other's gradient.
def _save_lengths(ctx, inputs, output):
    x, ctx.to = inputs
    ctx.of = x.shape[1]


def _adjoint(ctx, gradient):
    return resample(gradient, ctx.of), None


resample.register_autograd(_adjoint, setup_context=_save_lengths)


class Resample(torch.autograd.Function):
    """`resample` outside torch.compile: with forward-mode gradients, and under torch.func."""

    setup_context = staticmethod(_save_lengths)

    @staticmethod
    def forward(x: Tensor, length: int) -> Tensor:
        return resample(x, length)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        return Resample.apply(gradient, ctx.of), None

    @staticmethod
    def jvp(ctx, tangent: Tensor, _):
        return Resample.apply(tangent, ctx.to)

    @staticmethod
    def vmap(info, in_dims, x: Tensor, length: int):
        x = x.movedim(in_dims[0], 0)
        return Resample.apply(x.flatten(0, 1), length).unflatten(0, x.shape[:2]), 0


def _resample_by_product(x: Tensor, M: int) -> Tensor:
    """Applies the map P (M, N) as two products of half its size in both directions. P commutes with
    reversal, so it splits: even frequencies act on x[n] + x[N-1-n], odd ones on x[n] - x[N-1-n]."""
    N = x.shape[1]
    even, odd = _halves(M, N, x.dtype, x.device)
    head, tail = x[:, : N // 2], x[:, N - N // 2 :].flip(1)
    total = head + tail
    if N % 2:
        total = torch.cat([total, x[:, N // 2 : N // 2 + 1]], dim=1)
    even, odd = even @ total, odd @ (head - tail)  # (B, ceil(M / 2), D), (B, M // 2, D)
    middle = even[:, M // 2 :]  # the one position that is its own mirror image, if M is odd
    even = even[:, : M // 2]
    return torch.cat([even + odd, middle, (even - odd).flip(1)], dim=1)


@lru_cache(maxsize=32)  # a few MB each; batches padded to their longest take up to 32 lengths
def _halves(M: int, N: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the even and the odd half of P = C_M^T C_N (both cut to min(M, N) frequencies)."""
    K = min(M, N)
    c_m, c_n = _cosines(M, K), _cosines(N, K)
    even = c_m[0::2, : (M + 1) // 2].T @ c_n[0::2, : (N + 1) // 2]
    odd = c_m[1::2, : M // 2].T @ c_n[1::2, : N // 2]
    return even.to(device, dtype), odd.to(device, dtype)


def _cosines(N: int, K: int) -> Tensor:
    """Returns rows 0..K-1 of the orthonormal DCT-II of length N, (K, N) in float64."""
    k = torch.arange(K, dtype=torch.float64)[:, None]
    n = torch.arange(N, dtype=torch.float64)
    rows = torch.cos(math.pi / N * (n + 0.5) * k) * math.sqrt(2 / N)
    rows[0] = math.sqrt(1 / N)
    return rows


def _resample_by_fft(x: Tensor, M: int) -> Tensor:
    """Computes each transform by a real FFT of its own length (Makhoul 1980), and truncates before
    the twiddle factors are applied."""
    N = x.shape[1]
    K = min(M, N)
    x = x.transpose(1, 2)  # (B, D, N): the FFT runs along contiguous memory
    # DCT-II: with v = even samples, then odd samples reversed, c[k] = Re(w[k] FFT(v)[k])
    # and c[N - k] = -Im(w[k] FFT(v)[k]), w[k] = exp(-i pi k / 2N).
    spectrum = torch.fft.rfft(torch.cat([x[..., 0::2], x[..., 1::2].flip(-1)], dim=-1))
    half = min(K, N // 2 + 1)
    w = _twiddles(N, x.dtype, x.device)
    c = (spectrum[..., :half] * w[:half]).real
    if half < K:
        upper = slice(N - K + 1, N - half + 1)  # the k whose mirror N - k is wanted
        c = torch.cat([c, -(spectrum[..., upper] * w[upper]).imag.flip(-1)], dim=-1)
    c = c * _scale(N, K, x.dtype, x.device)
    # DCT-III: the same steps in reverse order, at length M.
    c = torch.nn.functional.pad(c, (0, M - K)) / _scale(M, M, x.dtype, x.device)
    half = M // 2 + 1
    mirrored = torch.nn.functional.pad(c.flip(-1)[..., : half - 1], (1, 0))  # c[M - k], 0 at k = 0
    w = _twiddles(M, x.dtype, x.device)[:half].conj_physical()
    spectrum = torch.complex(c[..., :half], -mirrored) * w
    v = torch.fft.irfft(spectrum, n=M)
    y = torch.empty_like(v)
    y[..., 0::2], y[..., 1::2] = v[..., : (M + 1) // 2], v[..., (M + 1) // 2 :].flip(-1)
    return y.transpose(1, 2).contiguous()


@lru_cache(maxsize=16)
def _twiddles(N: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    angle = -math.pi / (2 * N) * torch.arange(N, dtype=torch.float64)
    return torch.polar(torch.ones_like(angle), angle).to(device, dtype.to_complex())


@lru_cache(maxsize=16)
def _scale(N: int, K: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns factors that make the DCT of length N orthonormal, for its first K frequencies."""
    scale = torch.full((K,), math.sqrt(2 / N), dtype=torch.float64)
    scale[0] = math.sqrt(1 / N)
    return scale.to(device, dtype)


def kept(mask: Tensor, M: int) -> Tensor:
    """Returns the mask after the filter, (B, M): True where j < max(1, ceil(n M / N)).

    mask is (B, N), and n is its number of real positions, without CLS. No other code defines this.
    """
    n, N = mask.sum(1, keepdim=True), mask.shape[1]
    real = torch.clamp((n * M + N - 1) // N, min=1)
    return torch.arange(M, device=mask.device) < real


class FourierBlock(Block):
    """Shortens (B, T, D), (B, T) to (B, M, D), (B, M) at the layers in `filter_layers` (M + 1 with
    CLS); every other layer is the plain block."""

    padding_seen = None  # filters see more, as __init__ says

    def __init__(
        self,
        d_model: int,
        *,
        layer: int,
        keep_ratio: float,
        filter_layers: list[int],
        pooling: str,
        padding: str = "zero",
        **block,
    ):
        super().__init__(d_model, layer=layer, **block)
        if not 0 < keep_ratio <= 1:
            raise ValueError(f"keep_ratio={keep_ratio}: choose a share above 0 and up to 1")
        if padding not in ("zero", "keep"):
            raise ValueError(f"padding={padding}: choose zero or keep")
        self.filters = layer in filter_layers
        self.keep_ratio, self.cls, self.padding = keep_ratio, pooling == "cls", padding
        self.cuts_again = self.padding_seen == "none"  # the filter's output into parts
        if self.filters and padding == "keep":
            self.padding_seen = "content"
        elif self.filters and self.cuts_again:
            self.padding_seen = "amount"

    def over_parts(self, parts: list[Part], N: int) -> tuple[list[Part], int]:
        if not self.filters:
            return super().over_parts(parts, N)
        x, mask = self.shorten(*joined([(self.before(x, mask), mask) for x, mask in parts], N))
        parts = apart(x, mask) if self.cuts_again else [(x, mask)]
        return [self.rest(x, self.mixer(x, mask), mask) for x, mask in parts], x.shape[1]

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if not self.filters:
            return super().forward(x, mask)
        x, mask = self.shorten(self.before(x, mask), mask)
        return self.rest(x, self.mixer(x, mask), mask)

    def shorten(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Filters x (B, T, D) and mask (B, T) to the short length and leaves CLS untouched."""
        T = x.shape[1]
        if self.cls:
            cls, x = x.tensor_split([1], dim=1)
            cls_mask, mask = mask.tensor_split([1], dim=1)
        M = min(math.ceil(T * self.keep_ratio), x.shape[1])
        if self.padding == "zero":
            x, mask = zero_padding(x, mask), kept(mask, M)
        else:
            mask = mask.new_ones(mask.shape[0], M)
        x = spectral_filter(x, M)
        if self.cls:
            x, mask = torch.cat([cls, x], dim=1), torch.cat([cls_mask, mask], dim=1)
        return x, mask
