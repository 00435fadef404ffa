"""Checks the words of a command line before Hydra parses them, and suggests better ones."""

from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from lra.config.composition import choices_of
from lra.errors import UserError, closest

# Hydra's flags that take the next word as their value
WITH_VALUE = {"-c", "--cfg", "-p", "--package", "-cn", "--config-name", "-cp", "--config-path"}
WITH_VALUE |= {"-i", "--info", "--experimental-rerun"}
GROUPS = ("task", "model", "filter", "protocol", "trainer", "logger", "objective")


def check(words: Iterable[str], own: Iterable[str] = ()) -> None:
    """Raises UserError for the first word that is not a flag and cannot be parsed as an override.

    own: keys of the command's own, to suggest.
    """
    parser = OverridesParser.create()
    before = ""
    for word in words:
        flag, before = before, word
        if word.startswith("-") or (flag in WITH_VALUE and "=" not in word):
            continue
        if "=" not in word and not word.startswith("~"):
            raise UserError(_no_pair(word, own))
        try:
            parser.parse_overrides([word])
        except OverrideParseException:
            raise UserError(_unreadable(word)) from None


def flags_first(words: list[str]) -> list[str]:
    """Returns the flags with their values, then the rest: Hydra wants them in one group."""
    flags: list[str] = []
    rest: list[str] = []
    before = ""
    for word in words:
        of_flag = before in WITH_VALUE and "=" not in word
        (flags if word.startswith("-") or of_flag else rest).append(word)
        before = word
    return flags + rest


def _no_pair(word: str, own: Iterable[str]) -> str:
    """Returns the sentence for a word without =: often a choice without its group."""
    found = {group: choices_of(group) for group in GROUPS}
    if word in GROUPS:
        return f"'{word}' is not key=value: write {word}=..., without spaces."
    groups = [f"{group}={word}" for group, names in found.items() if word in names]
    if groups:
        return f"'{word}' is not key=value. Did you mean {' or '.join(groups)}?"
    if word in own:
        return f"'{word}' is not key=value: give {word}=..."
    if "/" in word:
        return (
            f"'{word}' is not key=value. If it belongs to a path with a space, quote the path for "
            "the shell: data.root='/a path/here'"
        )
    near = closest(word, [f"{group}={name}" for group, names in found.items() for name in names])
    return f"'{word}' is not key=value.{near or ' Settings are written as optim.lr=0.001.'}"


def _unreadable(word: str) -> str:
    """Returns the sentence for a value that Hydra's grammar does not take, such as a path with a
    space or an accent."""
    key, _, value = word.partition("=")
    if key != key.strip():
        return f"{word}: write {key.strip()}={value.strip()}, without spaces."
    if value and not set(value) & set("\"'[]{}()"):
        return (
            f"{word}: the value has characters that must be quoted, once for the shell and once "
            f"for Hydra: '{key}=\"{value}\"'"
        )
    return f"{word}: the value cannot be read; check its quotes, brackets and commas."
