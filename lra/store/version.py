"""Records of another version of this project: those of a newer one are left out, in the open."""

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lra.errors import UserError

_told: set[Path] = set()  # files that a note has named


class Newer(UserError):
    """A record that a newer version of this project wrote."""


def must_not_be_newer(path: Path, content: Any, schema: int, error: ValidationError) -> None:
    """Raises Newer for a record of a later schema, or one whose fields are all right but for some
    that this code does not know."""
    version = content.get("schema_version") if isinstance(content, dict) else None
    unknown = [".".join(map(str, each["loc"])) for each in error.errors()]
    later = isinstance(version, int) and version > schema
    if later or all(each["type"] == "extra_forbidden" for each in error.errors()):
        unknown = [f"schema {version}"] if later else unknown
        raise Newer(
            f"{path} was written by a newer version of this project ({', '.join(unknown)}): update "
            "this checkout (git pull)."
        ) from None


def all_but_newer(paths: Iterable[Path], read: Callable[[Path], Any]) -> list:
    """Returns the records in files of any version up to this one; a note names the first of the
    others, once."""
    found, newer = [], []
    for path in paths:
        try:
            found.append(read(path))
        except Newer as error:
            newer.append((path, error))
    if newer and newer[0][0] not in _told:
        _told.add(newer[0][0])
        print(f"note: {len(newer):,} left out; {newer[0][1]}", file=sys.stderr)
    return found
