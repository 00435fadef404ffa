"""One cell of the arena: python run.py task=listops model=fourier [key=value ...]

Prepares the data where it is missing, trains, selects on val, scores test once, records a row.
"""

import sys

import hydra
from omegaconf import DictConfig

from lra import config
from lra.cell import Cell, cell
from lra.environment import is_main_process
from lra.errors import UserError, hydra_exit_code, in_one_sentence


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@in_one_sentence
def main(cfg: DictConfig) -> float | None:
    config.check(cfg)
    if config.is_multirun():
        from lra.sweep import run_child

        return run_child(cfg)
    if cfg.evaluate:
        from lra.evaluate import evaluate

        return evaluate(cfg)

    import data_prep
    from lra import rows, tables
    from lra.files import locked

    this = cell(cfg, data_prep.prepare(cfg.task, cfg.data))
    if not is_main_process():
        return train(cfg, this).val.accuracy
    with locked(this.work / "lock", busy=f"Another process is running this cell ({this.work})."):
        done = rows.newest_done(this.rows, this.id)
        if done and not cfg.rerun:
            row, path = done
            print(f"Done already: {path} (rerun=true runs it again).")
        else:
            if cfg.rerun:
                this.last.unlink(missing_ok=True)
            row = train(cfg, this)
        tables.show([row])
    return row.val.accuracy


def train(cfg: DictConfig, this: Cell):
    import pytorch_lightning as pl
    from hydra.utils import instantiate

    import data_prep
    from lra import checkpoint, setup
    from lra.attempt import Attempt, recorded
    from lra.data import PackedData
    from lra.environment import describe
    from lra.interrupt import StopSignal
    from lra.measure import PeakMemory, Stopwatch
    from lra.module import Classification, seed_everything
    from lra.progress import RunProgress
    from lra.watch import LossWatch, entropy

    setup.quiet()
    setup.keep_freed_memory()
    attempt = Attempt(cfg, this)
    with recorded(attempt):
        resumed = checkpoint.load(this.last) if this.last.exists() else None
        setup.threads(cfg.trainer.threads, resumed)
        attempt["environment"] = environment = describe(cfg.trainer)
        steps, batch_size = cfg.trainer.max_steps, cfg.batch_size

        data = PackedData(
            data_prep.folder(cfg.task, cfg.data),
            this.manifest,
            seq_len=cfg.model.seq_len,
            batch_size=batch_size,
            seed=cfg.seed,
            limit=cfg.trainer.max_eval_examples,
        )
        with StopSignal() as stop, PeakMemory(cfg.trainer.accelerator) as memory:
            seed_everything(cfg.seed)
            net = instantiate(cfg.model.net)
            module = Classification(net, cfg.optim, max_steps=steps, seed=cfg.seed)
            attempt["parameters"] = parameters = sum(p.numel() for p in net.parameters())

            watch = LossWatch(entropy(this.manifest.label_counts["train"]), steps, cfg.optim.lr)
            stopwatch = Stopwatch()
            about = {
                "cell": this.id,
                "fingerprint": this.manifest.fingerprint,
                "config": setup.to_json(cfg),
                "environment": environment,
            }
            checkpoints = checkpoint.Checkpoints(
                this.last,
                about,
                select=cfg.select,
                seconds=cfg.trainer.checkpoint_seconds,
                stop=stop,
            )
            if resumed:
                checkpoints.resume = (resumed["global_step"], setup.changed(environment, resumed))
            trainer = pl.Trainer(
                accelerator=cfg.trainer.accelerator,
                devices=cfg.trainer.devices,
                strategy=cfg.trainer.strategy,
                num_nodes=cfg.trainer.num_nodes,
                precision=cfg.trainer.precision,
                max_steps=steps,
                val_check_interval=cfg.trainer.val_every,
                check_val_every_n_epoch=None,
                logger=setup.logger(cfg, this),
                callbacks=[
                    watch,
                    checkpoints,
                    stopwatch,
                    RunProgress(steps, batch_size, watch, stopwatch),
                ],
                **setup.LIGHTNING,
            )
            if batch_size % trainer.world_size:
                raise UserError(
                    f"batch_size={batch_size} does not divide among {trainer.world_size} devices."
                )
            setup.announce(cfg, this, environment, parameters, resumed)

            try:
                trainer.fit(module, data, ckpt_path=resumed and this.last, weights_only=True)
            finally:
                attempt["train_seconds"] = stopwatch.train_seconds
                attempt["last_step"] = trainer.global_step
                attempt["warnings"], attempt["resumes"] = watch.warnings, checkpoints.resumes

            selected = checkpoints.selected
            module.load_state_dict(selected["weights"])
            if selected["val"] is None:  # the last step was not one that is validated
                trainer.validate(module, data, verbose=False)
            trainer.test(module, data, verbose=False)

        attempt["val"] = selected["val"] or module.scores["val"]
        attempt["test"], attempt["selected_step"] = module.scores["test"], selected["step"]
        attempt["test_logits_sha256"] = module.logits_sha256
        attempt["speed"], attempt["memory"] = stopwatch.speed(batch_size), memory.memory()
        attempt.predictions = module.predictions
        if is_main_process():
            checkpoints.write_selected(this.selected)
        row = attempt.write("done")
    this.last.unlink(missing_ok=True)
    return row


if __name__ == "__main__":
    sys.exit(hydra_exit_code(main))
