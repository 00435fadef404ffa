import pytest

from lra import cli
from lra.errors import UserError


def test_own_keys_are_taken_out_and_the_last_one_counts():
    typed = ["rounds=2", "task=text", "rounds=3", "a.json", "optim.lr=choice(1,2)"]
    given, rest = cli.split(typed, {"rounds": "1", "batch": "32"})
    assert given == {"rounds": "3", "batch": "32"}
    assert rest == ["task=text", "a.json", "optim.lr=choice(1,2)"]


def test_values_are_read():
    given = {"n": "1,20", "one": "7", "yes": "true", "no": "false"}
    assert cli.numbers(given, "n") == [1, 20] and cli.number(given, "one") == 7
    assert cli.truth(given, "yes") and not cli.truth(given, "no")


@pytest.mark.parametrize("text", ["", "0", "-1", "1k", "1,,2", "1.5"])
def test_what_is_no_number_is_named(text):
    with pytest.raises(UserError, match=f"n={text}: give whole numbers above 0"):
        cli.numbers({"n": text}, "n")


def test_one_number_and_one_of_a_few():
    with pytest.raises(UserError, match="n=1,2: give one number"):
        cli.number({"n": "1,2"}, "n")
    with pytest.raises(UserError, match="There is no value of on 'yes': choose false, true"):
        cli.truth({"on": "yes"}, "on")


@pytest.mark.parametrize(
    "seconds, text",
    [(5, "5 s"), (59.7, "1 min 00 s"), (605, "10 min 05 s"), (7260, "2 h 01 min")],
)
def test_durations_read_well(seconds, text):
    assert cli.duration(seconds) == text
