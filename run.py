"""One cell of the arena: python run.py task=listops model=fourier [key=value ...]

Prepares the data where it is missing, trains, selects on val, scores test once, records a row.
"""

import sys

import lra  # noqa: F401  first: a Ctrl-C from here on ends in a sentence

# isort: split
import hydra
from omegaconf import DictConfig

from lra import cli, config
from lra.environment import forget_ranks, is_main_process
from lra.store import runs
from lra.store.cell import Cell, cell, find
from lra.store.claim import Claim
from lra.store.row import Row


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@cli.in_one_sentence
def main(cfg: DictConfig) -> float | None:
    if config.is_multirun():
        from lra.sweep.supervisor import run_child

        return run_child(cfg)
    configuration = config.Configuration(cfg, config.typed_overrides())
    forget_ranks(cfg.trainer)
    shows = is_main_process()  # asked first: Lightning forgets the ranks when it has trained
    if cfg.evaluate:
        from lra.training.evaluate import evaluate

        return evaluate(configuration)
    row = finished(configuration)
    if row is None or cfg.rerun:
        row = compute(configuration)
    if shows:
        from lra.report import result

        result.show(row, cfg.results)
    return row.val_score.value


def finished(configuration: config.Configuration) -> Row | None:
    """Returns the cell's newest finished row in the user's own store."""
    this = find(configuration)
    done = runs.newest_done(this.rows, this.id) if this else None
    if done and not configuration.cfg.rerun:
        print(runs.done_already(*done))
    return done[0] if done else None


def compute(configuration: config.Configuration) -> Row:
    """Claims the cell, and trains it unless another worker has finished it by then."""
    from lra.training.network import blueprint, must_have_device

    cfg = configuration.cfg
    must_have_device(cfg)
    blueprint(cfg)  # first: a network that cannot be built costs no data and no claim
    import data_prep

    this = cell(configuration, data_prep.prepare(cfg.task, cfg.data))
    if not is_main_process():
        return train(configuration, this, claim=None)
    with this.claimed(cfg, cfg.wait) as claim:
        done = runs.newest_done(this.rows, this.id)
        if done and not cfg.rerun:
            print(runs.done_already(*done))
            return done[0]
        this.forget_older_than(done)
        return train(configuration, this, claim)


def train(configuration: config.Configuration, this: Cell, claim: Claim | None) -> Row:
    """Trains the cell, records its row whatever happens once training has begun, and returns it."""
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
    this.forget_attempts()
    return row


if __name__ == "__main__":
    sys.exit(cli.hydra_exit_code(main, __doc__))
