"""The state-space models and moving averages as recurrences, step by step, in float64."""

import math

import torch
from torch import Tensor


def run(ratio: Tensor, u: Tensor) -> Tensor:
    """Returns s_n = ratio * s_{n-1} + u_n from s_{-1} = 0: ratio (..), u (n, ..) -> (n, ..)."""
    state, states = torch.zeros_like(u[0]), []
    for step in u:
        state = ratio * state + step
        states.append(state)
    return torch.stack(states)


def s4d(x: Tensor, log_dt, log_a_real, a_imag, c, d) -> Tensor:
    """Maps x (n, D) to y (n, D), before the activation."""
    a = torch.complex(-log_a_real.exp(), a_imag)  # (D, S)
    dt = log_dt.exp()[:, None]
    b = ((dt * a).exp() - 1) / a  # zero-order hold
    c = torch.view_as_complex(c)

    def direction(x, c):
        return 2 * (c * run((dt * a).exp(), b * x[:, :, None])).sum(-1).real

    forwards = direction(x, c[0])
    backwards = direction(x.flip(0), c[1]).flip(0)
    # the backward state is read before the position's own token enters it
    backwards = torch.cat([backwards[1:], torch.zeros_like(backwards[:1])])
    return forwards + backwards + d * x


def lru(x: Tensor, nu, theta, log_gamma, b, c, d) -> Tensor:
    """Maps x (n, D) to y (n, D). b (2 S, D) has real, then imaginary parts; c (D, 4 S) likewise,
    for both directions."""
    S = len(nu)
    ratio = torch.exp(torch.complex(-nu.exp(), theta.exp()))
    u = log_gamma.exp() * torch.complex(x @ b[:S].T, x @ b[S:].T)
    states = torch.cat([run(ratio, u), run(ratio, u.flip(0)).flip(0)], dim=1)  # (n, 2 S)
    return states.real @ c[:, : 2 * S].T + states.imag @ c[:, 2 * S :].T + d * x


def moving_average(x: Tensor, delta, alpha, beta, gamma, omega) -> Tensor:
    """Returns Mega's damped moving average of x (n, D), activated; parameters are (2, D, H)."""
    p = 1 / (1 + (-delta).exp())
    q = 1 - p / (1 + (-alpha).exp())
    y = omega * x
    for direction in (0, 1):
        u = x if direction == 0 else x.flip(0)
        h = run(q[direction], p[direction] * beta[direction] * u[:, :, None])  # (n, D, H)
        out = (h * gamma[direction]).sum(-1) / math.sqrt(delta.shape[-1])
        y = y + (out if direction == 0 else out.flip(0))
    return y / (1 + (-y).exp())


def silu(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def mega(x: Tensor, residual: Tensor, w: dict[str, Tensor], *, attention: str, chunk: int | None):
    """Maps x and residual (n, D) to (n, D); w holds the mixer's parameters by name."""
    n, D = x.shape
    z_dim, v_dim = w["kappa"].shape[1], w["value.bias"].shape[0]

    def linear(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    names = ("delta", "alpha", "beta", "gamma", "omega")
    m = moving_average(x, *(w[f"average.{name}"] for name in names))
    base = linear(m, "base")
    u, z, r, h = base.split([D, z_dim, v_dim, D], dim=1)
    z, r, v = silu(z), silu(r), silu(linear(x, "value"))
    q, k = (z * w["kappa"][i] + w["mu"][i] for i in (0, 1))
    centre = (len(w["bias"]) - 1) // 2
    rows = []
    for i in range(n):
        seen = [j for j in range(n) if chunk is None or i // chunk == j // chunk]
        scores = [(q[i] * k[j]).sum() for j in seen]
        bias = [w["bias"][centre + j - i] for j in seen]
        if attention == "softmax":
            pairs = zip(scores, bias, strict=True)
            weights = [(s / math.sqrt(z_dim) + b).exp() for s, b in pairs]
            weights = [x / sum(weights) for x in weights]
        else:
            pairs = zip(scores, bias, strict=True)
            weights = [normal_distribution(s / len(seen) + b) for s, b in pairs]
        rows.append(sum(x * v[j] for x, j in zip(weights, seen, strict=True)))
    h = silu(h + linear(torch.stack(rows) * r, "out"))
    gate = 1 / (1 + (-u).exp())
    return residual + gate * (h - residual)


def normal_distribution(x: Tensor) -> Tensor:
    return torch.distributions.Normal(math.sqrt(0.5), math.sqrt(0.25 / math.pi)).cdf(x)


def convolution(x: Tensor, kernels: Tensor, d: Tensor) -> Tensor:
    """Returns y_n = sum_{l >= 0} k0_l x_{n - l} + sum_{l >= 1} k1_{l - 1} x_{n + l} + d x_n.

    x (n, D), kernels (2, D, at least n).
    """
    n = len(x)
    rows = []
    for i in range(n):
        y = d * x[i]
        for j in range(n):
            if j <= i:
                y = y + kernels[0, :, i - j] * x[j]
            else:
                y = y + kernels[1, :, j - i - 1] * x[j]
        rows.append(y)
    return torch.stack(rows)


def s4_kernels(dt, a, b, p, c, length: int) -> Tensor:
    """Returns C Abar^l Bbar for l < length, (2, D, length): dt (D, 1), a, b and p (D, S), and
    c (2, D, S) = C (1 - Abar^length), by dense matrices, channel by channel."""
    found = torch.zeros(2, len(a), length, dtype=torch.float64)
    rows = []
    for z in range(2):
        channels = []
        for i in range(len(a)):
            both = [torch.cat([v[i], v[i].conj()]) for v in (a, b, p, c[z])]
            A = torch.diag(both[0]) - torch.outer(both[2], both[2].conj())
            eye = torch.eye(len(A), dtype=A.dtype)
            back = torch.linalg.inv(eye - dt[i] / 2 * A)
            step, into = back @ (eye + dt[i] / 2 * A), back @ (dt[i] * both[1])
            power = torch.linalg.matrix_power(step, length)
            row = torch.linalg.solve((eye - power).T, both[3])  # C
            values, state = [], into
            for _ in range(length):
                values.append((row @ state).real)
                state = step @ state
            channels.append(torch.stack(values))
        rows.append(torch.stack(channels))
    return found + torch.stack(rows)


def s5(x: Tensor, a, log_dt, b, c, d) -> Tensor:
    """Maps x (n, D) to y (n, D): a (S,), b (S, D), c (2, D, S) complex."""
    ratio = (a * log_dt.exp()).exp()
    u = x.to(b.dtype) @ ((ratio - 1) / a * b.T)  # (n, S)
    forwards, backwards = run(ratio, u), run(ratio, u.flip(0)).flip(0)
    return 2 * (forwards @ c[0].T + backwards @ c[1].T).real + d * x


def stretched(w: Tensor, factor: int) -> Tensor:
    """Returns w (.., K) linearly interpolated to (.., K factor), each value in the middle of its
    stretch, constant beyond the first and the last."""
    columns = []
    for j in range(w.shape[-1] * factor):
        at = min(max((j + 0.5) / factor - 0.5, 0), w.shape[-1] - 1)
        low = int(at)
        high = min(low + 1, w.shape[-1] - 1)
        columns.append(w[..., low] * (low + 1 - at) + w[..., high] * (at - low))
    return torch.stack(columns, dim=-1)
