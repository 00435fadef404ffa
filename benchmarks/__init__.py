"""The measurements: python -m benchmarks.<name>."""

import sys

from lra.errors import UserError


def settings(**defaults: str) -> dict[str, str]:
    """Returns the typed key=value settings on top of the defaults; any other word is an error."""
    given = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
    if unknown := given.keys() - defaults.keys():
        keys = ", ".join(f"{key}={value}" for key, value in defaults.items())
        raise UserError(f"There is no setting '{min(unknown)}': there are {keys}.")
    return defaults | given
