"""The parts that commands share: help, key=value arguments, exit codes, errors as one sentence."""

import functools
import os
import re
import signal
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from lra import config
from lra.config import words
from lra.errors import (
    EXIT_CODES,
    STOPPED,
    Interrupted,
    UserError,
    by_ctrl_c,
    closest,
    one_of,
)
from lra.machine import ROOT, commit

failed_cells: list[str] = []  # of this process's sweep (lra/sweep/ledger.py)


class Key(NamedTuple):
    """A key=value argument of a command's own. help: its effect, for --help."""

    default: str
    help: str


Keys = dict[str, Key]
ROOT_KEY = Key("results", "the folder of your rows, and of all files that are written")


def run(command: Callable[[], object], text: str | None, keys: Keys | None = None) -> int:
    """Runs the main function of `python -m lra.<command>` and returns its exit code.

    text: the module's docstring, which --help prints with the keys and their defaults.
    """
    return exit_code(_answered, lambda: help_text(text or "", keys or {}), command)


def _answered(help_: Callable[[], str], command: Callable[[], object]) -> None:
    """Answers the flags that every command has, else runs the command."""
    sys.argv[1:] = own_folder(sys.argv[1:])
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_())
    elif "--version" in sys.argv[1:]:
        print(version())
    else:
        command()


def own_folder(typed: list[str]) -> list[str]:
    """Takes --config-dir out of the words, after adding its folder to conf/."""
    rest, folder = [], None
    following = iter(typed)
    for word in following:
        flag, equals, path = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            rest.append(word)
            continue
        folder = path if equals else next(following, "")
        if not folder or folder.startswith("-"):
            raise UserError("--config-dir: name the folder of your own yaml files.")
    config.use_own_folder(folder)
    return rest


def help_text(text: str, keys: Keys) -> str:
    """Returns a command's help: its docstring, then its keys with their defaults."""
    lines = [text.strip()]
    if keys:
        width = max(len(f"{name}={key.default}") for name, key in keys.items())
        lines += ["", "keys and their defaults:"]
        lines += [f"  {f'{name}={key.default}':{width}}  {key.help}" for name, key in keys.items()]
    return "\n".join(
        [*lines, "", "flags: -h, --help; --version; --config-dir=FOLDER of your own yaml"]
    )


def version() -> str:
    """Returns the version with the commit of the checkout."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        number = tomllib.load(file)["project"]["version"]
    head, dirty = commit()
    changes = ", with uncommitted changes" if dirty else ""
    return f"lra-harness {number}" + (f" (commit {head[:7]}{changes})" if head else "")


def exit_code(command: Callable[..., object], *args) -> int:
    """Runs a command. Prints a user's mistake as one sentence on stderr."""
    try:
        command(*args)
        sys.stdout.flush()  # here, where a closed pipe is caught
        return 0
    except UserError as error:
        message, code = str(error), error.exit_code
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except BrokenPipeError:  # of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        if by_ctrl_c(error):
            print(STOPPED, file=sys.stderr)
            return EXIT_CODES[signal.SIGINT]
        sentence = explain(error)
        if sentence is None:
            raise
        message, code = sentence, UserError.exit_code
    print(f"error: {message}", file=sys.stderr)
    return code


def hydra_exit_code(main: Callable[[], object], text: str) -> int:
    """Runs a function under @hydra.main, whose composition can fail before the function starts."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra passes errors on instead of printing

    def composed() -> None:
        words.check(sys.argv[1:])
        sys.argv[1:] = [*_hydra_folder(), *words.flags_first(sys.argv[1:])]
        main()

    code = exit_code(_answered, lambda: run_help(text), composed)
    for cell in failed_cells:
        print(f"failed: {cell}", file=sys.stderr)
    return code or bool(failed_cells)


def run_help(text: str) -> str:
    """Returns the help of run.py: examples, the choices of conf/, and its keys with defaults."""
    groups = ("task", "model", "filter", "protocol", "generation", "trainer", "logger")
    names = {group: config.choices_of(group) for group in groups}
    names["task"] = [*config.tasks(), *config.text_tasks()]
    choices = [f"  {f'{group}=':10} {' | '.join(found)}" for group, found in names.items()]
    lines = [
        "examples:",
        "  python run.py task=listops model=fourier protocol=lite",
        "  python run.py -m task=listops model=fourier,transformer seed=0,1",
        "  python run.py task=listops model=fourier --cfg job     (prints all, runs nothing)",
        "",
        "choices:",
        *(textwrap.fill(line, 100, subsequent_indent=" " * 13) for line in choices),
        "",
        "keys and their defaults (conf/config.yaml; ??? comes from protocol and task):",
    ]
    keys = (config.CONF / "config.yaml").read_text(encoding="utf-8")
    keys = keys[keys.index("\nseed:") + 1 : keys.index("\nhydra:")]
    lines += [f"  {line}".rstrip() for line in keys.splitlines()]
    return help_text("\n".join([text.strip(), "", *lines]), {})


def _hydra_folder() -> list[str]:
    """Returns the flag that tells Hydra of one's own folder."""
    return [f"--config-dir={folder}" for folder in config.folders()[1:]]


def in_one_sentence(job: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Wraps the function inside @hydra.main: Hydra would print a line of its own before errors.

    Relative paths count from the folder where the command was typed, whatever hydra.job.chdir says.
    """

    @functools.wraps(job)
    def guarded(cfg):
        from hydra.utils import get_original_cwd

        os.chdir(get_original_cwd())
        result = []
        code = exit_code(lambda: result.append(job(cfg)))
        if code:
            raise SystemExit(code)
        return result[0] if result else None

    return guarded


def explain(error: BaseException) -> str | None:
    """Returns the sentence for a mistake that Hydra, OmegaConf or the system found, else None."""
    from hydra.errors import HydraException, InstantiationException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    text = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.options:
        folder, _, name = (error.missing_cfg_file or "").rpartition("/")
        return str(one_of(folder or "configuration", name, error.options))
    if "Ambiguous value for argument" in text:  # Hydra's three remedies, of which one is meant
        argument = re.search(r"argument '([^']+)'", text)[1]
        return (
            f"{argument} names several values: add -m to run each of them (python run.py -m ...)."
        )
    unknown = re.search(r"Key '([^']+)' is not in struct", text)
    if unknown:
        key = re.search(r"full_key: (\S+)", text)
        return f"There is no option '{key.group(1) if key else unknown.group(1)}'.{_advice(text)}"
    choice = re.search(r"Could not override '([^'@]+)", text)
    if choice:
        return f"There is no option '{choice.group(1)}'.{_advice(text)}"
    if isinstance(error, InstantiationException):
        cause = error.__cause__ or error
        where = re.search(r"full_key: (\S+)", text)
        detail = " ".join(str(cause).split())
        return f"{detail}{f' (in {where.group(1)})' if where else ''}"
    if type(error).__module__.startswith("yaml."):
        return f"A yaml file cannot be read: {text}."
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}."
    if text.startswith("Only one of --run, --multirun, --cfg"):  # Hydra's, as a bare ValueError
        return "-m runs a sweep and --cfg prints a configuration: give one of them."
    # by name: importing Lightning to compare classes would cost seconds
    lightning = type(error).__name__ == "MisconfigurationException"
    if isinstance(error, (HydraException, OmegaConfBaseException)) or lightning:
        return text
    return None


def _advice(text: str) -> str:
    """Returns the option that was probably meant, and its neighbours."""
    found = re.search(r"full_key: (\S+)|override '([^'@]+)", text)
    if not found:
        return ""
    word = found.group(1) or found.group(2)
    tree = config.plain(_as_chosen())
    flat = config.flatten(tree)
    options = [key for key in flat if key.rpartition(".")[2] not in ("_target_", "_partial_")]
    # an option that moved keeps its last name; of several, the shortest path is meant
    same_name = [key for key in options if key.rpartition(".")[2] == word.rpartition(".")[2]]
    same_name.sort(key=lambda key: key.count("."))
    groups = words.GROUPS if "." not in word else ()
    advice = f" Did you mean {same_name[0]}?" if same_name else closest(word, [*groups, *options])
    group, node = word.rpartition(".")[0], tree
    for part in group.split("."):
        node = node.get(part, {}) if isinstance(node, dict) else {}
    siblings = {key for key in node or tree if key not in ("_target_", "_partial_", "hydra")}
    where = f"{group} has" if node else "There are"
    return f"{advice} {where}: {', '.join(sorted(siblings))}."


def _as_chosen():
    """Composes the typed choices alone, such as model=performer, whose settings are then known."""
    typed = [w for w in sys.argv[1:] if w.partition("=")[0] in words.GROUPS and "," not in w]
    try:
        return config.compose(typed)
    except Exception:  # one of them is the mistake
        return config.compose([])


def split(arguments: list[str], own: Keys, free: bool = False) -> tuple[dict[str, str], list[str]]:
    """Returns the values of a command's own key=value arguments, and the rest, for Hydra.

    free: the rest may have words that are not key=value, such as files.
    """
    pairs = [(a, *a.partition("=")[::2]) for a in arguments]
    given = {name: key.default for name, key in own.items()}
    given |= {key: value for _, key, value in pairs if key in own}
    rest = [argument for argument, key, _ in pairs if key not in own]
    words.check([word for word in rest if not free or "=" in word], own)
    known = config.plain(config.compose([]))
    unknown = {word.partition("=")[0] for word in rest if "=" in word} - known.keys()
    for key in sorted(filter(str.isidentifier, unknown)):
        if near := closest(key, own):
            raise UserError(f"There is no option '{key}'.{near}")
    return given, rest


def only_results(typed: list[str]) -> None:
    """Raises UserError for a key that a command which only reads rows would ignore."""
    for word in typed:
        if not word.startswith(("results.", "data.", "trainer=")):
            raise UserError(f"{word}: this command has no such key; --help lists its keys.")


def numbers(given: dict[str, str], key: str) -> list[int]:
    """Returns whole numbers above 0, typed with commas between them."""
    parts = given[key].split(",")
    if not all(n.isdecimal() and int(n) for n in parts):
        raise UserError(f"{key}={given[key]}: give whole numbers above 0 with commas between them.")
    return [int(n) for n in parts]


def number(given: dict[str, str], key: str) -> int:
    """Returns one whole number above 0."""
    first, *more = numbers(given, key)
    if more:
        raise UserError(f"{key}={given[key]}: give one number.")
    return first


def truth(given: dict[str, str], key: str) -> bool:
    """Returns the truth of true or false."""
    return choice(given, key, ("true", "false")) == "true"


def choice(given: dict[str, str], key: str, among: Iterable[str]) -> str:
    """Returns the value, which must be one of the choices."""
    if given[key] not in among:
        raise one_of(f"value of {key}", given[key], among)
    return given[key]


def duration(seconds: float) -> str:
    """Returns seconds as words: 2 h 05 min, 3 min 20 s, 41 s."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
