"""A parameter's own learning rate and weight decay, said where the parameter is made.

The state-space models of the literature need it: a step that suits their matrices ruins their
spectrum. lra/training/module.py reads it, and the row says what was used.
"""

from torch import nn


def learns(
    parameter: nn.Parameter, *, lr: float | None = None, weight_decay: float | None = None
) -> nn.Parameter:
    """Returns the parameter, marked with the optimiser's settings that differ from optim.lr and
    optim.weight_decay. None: as all others. The rate follows the same schedule."""
    if lr is not None and not (isinstance(lr, int | float) and lr > 0):
        raise ValueError(f"kernel_lr={lr}: choose a number above 0, or null")
    settings = {"lr": lr, "weight_decay": weight_decay}
    found: dict[str, float] = {name: v for name, v in settings.items() if v is not None}
    if found:
        parameter.optim = found  # type: ignore[attr-defined]
    return parameter


def own_settings(parameter: nn.Parameter) -> dict[str, float]:
    return getattr(parameter, "optim", {})
