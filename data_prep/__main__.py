"""python -m data_prep listops [task.variant=short] [data.root=...] [data.archive=...] [data.seed=0]

Makes the packed data of a task, or says that it is there, and prints its passport.
"""

import sys

import data_prep
from lra import config
from lra.errors import UserError, exit_code, one_of


def main() -> None:
    tasks = sorted(path.stem for path in (config.CONF / "task").glob("*.yaml"))
    if len(sys.argv) < 2 or "=" in sys.argv[1]:
        raise UserError(f"Which task? python -m data_prep <{' | '.join(tasks)}> [key=value ...]")
    task, *overrides = sys.argv[1:]
    if task not in tasks:
        raise one_of("task", task, tasks)
    cfg = config.compose([f"task={task}", *overrides])
    config.check(cfg)
    path = data_prep.folder(cfg.task, cfg.data)
    if data_prep.read_manifest(path) is not None:
        unread = ", data.archive is not read again" if cfg.data.archive else ""
        print(f"{path} is there already{unread}.")
    manifest = data_prep.prepare(cfg.task, cfg.data)
    print(f"{manifest.task}/{manifest.variant}  fingerprint {manifest.fingerprint}")
    print(f"  source: {manifest.source} {manifest.generator or ''}")
    for split, n in manifest.counts.items():
        print(f"  {split}: {n} examples, labels {manifest.label_counts[split]}")
        print(f"    tokens by percentile: {manifest.token_percentiles[split]}")
    for rule, accuracy in manifest.baselines.items():
        print(f"  {100 * accuracy['test']:.1f} % on test by {rule}")


if __name__ == "__main__":
    sys.exit(exit_code(main))
