"""Measurements: python -m benchmarks.<name>."""

import sys

from lra.errors import UserError


def settings(**defaults: str) -> dict[str, str]:
    """What was typed as key=value, on top of the defaults; anything else is an error."""
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if unknown := given.keys() - defaults.keys():
        keys = ", ".join(f"{key}={value}" for key, value in defaults.items())
        raise UserError(f"There is no setting '{min(unknown)}': there are {keys}.")
    return defaults | given
