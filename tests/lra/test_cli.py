import subprocess
import sys

import pytest

from lra import cli, config
from lra.__main__ import commands
from lra.errors import UserError
from tests import warm
from tests.conftest import ROOT


def test_own_keys_are_taken_out_and_the_last_one_counts():
    typed = ["rounds=2", "task=text", "rounds=3", "a.json", "optim.lr=choice(1,2)"]
    given, rest = cli.split(typed, {"rounds": "1", "batch": "32"})
    assert given == {"rounds": "3", "batch": "32"}
    assert rest == ["task=text", "a.json", "optim.lr=choice(1,2)"]


def test_values_are_read():
    given = {"n": "1,20", "one": "7", "yes": "true", "no": "false"}
    assert cli.numbers(given, "n") == [1, 20]
    assert cli.number(given, "one") == 7
    assert cli.truth(given, "yes")
    assert not cli.truth(given, "no")


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


def test_an_option_that_moved_is_named_at_its_new_place():
    for old, new in (("trainer.max_steps", "max_steps"), ("trainer.precision", "precision")):
        with pytest.raises(Exception, match="max_steps|precision") as caught:
            config.compose([f"{old}=1"])
        assert f"There is no option '{old}'. Did you mean {new}?" in cli.explain(caught.value)


def test_every_command_is_listed_and_has_help():
    listed = commands()
    expected = {"check", "efficiency", "leaderboard", "plots", "rekey", "search", "submit"}
    assert listed.keys() == expected | {"sweep", "tables"}
    for name, line in listed.items():
        done = warm.run(["-m", f"lra.{name}", "--help"])
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(line)
    listing = warm.run(["-m", "lra"]).stdout
    assert all(f"python -m lra.{name} " in listing for name in listed)


def test_a_reader_that_has_read_enough_is_not_an_error():
    command = f"set -o pipefail; {sys.executable} -m lra.tables --help | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
