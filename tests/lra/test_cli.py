import os
import re
import signal
import subprocess
import sys

import pytest
from hydra.errors import InstantiationException

from lra import cli, config
from lra.__main__ import commands
from lra.errors import STOPPED, UserError
from tests import warm
from tests.conftest import ROOT

KEYS = {"rounds": cli.Key("1", "how often"), "batch": cli.Key("32", "examples")}


def test_own_keys_are_taken_out_and_the_last_one_counts():
    typed = ["rounds=2", "task=text", "rounds=3", "a.json", "optim.lr=choice(1,2)"]
    given, rest = cli.split(typed, KEYS, free=True)
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


def benchmarks() -> list[str]:
    return [p.stem for p in (ROOT / "benchmarks").glob("*.py") if p.stem != "__init__"]


DOORS = ["run.py", "-m data_prep", "-m lra", *(f"-m lra.{name}" for name in commands())]
DOORS += [f"-m benchmarks.{name}" for name in benchmarks()]


@pytest.mark.parametrize("door, flag", [(door, "--help") for door in DOORS] + [("run.py", "-h")])
def test_help_says_the_purpose_and_shows_an_example(door, flag):
    done = warm.run([*door.split(), flag])
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python {door}" in done.stdout
    assert "--version" in done.stdout


def test_help_lists_the_keys_with_their_defaults():
    text = warm.run(["-m", "lra.efficiency", "-h"]).stdout
    assert re.search(r"^  lengths=1024,2048,3072,4096 +bytes of text$", text, re.MULTILINE)
    assert re.search(r"^  rounds=3 +\S", text, re.MULTILINE)


def test_the_help_of_run_lists_choices_and_keys():
    text = warm.run(["run.py", "-h"]).stdout
    tasks = text.partition("  task=")[2].partition("  model=")[0]
    assert tasks.split()[0::2] == [*config.tasks(), *config.text_tasks()]
    assert all(re.search(rf"\b{model}\b", text) for model in config.models())
    assert not re.search(r"\bbase\b", text)
    assert re.search(r"^  seed: 0$", text, re.MULTILINE)
    assert re.search(r"^    clip: 1.0 # ", text, re.MULTILINE)


@pytest.mark.parametrize("door", ["run.py", "-m lra", "-m lra.tables"])
def test_the_version_names_the_commit(door):
    done = warm.run([*door.split(), "--version"])
    commit = r" \(commit [0-9a-f]{7}" if (ROOT / ".git").exists() else ""
    assert re.match(rf"lra-harness \d+\.\d+\.\d+{commit}", done.stdout)


def test_a_typo_in_a_commands_own_key_is_named():
    for door, typed, meant in [
        ("tables", "modifed=true", "modified"),
        ("efficiency", "round=2", "rounds"),
        ("submit", "orgin=Ada", "origin"),
    ]:
        done = warm.run(["-m", f"lra.{door}", typed])
        key = typed.partition("=")[0]
        assert done.stderr == f"error: There is no option '{key}'. Did you mean {meant}?\n"


@pytest.mark.parametrize("words", [["lra.sweep", "status"], ["data_prep", "listops"]])
def test_a_word_that_is_not_a_pair_is_named_everywhere(words):
    done = warm.run(["-m", *words, "fourier"])
    assert done.returncode == 1
    assert "'fourier' is not key=value. Did you mean model=fourier" in done.stderr


def test_a_folder_of_ones_own_must_be_named_and_there(tmp_path):
    for typed in (["--config-dir"], ["--config-dir="], ["--config-dir", "--cfg"]):
        with pytest.raises(UserError, match="name the folder of your own yaml"):
            cli.own_folder(typed)
    with pytest.raises(UserError, match="There is no folder .*/nowhere"):
        cli.own_folder([f"--config-dir={tmp_path}/nowhere"])


def test_a_folder_of_ones_own_may_have_a_space_and_an_accent(tmp_path):
    own = tmp_path / "my \u00e9t\u00e9"
    (own / "model").mkdir(parents=True)
    yaml = "defaults: [fnet]\nname: mine\n"
    (own / "model/mine.yaml").write_text(yaml)
    words = [f"--config-dir={own}", "status", "task.variant=short", "model=glob(mi*)"]
    done = warm.run(["-m", "lra.sweep", *words[1:], words[0], f"data.root={tmp_path}"])
    assert "1 cell: 1 missing" in done.stdout, done.stderr
    assert "mine" in warm.run(["run.py", words[0], "--help"]).stdout


@pytest.mark.parametrize("door", ["tables", "plots", "leaderboard"])
def test_a_results_folder_that_does_not_exist_is_named_and_not_made(door, tmp_path):
    done = warm.run(["-m", f"lra.{door}", f"results.root={tmp_path}/nowhere"])
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: There is no folder {tmp_path}/nowhere")
    assert not list(tmp_path.iterdir())


def test_every_command_is_listed():
    listed = commands()
    expected = {
        "check",
        "efficiency",
        "leaderboard",
        "plots",
        "rekey",
        "search",
        "submit",
        "withdraw",
    }
    assert listed.keys() == expected | {"sweep", "tables"}
    assert all(listed.values())
    listing = warm.run(["-m", "lra"]).stdout
    assert all(f"python -m lra.{name} " in listing for name in listed)


def test_a_reader_that_has_read_enough_is_not_an_error():
    command = f"set -o pipefail; {sys.executable} -m lra.tables --help | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words, library",
    [
        (["run.py", "task=listops"], "hydra"),
        (["run.py", "task=listops"], "pydantic"),
        (["-m", "lra.tables"], "scipy"),
        (["-m", "data_prep", "listops"], "numpy"),
    ],
)
def test_ctrl_c_while_the_imports_load_ends_in_a_sentence(tmp_path, words, library):
    """A library whose import is interrupted stands for one that takes a second."""
    (tmp_path / f"{library}.py").write_text("raise KeyboardInterrupt")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.stderr == f"{STOPPED}\n"
    assert done.returncode == -signal.SIGINT


def test_programs_that_use_the_package_keep_their_tracebacks():
    code = "import lra; raise KeyboardInterrupt"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "Traceback" in done.stderr


def test_ctrl_c_inside_a_class_statement_or_a_configurations_call_is_a_stop(capsys):
    def wrapped():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise RuntimeError("Error calling __set_name__") from error

    def twice():
        try:
            wrapped()
        except RuntimeError:
            raise InstantiationException("Error in call to target")  # noqa: B904

    for command in (wrapped, twice):
        assert cli.exit_code(command) == 130
        assert capsys.readouterr().err == f"{STOPPED}\n"
    with pytest.raises(RuntimeError, match="a bug"):
        cli.exit_code(lambda: (_ for _ in ()).throw(RuntimeError("a bug")))
