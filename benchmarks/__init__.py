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


def numbers(text: str) -> list[int]:
    """Whole numbers above 0 between commas."""
    if not all(n.isdecimal() and int(n) for n in text.split(",")):
        raise UserError(f"{text}: give whole numbers above 0 with commas between them.")
    return [int(n) for n in text.split(",")]
