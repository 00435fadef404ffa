"""Measurements: python -m benchmarks.<name>."""

import sys
from pathlib import Path

from lra.cli import Keys, split
from lra.errors import UserError
from lra.files import replacing


def settings(keys: Keys) -> dict[str, str]:
    """Returns the typed key=value settings on top of the defaults. Raises UserError for any other
    word."""
    given, rest = split(sys.argv[1:], keys)
    if rest:
        known = ", ".join(f"{name}={key.default}" for name, key in keys.items())
        raise UserError(f"'{rest[0]}' is not a setting of this benchmark: choose {known}.")
    return given


def write(name: str, title: str, text: str) -> None:
    """Writes results/<name>.md, the output of a benchmark that went through everything."""
    command = f"python -m benchmarks.{name}"
    path = Path("results") / f"{name}.md"
    with replacing(path) as temporary:
        temporary.write_text(
            f"<!-- written by {command}; do not edit -->\n\n# {title}\n\n{text.rstrip()}\n"
        )
    print(f"written: {path}")
