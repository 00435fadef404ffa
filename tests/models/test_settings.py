"""The refusal of a mixer's invalid settings, by name, when the mixer is built."""

import pytest
from hydra.errors import InstantiationException

from tests.conftest import compose_net


@pytest.mark.parametrize(
    "model, setting, value",
    [
        ("conv", "width", 4),
        ("conv", "width", -1),
        ("informer", "features", 1),
        ("linformer", "features", 0),
        ("local", "window", 0),
        ("longconv", "kernel_lr", -0.1),
        ("longconv", "squash", -1),
        ("longformer", "global_tokens", -1),
        ("lru", "d_state", 0),
        ("lru", "r_max", 1.1),
        ("lru", "r_min", 0),
        ("mega", "ema_dim", 0),
        ("mega", "z_dim", 0),
        ("nystromformer", "iterations", 0),
        ("nystromformer", "landmarks", 0),
        ("performer", "features", 0),
        ("reformer", "hashes", 0),
        ("rtf", "d_state", 0),
        ("rtf", "denominators", 3),
        ("s4", "d_state", 3),
        ("s4", "dt_min", 0),
        ("s4", "ssms", 3),
        ("s4d", "dt_min", 0),
        ("s5", "b_learns", "x"),
        ("s5", "blocks", 0),
        ("s5", "c_init", "x"),
        ("s5", "d_state", 6),
        ("s5", "gate", "glu"),
        ("sgconv", "decay", 0.5),
        ("sgconv", "kernel_dim", 0),
        ("sinkhorn", "iterations", 0),
        ("sinkhorn", "temperature", 0),
        ("skyformer", "gamma", -1),
    ],
)
def test_is_refused_by_name(model, setting, value):
    with pytest.raises((ValueError, InstantiationException), match=f"{setting}={value}"):
        compose_net({"model": model, f"model.block.mixer.{setting}": value})


def test_luna_needs_a_packed_sequence():
    with pytest.raises((ValueError, InstantiationException), match="packed_length=0"):
        compose_net({"model": "luna", "model.block.packed_length": 0})
