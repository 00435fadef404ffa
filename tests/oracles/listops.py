"""The value of a ListOps expression, by recursion over its tokens."""

import statistics
from collections.abc import Iterator

RULES = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}


def value(tokens: list[str]) -> int:
    rest = iter(tokens)
    result = _value(next(rest), rest)
    assert next(rest, None) is None, "tokens after the expression"
    return result


def _value(head: str, rest: Iterator[str]) -> int:
    if head not in RULES:
        return int(head)
    arguments = []
    while (token := next(rest)) != "]":
        arguments.append(_value(token, rest))
    return RULES[head](arguments)


def shape(tokens: list[str]) -> tuple[int, list[int], list[str]]:
    """Returns the depth of the deepest operator, each operator's number of arguments, and the
    operators."""
    open_arguments, deepest, arguments, operators = [], 0, [], []
    for token in tokens:
        if token == "]":
            arguments.append(open_arguments.pop())
            continue
        if open_arguments:
            open_arguments[-1] += 1
        if token in RULES:
            open_arguments.append(0)
            operators.append(token)
            deepest = max(deepest, len(open_arguments))
    return deepest, arguments, operators
