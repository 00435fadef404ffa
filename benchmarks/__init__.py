"""Measurements: python -m benchmarks.<name>."""

import sys

from lra.cli import Keys, split
from lra.errors import UserError


def settings(keys: Keys) -> dict[str, str]:
    """Returns the typed key=value settings on top of the defaults. Raises UserError for any other
    word."""
    given, rest = split(sys.argv[1:], keys)
    if rest:
        known = ", ".join(f"{name}={key.default}" for name, key in keys.items())
        raise UserError(f"'{rest[0]}' is not a setting of this benchmark: choose {known}.")
    return given
