"""The attentions from their definitions, one query at a time, on the real tokens of one head.

Each takes q, k, v (n, K) and returns (n, K); `each_head` runs one over a padded batch.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def each_head(attend: Callable[..., Tensor], q: Tensor, k: Tensor, v: Tensor, mask: Tensor):
    """Runs `attend` by head: q, k, v (B, H, N, K), mask (B, N) -> (B, H, N, K), 0 at padding."""
    B, H, N, _ = q.shape
    out = []
    for b in range(B):
        n = int(mask[b].sum())
        heads = [attend(*(x[b, h, :n] for x in (q, k, v))) for h in range(H)]
        rest = q.new_zeros(H, N - n, v.shape[-1])
        out.append(torch.cat([torch.stack(heads), rest], dim=1))
    return torch.stack(out)


def weighted_mean(weights: list[Tensor], values: list[Tensor]) -> Tensor:
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)


def attention_to(allowed: Callable[[int, int], bool], q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Returns the softmax attention of each i to the j that allowed(i, j) lets i see."""
    n, K = q.shape
    rows = []
    for i in range(n):
        seen = [j for j in range(n) if allowed(i, j)]
        weights = [((q[i] * k[j]).sum() / math.sqrt(K)).exp() for j in seen]
        rows.append(weighted_mean(weights, [v[j] for j in seen]))
    return torch.stack(rows)


def softmax_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return attention_to(lambda i, j: True, q, k, v)


def linformer(q: Tensor, k: Tensor, v: Tensor, e: Tensor, f: Tensor) -> Tensor:
    """Attends to keys and values projected by e and f (features, n)."""
    n, K = q.shape
    short_k = [sum(e[m, j] * k[j] for j in range(n)) for m in range(len(e))]
    short_v = [sum(f[m, j] * v[j] for j in range(n)) for m in range(len(f))]
    rows = []
    for i in range(n):
        weights = [((q[i] * key).sum() / math.sqrt(K)).exp() for key in short_k]
        rows.append(weighted_mean(weights, short_v))
    return torch.stack(rows)


def similarity_attention(similarity: Callable[[int, int], Tensor], v: Tensor) -> Tensor:
    """Returns o_i = sum_j s_ij v_j / sum_j s_ij."""
    n = len(v)
    return torch.stack(
        [weighted_mean([similarity(i, j) for j in range(n)], list(v)) for i in range(n)]
    )


def linear_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    def phi(x):
        return torch.where(x > 0, x + 1, x.exp())

    return similarity_attention(lambda i, j: (phi(q[i]) * phi(k[j])).sum(), v)


def cosformer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = len(q)

    def similarity(i, j):
        return (q[i].relu() * k[j].relu()).sum() * math.cos(math.pi / 2 * (i - j) / n)

    return similarity_attention(similarity, v)


def performer(q: Tensor, k: Tensor, v: Tensor, features: Tensor) -> Tensor:
    """Takes exp(w.x - |x|^2 / 2) for each feature w, without the stabilising eps."""
    K = q.shape[-1]

    def phi(x):
        x = x / K**0.25
        return torch.stack([((w * x).sum() - (x * x).sum() / 2).exp() for w in features])

    return similarity_attention(lambda i, j: (phi(q[i]) * phi(k[j])).sum(), v)


def gaussian(x: Tensor, y: Tensor) -> Tensor:
    return (-((x - y) ** 2).sum() / (2 * math.sqrt(len(x)))).exp()


def kernelized(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = len(q)
    return torch.stack([sum(gaussian(q[i], k[j]) * v[j] for j in range(n)) for i in range(n)])


def skyformer(
    q: Tensor, k: Tensor, v: Tensor, landmarks: Tensor, gamma: float, inverse=torch.linalg.inv
) -> Tensor:
    """Attends by way of landmarks (m, K), with the true inverse or another `inverse`."""

    def kernel(xs, ys):
        return torch.stack([torch.stack([gaussian(x, y) for y in ys]) for x in xs])

    m = kernel(landmarks, landmarks) + gamma * torch.eye(len(landmarks), dtype=q.dtype)
    return kernel(q, landmarks) @ inverse(m) @ (kernel(landmarks, k) @ v)


def nystromformer(q: Tensor, k: Tensor, v: Tensor, landmarks: int) -> Tensor:
    """Attends with the true pseudo-inverse, without the convolution."""
    n, K = q.shape

    def means(x):
        segments = [[] for _ in range(landmarks)]
        for i in range(n):
            segments[i * landmarks // n].append(x[i])
        return torch.stack([sum(s) / len(s) for s in segments if s])

    def softmax(x, y):
        weights = (x @ y.T / math.sqrt(K)).exp()
        return weights / weights.sum(1, keepdim=True)

    q_means, k_means = means(q), means(k)
    inverse = torch.linalg.pinv(softmax(q_means, k_means))
    return softmax(q, k_means) @ inverse @ softmax(q_means, k) @ v


def informer(q: Tensor, k: Tensor, v: Tensor, sample: list[int], features: int) -> Tensor:
    """Measures each query on `sample`, the indices of the sampled keys."""
    n, K = q.shape
    scores = [[(q[i] @ k[j]).item() / math.sqrt(K) for j in sample] for i in range(n)]
    measure = [max(s) - sum(s) / len(s) for s in scores]
    active = sorted(range(n), key=lambda i: -measure[i])[:features]
    full, mean = softmax_attention(q, k, v), sum(v) / n
    return torch.stack([full[i] if i in active else mean for i in range(n)])


def bigbird(
    q: Tensor, k: Tensor, v: Tensor, block: int, random_blocks: int, draw: Tensor
) -> Tensor:
    """Takes as random blocks of a row the free blocks with the largest numbers in draw (C, C)."""
    last = (len(q) - 1) // block

    def allowed(i, j):
        row, column = i // block, j // block
        if row in (0, last) or column in (0, last) or abs(row - column) <= 1:
            return True
        free = [c for c in range(1, last) if abs(c - row) > 1]
        return column in sorted(free, key=lambda c: -draw[row, c])[:random_blocks]

    return attention_to(allowed, q, k, v)


def sinkhorn(scores: Tensor, iterations: int) -> Tensor:
    """Divides rows, then columns, of exp(scores) (C, C) by their sums, `iterations` times."""
    s = scores.exp()
    for _ in range(iterations):
        s = s / s.sum(1, keepdim=True)
        s = s / s.sum(0, keepdim=True)
    return s


def sinkhorn_attention(q: Tensor, k: Tensor, v: Tensor, block: int, S: Tensor) -> Tensor:
    """Sorts blocks by S (C, C): S[c, b] is the share of block b that comes to block c."""
    n, K = q.shape
    C = -(-n // block)
    rows = []
    for i in range(n):
        own = i // block
        keys = [k[j] for j in range(n) if j // block == own]
        values = [v[j] for j in range(n) if j // block == own]
        for p in range(min(block, n)):  # position inside the block
            there = [c for c in range(C) if c * block + p < n]
            if there:
                keys.append(sum(S[own, c] * k[c * block + p] for c in there))
                values.append(sum(S[own, c] * v[c * block + p] for c in there))
        weights = [((q[i] * key).sum() / math.sqrt(K)).exp() for key in keys]
        rows.append(weighted_mean(weights, values))
    return torch.stack(rows)


def reformer(qk: Tensor, v: Tensor, rotations: Tensor, chunk: int) -> Tensor:
    """Attends inside hashed chunks: qk, v (n, K), rotations (R, K, buckets / 2). A token sees
    itself only if it sees no other."""
    n = len(qk)
    numerator, denominator = [0.0] * n, [0.0] * n
    for rotation in rotations:
        rotated = qk.detach() @ rotation
        bucket = torch.cat([rotated, -rotated], dim=1).argmax(1).tolist()
        order = sorted(range(n), key=lambda i: (bucket[i], i))
        chunks = [order[start : start + chunk] for start in range(0, n, chunk)]
        for c, members in enumerate(chunks):
            seen = members if len(chunks) == 1 else chunks[c - 1] + members
            for i in members:
                for j in seen:
                    key = qk[j] / qk[j].norm()
                    score = qk.new_tensor(-1e5) if i == j else (qk[i] * key).sum()
                    numerator[i] = numerator[i] + score.exp() * v[j]
                    denominator[i] = denominator[i] + score.exp()
    return torch.stack([a / b for a, b in zip(numerator, denominator, strict=True)])


def flow_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n = len(q)
    q, k, eps = 1 / (1 + (-q).exp()), 1 / (1 + (-k).exp()), 1e-6

    def flow(to: Tensor, of: list[Tensor]) -> Tensor:
        return ((to + eps) * (sum(of) + eps)).sum()

    into = [flow(q[i], list(k)) for i in range(n)]
    out = [flow(k[j], list(q)) for j in range(n)]
    kept_into = [flow(q[i], [k[j] / out[j] for j in range(n)]) for i in range(n)]
    kept_out = [flow(k[j], [q[i] / into[i] for i in range(n)]).clamp(-1, 1) for j in range(n)]
    total = sum(x.exp() for x in kept_out)
    rows = []
    for i in range(n):
        o = sum((q[i] * k[j]).sum() * n * kept_out[j].exp() / total * v[j] for j in range(n))
        rows.append(o / into[i] / (1 + (-kept_into[i]).exp()))
    return torch.stack(rows)


def holographic_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    n, K = q.shape

    def bind(x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([sum(x[a] * y[(c - a) % K] for a in range(K)) for c in range(K)])

    beta = sum(bind(k[j], v[j]) for j in range(n))
    scores = []
    for i in range(n):
        found = bind(torch.stack([q[i][-c % K] for c in range(K)]), beta)
        scores.append((v[i] * found).sum() / (v[i].norm() * found.norm()))
    weights = [s.exp() for s in scores]
    return torch.stack([w / sum(weights) * v[i] for i, w in enumerate(weights)])
