"""One cell of the arena: python run.py task=listops model=fourier [key=value ...]

Prepares the data where it is missing, trains, selects on val, scores test once, records a row.
"""

import sys

import hydra
from omegaconf import DictConfig

from lra import config
from lra.cli import hydra_exit_code, in_one_sentence
from lra.machine import is_main_process
from lra.store.cell import Cell, cell
from lra.store.claim import Claim


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@in_one_sentence
def main(cfg: DictConfig) -> float | None:
    if config.is_multirun():
        from lra.sweep.supervisor import run_child

        return run_child(cfg)
    configuration = config.Configuration(cfg, config.typed_overrides())
    if cfg.evaluate:
        from lra.training.evaluate import evaluate

        return evaluate(configuration)

    import data_prep
    from lra.store import runs

    this = cell(configuration, data_prep.prepare(cfg.task, cfg.data))
    if not is_main_process():
        return train(configuration, this, claim=None).val_score.value
    with this.claimed(cfg, cfg.wait) as claim:
        done = runs.newest_done(this.rows, this.id)
        if done and not cfg.rerun:
            row, path = done
            print(runs.done_already(row, path))
        else:
            this.forget_older_than(done)
            row = train(configuration, this, claim)
        if row.test is None:
            print(f"val {row.selection.sentence(row.val_score)}; test was not scored")
        else:
            from lra.report.tables import scores

            scores.show([row], this.results)
    return row.val_score.value


def train(configuration: config.Configuration, this: Cell, claim: Claim | None):
    """Trains the cell, records its row whatever happens, and returns the row."""
    from lra.training.interrupt import StopSignal

    with StopSignal() as stop:
        from hydra.utils import instantiate

        from lra.training.attempt import Attempt, recorded
        from lra.training.run import Training

        objective = instantiate(configuration.cfg.objective)
        attempt = Attempt(configuration, objective, this, claim)
        with recorded(attempt):
            training = Training(configuration, objective, this, stop, claim)
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
