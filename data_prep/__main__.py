"""Makes, checks and describes the packed data of the tasks.

python -m data_prep listops                      one task: makes its data and prints their passport
python -m data_prep text task.variant=bytes_4000
python -m data_prep all pathx.images=2000        the arena's tasks; <task>.<key> is for one of them
python -m data_prep doctor                       lists the data that are there, with their defects
python -m data_prep probe task=listops           do the labels carry signal?
"""

import sys

import data_prep
from data_prep import doctor
from lra import cli, config
from lra.config import words
from lra.errors import UserError, one_of

KEYS = {
    "data.root": cli.Key("data", "the folder of packed data"),
    "data.archive": cli.Key("null", "original files: a folder, .tar* or .zip"),
    "data.seed": cli.Key("0", "of generated data"),
    "data.processes": cli.Key("null", "null: all cores"),
    "task.variant": cli.Key("", "another length, level or size (--cfg job of run.py lists them)"),
}


def main() -> None:
    word, *overrides = sys.argv[1:] or [""]
    if word == "doctor":
        doctor.report(known(), composed(["task=listops", *overrides]).data)
    elif word == "probe":
        from data_prep import probe

        probe.main(composed(overrides))
    elif word == "all":
        every_task(overrides)
    elif word in known():
        one_task(composed([f"task={word}", *for_task(word, overrides)]))
    elif not word or "=" in word:
        raise UserError(
            "Name a task or a command: python -m data_prep "
            f"<{' | '.join(['all', *known(), 'doctor', 'probe'])}>"
        )
    else:
        raise one_of("task", word, [*known(), "all", "doctor", "probe"])


def known() -> list[str]:
    """Returns every task: the arena's, and those whose answers are texts."""
    return [*config.tasks(), *config.text_tasks()]


def composed(overrides: list[str]):
    words.check(overrides)
    cfg = config.compose(overrides)
    config.check_data(cfg)
    return cfg


def for_task(task: str, overrides: list[str]) -> list[str]:
    """Returns the overrides that concern a task; <task>.<key>=... becomes task.<key>=...

    <task>.images=N chooses the variant `small` with N images, 80 % of them for training.
    """
    chosen = []
    for override in overrides:
        name, dot, rest = override.partition(".")
        if not dot or name not in known():
            chosen.append(override)
        elif name == task and rest.startswith("images="):
            chosen += fewer_images(override, rest.removeprefix("images="))
        elif name == task:
            chosen.append(f"task.{rest}")
    return chosen


def fewer_images(override: str, number: str) -> list[str]:
    if not number.isdecimal() or int(number) < 10:
        raise UserError(f"{override}: give a whole number of images, 10 or more.")
    n = int(number)
    counts = {"train": n - 2 * (n // 10), "val": n // 10, "test": n // 10}
    return [
        "task.variant=small",
        *(f"task.variants.small.counts.{split}={count}" for split, count in counts.items()),
    ]


def every_task(overrides: list[str]) -> None:
    """Prepares the arena's tasks one after the other. A failure does not stop the others; the
    failed tasks are named at the end."""
    if any(override.startswith("data.archive=") for override in overrides):
        raise UserError("data.archive belongs to one task: name the task instead of 'all'.")
    failed = []
    for task in config.tasks():
        try:
            chosen = for_task(task, overrides)
            cfg = composed([f"task={task}", *chosen])
            module = data_prep.maker(cfg.task)
            by_choice = any(override.startswith("task.variant=") for override in chosen)
            if hasattr(module, "variant_at_hand") and not by_choice:
                cfg.task.variant = module.variant_at_hand(cfg.data)
            one_task(cfg)
        except UserError as error:
            failed.append(task)
            print(f"{task}: {error}", file=sys.stderr)
    if failed:
        raise UserError(f"{', '.join(failed)} could not be prepared, for the reasons given above.")


def one_task(cfg) -> None:
    path = data_prep.folder(cfg.task, cfg.data)
    if data_prep.read_manifest(path) is not None:
        print(f"{path} is there already.")
    print(doctor.passport(data_prep.prepare(cfg.task, cfg.data), cfg.task.pixels))


if __name__ == "__main__":
    sys.exit(cli.run(main, __doc__, KEYS))
