"""What takes part in training one cell, built from its configuration."""

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

import data_prep
from lra import checkpoint, config, setup, trackers
from lra.cell import Cell
from lra.claim import Claim
from lra.data import PackedData
from lra.energy import Energy
from lra.environment import commit, describe, is_main_process
from lra.errors import UserError
from lra.interrupt import StopSignal
from lra.measure import PeakMemory, Stopwatch
from lra.micro_batch import choose as choose_micro_batch
from lra.module import Classification, seed_everything
from lra.progress import RunProgress
from lra.watch import LossWatch, entropy


class Training:
    """data, module and trainer, and the callbacks that know what the row will say."""

    def __init__(self, cfg: DictConfig, cell: Cell, stop: StopSignal, claim: Claim | None):
        setup.quiet()
        setup.keep_freed_memory()
        cfg = cfg.copy()  # instantiate resolves interpolations in place
        self.cfg, self.cell = cfg, cell
        steps, batch_size = cfg.trainer.max_steps, cfg.batch_size

        resumed = checkpoint.load(cell.last) if cell.last.exists() else None
        self.resume_from = cell.last if resumed else None
        setup.threads(cfg.trainer.threads, resumed)

        self.data = PackedData(
            data_prep.folder(cfg.task, cfg.data),
            cell.manifest,
            seq_len=cfg.model.seq_len,
            batch_size=batch_size,
            seed=cfg.seed,
            limit=cfg.trainer.max_eval_examples,
            bucket_by_length=cfg.bucket_by_length,
        )
        self.tracker = trackers.create(cfg, cell) if is_main_process() else False
        self.energy = Energy() if cfg.energy and is_main_process() else None
        self.memory = PeakMemory(cfg.trainer.accelerator)
        seed_everything(cfg.seed)
        net = instantiate(cfg.model.net)
        self.parameters = sum(p.numel() for p in net.parameters())
        self.transformer_parameters = transformer_parameters(cfg)

        self.watch = LossWatch(entropy(cell.manifest.label_counts["train"]), steps, cfg.optim.lr)
        self.about_the_data = []
        if cell.manifest.val_is_test:
            self.about_the_data.append("val is the test split: selected on test")
        self.stopwatch = Stopwatch()
        self.environment = describe(cfg.trainer)
        head, dirty = commit()
        about = {
            "cell": cell.id,
            "fingerprint": cell.manifest.fingerprint,
            "config": setup.to_json(cfg),
            "environment": self.environment | {"commit": head, "dirty": dirty},
        }
        self.checkpoints = checkpoint.Checkpoints(
            cell.last,
            about,
            select=cfg.select,
            seconds=cfg.trainer.checkpoint_seconds,
            stop=stop,
            claim=claim,
        )
        self.trainer = pl.Trainer(
            accelerator=cfg.trainer.accelerator,
            devices=cfg.trainer.devices,
            strategy=setup.strategy(cfg.trainer.strategy),
            num_nodes=cfg.trainer.num_nodes,
            precision=cfg.trainer.precision,
            max_steps=steps,
            val_check_interval=cfg.trainer.val_every,
            check_val_every_n_epoch=None,
            logger=self.tracker,
            plugins=[checkpoint.WholeFiles()],
            callbacks=[
                self.watch,
                self.checkpoints,
                checkpoint.StopBetweenBatches(stop),
                self.stopwatch,
                self.memory,
                *([self.energy] if self.energy else []),
                RunProgress(steps, batch_size, self.watch, self.stopwatch),
            ],
            **setup.LIGHTNING,
        )
        ranks = self.trainer.world_size
        if batch_size % ranks:
            raise UserError(f"batch_size={batch_size} does not divide among {ranks} devices.")
        micro_batch = choose_micro_batch(cfg, cell, batch_size // ranks, resumed)
        self.module = Classification(
            net, cfg.optim, max_steps=steps, seed=cfg.seed, micro_batch=micro_batch
        )
        for environment in (self.environment, about["environment"]):
            environment |= {"devices": ranks, "micro_batch": micro_batch}
        if resumed:
            changed = setup.changed(about["environment"], resumed)
            self.checkpoints.resume = (resumed["global_step"], changed)
        stop.check()
        setup.announce(cfg, cell, self.environment, self.parameters, resumed)

    def fit(self) -> None:
        self.trainer.fit(self.module, self.data, ckpt_path=self.resume_from, weights_only=True)

    def test_selected(self) -> None:
        """Scores test once, with the weights that were selected; not in a trial of a search."""
        self.module.load_state_dict(self.checkpoints.selected["weights"])
        if self.checkpoints.selected["val"] is None:  # the last step was not one that is validated
            self.trainer.validate(self.module, self.data, verbose=False)
        if self.cfg.score_test:
            self.trainer.test(self.module, self.data, verbose=False)
        if is_main_process():
            self.checkpoints.write_selected(self.cell.selected)

    def progress(self) -> dict:
        """What the row of an unfinished attempt can say, too."""
        return {
            "environment": self.environment,
            "parameters": self.parameters,
            "transformer_parameters": self.transformer_parameters,
            "train_seconds": self.stopwatch.train_seconds,
            "last_step": self.trainer.global_step,
            "warnings": self.watch.warnings + self.about_the_data,
            "resumes": self.checkpoints.resumes,
        }

    def results(self) -> dict:
        self.memory.stop()
        selected = self.checkpoints.selected
        return {
            "val": selected["val"] or self.module.scores["val"],
            "test": self.module.scores.get("test"),
            "test_logits_sha256": self.module.logits_sha256,
            "selected_step": selected["step"],
            "speed": self.stopwatch.speed(self.cfg.batch_size),
            "memory": self.memory.memory(),
            "energy_kwh": self.energy and self.energy.stop(),
        }

    def record(self, row) -> None:
        """Tells the tracker."""
        if self.tracker:
            self.tracker.record(row, self.cell.path(row))

    def beside_the_row(self) -> dict:
        return {
            "predictions": self.module.predictions,
            "labels": self.data.splits["test"].split.labels,
            "curve": self.watch.curve,
        }


def transformer_parameters(cfg: DictConfig) -> int:
    """How many the transformer of the same width, depth and length has."""
    cfg = cfg.copy()
    cfg.model.block = config.compose(["model=transformer"]).model.block
    with torch.device("meta"):
        return sum(p.numel() for p in instantiate(cfg.model.net).parameters())
