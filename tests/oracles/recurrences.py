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
