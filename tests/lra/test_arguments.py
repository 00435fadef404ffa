import pytest

from lra import arguments
from lra.errors import UserError


def test_own_keys_are_taken_out_and_the_last_one_counts():
    typed = ["rounds=2", "task=text", "rounds=3", "a.json", "optim.lr=choice(1,2)"]
    given, rest = arguments.split(typed, {"rounds": "1", "batch": "32"})
    assert given == {"rounds": "3", "batch": "32"}
    assert rest == ["task=text", "a.json", "optim.lr=choice(1,2)"]


def test_values_are_read():
    given = {"n": "1,20", "one": "7", "yes": "true", "no": "false"}
    assert arguments.numbers(given, "n") == [1, 20] and arguments.number(given, "one") == 7
    assert arguments.truth(given, "yes") and not arguments.truth(given, "no")


@pytest.mark.parametrize("text", ["", "0", "-1", "1k", "1,,2", "1.5"])
def test_what_is_no_number_is_named(text):
    with pytest.raises(UserError, match=f"n={text}: give whole numbers above 0"):
        arguments.numbers({"n": text}, "n")


def test_one_number_and_one_of_a_few():
    with pytest.raises(UserError, match="n=1,2: give one number"):
        arguments.number({"n": "1,2"}, "n")
    with pytest.raises(UserError, match="There is no value of on 'yes': choose false, true"):
        arguments.truth({"on": "yes"}, "on")
