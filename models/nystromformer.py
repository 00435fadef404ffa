"""Nystromformer: A Nystrom-based Algorithm for Approximating Self-Attention (Xiong et al., arXiv
2102.03902).

The landmarks q~, k~ are the means of `landmarks` = m segments of the sequence:
    o = softmax(q k~^T) Z softmax(q~ k^T) v + conv(v),   Z about the inverse of softmax(q~ k~^T)
All three softmaxes are of products over sqrt(K). Z comes from `iterations` steps
    Z <- Z (13 I - A Z (15 I - A Z (7 I - A Z))) / 4,   Z_0 = A^T / (|A|_1 |A|_inf)
and conv is a depthwise convolution along the sequence, with one kernel per head. With a landmark
for each token and enough iterations, the first term is softmax attention.

Differences from the authors' code (mlpen/Nystromformer@5689313, LRA/code/attention_nystrom.py):
- Segments divide the real tokens of each example, not the padded length. If an example has fewer
  tokens than landmarks, each token is a landmark and the other landmarks are left out; theirs keeps
  landmarks of padding alone in all softmaxes.
- Z_0 is scaled by the norms of its own matrix. Theirs takes the largest norms of the whole batch,
  so that a prediction depends on its batch-mates.
"""

import torch
from torch import Tensor, nn

from models.attention import MultiHeadAttention, at_least, merge_heads, split_heads
from models.convolution import CircularConvolution, fft_size
from models.dropout import on_cpu
from models.softmax import softmax_attention


class NystromAttention(MultiHeadAttention):
    def __init__(
        self,
        d_model: int,
        *,
        n_heads: int,
        landmarks: int,
        iterations: int = 6,
        conv_kernel: int | None = 35,
        d_qkv: int | None = None,
    ):
        super().__init__(d_model, n_heads=n_heads, d_qkv=d_qkv)
        at_least(1, landmarks=landmarks, iterations=iterations)
        self.landmarks, self.iterations = landmarks, iterations
        self.conv = None
        if conv_kernel:
            if conv_kernel % 2 == 0:
                raise ValueError(f"conv_kernel={conv_kernel}: choose an odd number, or null")
            self.conv = nn.Conv2d(
                n_heads,
                n_heads,
                (conv_kernel, 1),
                padding=(conv_kernel // 2, 0),
                groups=n_heads,
                bias=False,
            )

    def attend(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        means, used = segment_means(mask, min(self.landmarks, mask.shape[1]), q.dtype)
        used = used[:, None, None]  # (B, 1, 1, m)
        q_landmarks, k_landmarks = means[:, None] @ q, means[:, None] @ k  # (B, H, m, K)
        scores = q_landmarks @ k_landmarks.transpose(-1, -2) * q.shape[-1] ** -0.5
        between = scores.masked_fill(~used, -torch.inf).softmax(dim=-1)
        # A landmark that is left out has a row of the identity, which keeps it out of the inverse.
        identity = torch.eye(used.shape[-1], dtype=q.dtype, device=q.device)
        between = torch.where(used & used.transpose(-1, -2), between, identity)
        # The outer two softmaxes are attentions themselves: of landmarks to tokens, and back.
        context = softmax_attention(q_landmarks, k, v, mask)
        context = pseudo_inverse(between, self.iterations) @ context
        o = softmax_attention(q, k_landmarks, context, used)
        if self.conv is not None:
            o = o + self.convolved(v * mask[:, None, :, None].to(v.dtype))
        return o

    def convolved(self, v: Tensor) -> Tensor:
        if not on_cpu(v):
            return self.conv(v)
        # torch's convolution of one channel at a time takes 4 times as long there
        weight = self.conv.weight[:, 0, :, 0]  # (H, taps)
        taps, half = weight.shape[1], weight.shape[1] // 2
        size = fft_size(max(v.shape[2] + half, taps))
        gap = weight.new_zeros(len(weight), size - taps)
        # conv correlates: the tap half + l weighs position n + l, which is -l places back
        kernel = torch.cat(
            [weight[:, : half + 1].flip(1), gap, weight[:, half + 1 :].flip(1)], dim=1
        )
        x = merge_heads(v).to(weight.dtype)  # on CPU torch has no FFT in half
        y = CircularConvolution.apply(x, kernel.repeat_interleave(v.shape[3], dim=0))
        return split_heads(y.to(v.dtype), len(weight))


def segment_means(mask: Tensor, m: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Returns weights (B, m, N) that average each segment j = floor(position m / length) of a mask
    (B, N), and which of the m segments have a token (B, m)."""
    position = torch.arange(mask.shape[1], device=mask.device)
    segment = position * m // mask.sum(1, keepdim=True).clamp(min=1)  # (B, N)
    member = (segment[:, None] == torch.arange(m, device=mask.device)[:, None]) & mask[:, None]
    count = member.sum(2, keepdim=True)
    return member.to(dtype) / count.clamp(min=1), count[..., 0] > 0


def pseudo_inverse(a: Tensor, iterations: int) -> Tensor:
    """Approximates the inverse of each matrix (.., m, m), independently of the others."""
    identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
    norms = a.abs().sum(-1).amax(-1) * a.abs().sum(-2).amax(-1)
    z = a.transpose(-1, -2) / norms[..., None, None]
    identity, shape = identity.expand_as(a).flatten(0, -3), a.shape
    z, minus_a = z.flatten(0, -3), -a.flatten(0, -3)
    for _ in range(iterations):
        y = minus_a @ z  # so that each sum is part of a product
        inner = torch.baddbmm(15 * identity, y, 7 * identity + y)
        z = (z / 4) @ torch.baddbmm(13 * identity, y, inner)
    return z.view(shape)
