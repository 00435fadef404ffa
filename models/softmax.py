"""Softmax attention over given queries, keys and values."""

import torch
import torch.nn.functional as F
from torch import Tensor

from models.dropout import Dropout, on_cpu, stays

CHUNK = 2**20  # weights that the cache holds beside what makes them


def softmax_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    allowed: Tensor | None = None,
    *,
    scale: float | None = None,
    dropout: Dropout | None = None,
    bias: Tensor | None = None,
) -> Tensor:
    """Attends: q (B, H, n, K), k (B, H, m, K), v (B, H, m, V) -> (B, H, n, V).

    `allowed` is bool: a mask (B, m), or broadcast to (B, H, n, m). A query without keys gets 0.
    scale=None means 1 / sqrt(K). `dropout` applies to the weights. bias (n, m) is added to all
    scores.

    torch's fused kernel never stores the weights. On CPU it knows neither dropout nor the gradient
    of a bias; `Weights` stores them and does.
    """
    if allowed is not None and allowed.ndim == 2:
        allowed = allowed[:, None, None]
    drops = dropout is not None and dropout.training and dropout.p > 0
    plain = not drops and bias is None
    if plain or not on_cpu(q) or q.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu"):
        p = dropout.p if drops else 0.0
        mask, sees = allowed, None
        if allowed is not None and q.is_cuda:
            # which of a GPU's kernels runs decides whether a query without keys gets 0 or NaN
            sees = allowed.any(-1, keepdim=True)
            mask = allowed | ~sees
        if bias is not None:
            bias = bias.to(q.dtype)
            mask = bias if mask is None else bias.masked_fill(~mask, -torch.inf)
        o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p, scale=scale)
        return o if sees is None else o * sees.to(o.dtype)
    if allowed is not None and allowed.all():
        allowed = None
    mask = None
    if allowed is not None:
        # large and finite: minus infinity would make a row without keys NaN
        mask = torch.zeros(allowed.shape, dtype=q.dtype).masked_fill_(~allowed, -1e30)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    o = Weights.apply(q, k, v, bias, mask, scale, dropout if drops else None)
    if allowed is not None:
        sees = allowed.any(-1, keepdim=True)
        if not sees.all():
            o = o * sees.to(o.dtype)
    return o


class Weights(torch.autograd.Function):
    """softmax(scale q k^T + bias + mask) v, a few examples at a time, whose weights stay in the
    cache. One matrix of weights is kept for the gradient, with dropout too: a weight is never
    negative, so a minus sign marks those that stay."""

    @staticmethod
    def forward(ctx, q, k, v, bias, mask, scale: float, dropout: Dropout | None):
        q, k, v = (q * scale).contiguous(), k.contiguous(), v.contiguous()
        B, H, n, _ = q.shape
        weights, o = q.new_empty(B, H, n, k.shape[2]), q.new_empty(B, H, n, v.shape[3])
        for part in chunks(weights):
            w = product(q[part], k[part].mT, weights[part])
            if bias is not None:
                w.add_(bias)
            if mask is not None:
                w.add_(mask[part] if len(mask) > 1 else mask)
            torch.softmax(w, -1, out=w)
            if dropout is None:
                product(w, v[part], o[part])
            else:
                stay = stays(w.shape, dropout.dropped).to(w.dtype).mul_(w)
                product(stay, v[part], o[part])
                w.add_(stay, alpha=-2)
        ctx.scale, ctx.rest = scale, None if dropout is None else dropout.scale
        ctx.biased = bias is not None
        ctx.save_for_backward(q, k, v, weights)
        return o if dropout is None else o.mul_(dropout.scale)

    @staticmethod
    def backward(ctx, g):
        q, k, v, weights = ctx.saved_tensors
        g = g.contiguous()
        d_q, d_k, d_v = (torch.empty_like(x) for x in (q, k, v))
        d_bias = q.new_zeros(weights.shape[2:]) if ctx.biased else None
        for part in chunks(weights):
            w = weights[part]
            d = product(g[part], v[part].mT, torch.empty_like(w))  # of the weights
            if ctx.rest is None:
                product(w.mT, g[part], d_v[part])
            else:
                stay = torch.lt(w, 0, out=torch.empty_like(w)).mul_(ctx.rest)
                d.mul_(stay)
                w = w.abs()
                product(stay.mul_(w).mT, g[part], d_v[part])
            d = torch._softmax_backward_data(d, w, -1, w.dtype)  # of the scores
            if d_bias is not None:
                d_bias += d.sum((0, 1))
            product(d, k[part], d_q[part])
            product(d.mT, q[part], d_k[part])
        return d_q.mul_(ctx.scale), d_k, d_v, d_bias, None, None, None


def chunks(weights: Tensor) -> list[slice]:
    """Returns slices of the first axis, each with about CHUNK weights."""
    step = max(1, CHUNK // weights[0].numel())
    return [slice(start, start + step) for start in range(0, len(weights), step)]


def product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """Writes a @ b into out, which is contiguous, and returns out."""
    torch.bmm(a.flatten(0, 1), b.flatten(0, 1), out=out.flatten(0, 1))
    return out
