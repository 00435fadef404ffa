"""One cell of the arena: python run.py task=listops model=fourier [key=value ...]

Prepares the data where it is missing, trains, selects on val, scores test once, records a row.
"""

import sys

import hydra
from omegaconf import DictConfig

from lra import config
from lra.cell import Cell, cell
from lra.claim import Claim
from lra.environment import is_main_process
from lra.errors import hydra_exit_code, in_one_sentence


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@in_one_sentence
def main(cfg: DictConfig) -> float | None:
    if config.is_multirun():
        from lra.sweep import run_child

        return run_child(cfg)
    config.check(cfg)
    if cfg.evaluate:
        from lra.evaluate import evaluate

        return evaluate(cfg)

    import data_prep
    from lra import rows
    from lra.tables import accuracy

    this = cell(cfg, data_prep.prepare(cfg.task, cfg.data))
    if not is_main_process():
        return train(cfg, this, claim=None).val.accuracy
    with this.claimed(cfg, cfg.wait) as claim:
        done = rows.newest_done(this.rows, this.id)
        if done and not cfg.rerun:
            row, path = done
            print(rows.done_already(row, path))
        else:
            this.forget_older_than(done)
            row = train(cfg, this, claim)
        if row.test is None:
            print(f"val accuracy {100 * row.val.accuracy:.2f} %; test was not scored")
        else:
            accuracy.show([row], this.results)
    return row.val.accuracy


def train(cfg: DictConfig, this: Cell, claim: Claim | None):
    from lra.interrupt import StopSignal

    with StopSignal() as stop:
        from lra.attempt import Attempt, recorded
        from lra.training import Training

        attempt = Attempt(cfg, this, claim)
        with recorded(attempt):
            training = Training(cfg, this, stop, claim)
            try:
                training.fit()
            finally:
                attempt.facts |= training.progress()
            training.test_selected()
            attempt.facts |= training.results()
            row = attempt.write("done", **training.beside_the_row())
        training.record(row)
    this.last.unlink(missing_ok=True)
    return row


if __name__ == "__main__":
    sys.exit(hydra_exit_code(main))
