"""Mistakes a user can make end in one sentence; a traceback is for our own bugs."""

import difflib
import functools
import os
import re
import sys
from collections.abc import Callable

failed_cells: list[str] = []  # of this process's sweep (lra/sweep.py)


class UserError(Exception):
    """Its text is the whole message: what is wrong, and what to do."""

    exit_code = 1


def closest(word: str, choices) -> str:
    """' Did you mean x?' or nothing."""
    match = difflib.get_close_matches(word, list(choices), n=1)
    return f" Did you mean {match[0]}?" if match else ""


def one_of(what: str, word: str, choices) -> UserError:
    choices = sorted(choices)
    return UserError(
        f"There is no {what} '{word}': choose {', '.join(choices)}.{closest(word, choices)}"
    )


def exit_code(command: Callable[..., object], *args) -> int:
    """Runs a command. What a user can get wrong is said in one sentence on stderr."""
    from lra.interrupt import Interrupted

    try:
        command(*args)
        return 0
    except UserError as error:
        message, code = str(error), error.exit_code
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("Stopped; nothing was running that could be lost.", file=sys.stderr)
        return 130
    except Exception as error:
        message, code = explain(error), UserError.exit_code
        if message is None:
            raise
    print(f"error: {message}", file=sys.stderr)
    return code


def hydra_exit_code(main: Callable[[], object]) -> int:
    """The same for a function under @hydra.main, whose composition can fail before it starts."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra passes errors on instead of printing
    code = exit_code(main)
    for cell in failed_cells:
        print(f"failed: {cell}", file=sys.stderr)
    return code or bool(failed_cells)


def in_one_sentence(job: Callable[..., object]) -> Callable[..., object]:
    """For the function inside @hydra.main: Hydra would print a line of its own before an error."""

    @functools.wraps(job)
    def guarded(cfg):
        result = []
        code = exit_code(lambda: result.append(job(cfg)))
        if code:
            raise SystemExit(code)
        return result[0] if result else None

    return guarded


def explain(error: Exception) -> str | None:
    """The sentence for a mistake that Hydra or OmegaConf found; None for anything else."""
    from hydra.errors import HydraException, InstantiationException, MissingConfigException
    from omegaconf.errors import OmegaConfBaseException

    text = " ".join(str(error).split())
    if isinstance(error, MissingConfigException) and error.options:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        return str(
            one_of(group or "configuration", name, [o for o in error.options if o != "base"])
        )
    unknown = re.search(r"Key '([^']+)' is not in struct", text)
    if unknown:
        key = re.search(r"full_key: (\S+)", text)
        return f"There is no option '{key.group(1) if key else unknown.group(1)}'.{_advice(text)}"
    group = re.search(r"Could not override '([^'@]+)", text)
    if group:
        return f"There is no option '{group.group(1)}'.{_advice(text)}"
    if isinstance(error, InstantiationException):
        cause = error.__cause__ or error
        where = re.search(r"full_key: (\S+)", text)
        detail = " ".join(str(cause).split())
        return f"{detail}{f' (in {where.group(1)})' if where else ''}"
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
    """The option that was probably meant, and those that there are beside it."""
    from lra import config

    found = re.search(r"full_key: (\S+)|override '([^'@]+)", text)
    if not found:
        return ""
    word = found.group(1) or found.group(2)
    tree = config.plain(config.compose([]))
    advice = closest(word, config.flatten(tree))
    group, node = word.rpartition(".")[0], tree
    for part in group.split("."):
        node = node.get(part, {}) if isinstance(node, dict) else {}
    siblings = node or tree
    where = f"{group} has" if node else "There are"
    return f"{advice} {where}: {', '.join(sorted(siblings))}."
