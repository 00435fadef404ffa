"""What a command of ours takes beside the keys of run.py: key=value, after python -m lra.<name>."""

from lra.errors import UserError, one_of


def split(arguments: list[str], own: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """own: the command's keys and their defaults. -> their values, and the rest, for Hydra."""
    pairs = [(a, *a.partition("=")[::2]) for a in arguments]
    given = own | {key: value for _, key, value in pairs if key in own}
    return given, [argument for argument, key, _ in pairs if key not in own]


def numbers(given: dict[str, str], key: str) -> list[int]:
    """Whole numbers above 0 between commas."""
    parts = given[key].split(",")
    if not all(n.isdecimal() and int(n) for n in parts):
        raise UserError(f"{key}={given[key]}: give whole numbers above 0 with commas between them.")
    return [int(n) for n in parts]


def number(given: dict[str, str], key: str) -> int:
    first, *more = numbers(given, key)
    if more:
        raise UserError(f"{key}={given[key]}: give one number.")
    return first


def truth(given: dict[str, str], key: str) -> bool:
    return choice(given, key, ("true", "false")) == "true"


def choice(given: dict[str, str], key: str, among) -> str:
    if given[key] not in among:
        raise one_of(f"value of {key}", given[key], among)
    return given[key]
