"""The training of one cell: its data, module, trainer and callbacks, from its configuration."""

from typing import Any

from hydra.utils import instantiate

import data_prep
from data_prep.pack import load_texts
from lra.config import Configuration
from lra.environment import is_main_process
from lra.errors import UserError
from lra.machine import commit, describe
from lra.objective import Objective
from lra.store.cell import Cell
from lra.store.claim import Claim
from lra.training import checkpoint, runtime
from lra.training.callbacks import trackers
from lra.training.callbacks.energy import Energy
from lra.training.callbacks.loss_watch import LossWatch
from lra.training.callbacks.memory import PeakMemory
from lra.training.callbacks.progress import RunProgress
from lra.training.callbacks.speed import Stopwatch
from lra.training.data import PackedData
from lra.training.interrupt import StopSignal
from lra.training.micro_batch import choose as choose_micro_batch
from lra.training.module import Learner, seed_everything
from lra.training.network import count_parameters, save, transformer_parameters
from models.norm import BatchNorm


class Training:
    """The data, module and trainer of a run, and the callbacks that know the facts of its row."""

    def __init__(
        self,
        configuration: Configuration,
        objective: Objective,
        cell: Cell,
        stop: StopSignal,
        claim: Claim | None,
    ):
        """claim: None on the ranks that write nothing."""
        runtime.quiet()
        runtime.keep_freed_memory()
        cfg = configuration.cfg.copy()  # instantiate resolves interpolations in place
        runtime.take_device(cfg)
        self.cfg, self.cell, self.writes = cfg, cell, claim is not None
        steps, batch_size = cfg.max_steps, cfg.batch_size

        resumed = checkpoint.load(cell.last) if cell.last.exists() else None
        self.resume_from = cell.last if resumed else None
        runtime.threads(cfg.trainer.threads, resumed)

        self.folder = data_prep.folder(cfg.task, cfg.data)
        objective.attach(load_texts(self.folder, cell.manifest))
        self.data = PackedData(
            self.folder,
            cell.manifest,
            seq_len=cfg.model.seq_len,
            batch_size=batch_size,
            seed=cfg.seed,
            limit=cfg.max_eval_examples,
            bucket_by_length=cfg.bucket_by_length,
        )
        self.tracker = trackers.create(configuration, cell) if is_main_process() else None
        self.energy = Energy() if cfg.energy and is_main_process() else None
        self.memory = PeakMemory(cfg.trainer.accelerator)

        seed_everything(cfg.seed)
        net = instantiate(cfg.model.net)
        self.parameters = count_parameters(net)
        self.transformer_parameters = transformer_parameters(cfg)

        untaught = objective.untaught_loss(cell.manifest.label_counts["train"])
        self.watch = LossWatch(objective.selection, untaught, steps, cfg.optim.lr)
        self.about_the_data = []
        if cell.manifest.val_is_test:
            self.about_the_data.append("val is the test split: selected on test")
        self.stopwatch = Stopwatch(cell.began if is_main_process() else None)
        self.environment = describe(cfg)
        head, dirty = commit()
        about: dict[str, Any] = {
            "cell": cell.id,
            "fingerprint": cell.manifest.fingerprint,
            "config": runtime.to_json(cfg),
            "environment": self.environment | {"commit": head, "dirty": dirty},
        }
        self.checkpoints = checkpoint.Checkpoints(
            cell.last,
            about,
            select=cfg.select,
            metric=objective.selection,
            seconds=cfg.trainer.checkpoint_seconds,
            stop=stop,
            claim=claim,
        )
        self.trainer = runtime.trainer(
            accelerator=cfg.trainer.accelerator,
            devices=cfg.trainer.devices,
            strategy=runtime.strategy(cfg.trainer.strategy),
            num_nodes=cfg.trainer.num_nodes,
            precision=cfg.precision,
            deterministic="warn" if cfg.trainer.deterministic else None,
            max_steps=steps,
            val_check_interval=cfg.val_every,
            check_val_every_n_epoch=None,
            logger=self.tracker or False,
            plugins=[checkpoint.WholeFiles()],
            callbacks=[
                self.watch,
                self.checkpoints,
                checkpoint.StopBetweenBatches(stop),
                self.stopwatch,
                self.memory,
                *([self.energy] if self.energy else []),
                RunProgress(
                    batch_size,
                    self.watch,
                    self.stopwatch,
                    test_size=self.data.test_size if cfg.score_test else 0.0,
                ),
            ],
        )
        ranks = self.trainer.world_size
        if batch_size % ranks:
            raise UserError(f"batch_size={batch_size} does not divide among {ranks} devices.")
        micro_batch = choose_micro_batch(cfg, cell, batch_size // ranks, resumed)
        self.module = Learner(
            net, objective, cfg.optim, max_steps=steps, seed=cfg.seed, micro_batch=micro_batch
        )
        way = {"devices": ranks, "micro_batch": micro_batch}
        in_parts = micro_batch is not None and micro_batch < batch_size // ranks
        if in_parts and any(isinstance(part, BatchNorm) for part in net.modules()):
            raise UserError(
                "model.norm=batch takes its statistics over the whole batch: leave "
                "trainer.micro_batch out."
            )
        if cfg.trainer.compile:
            net.compile()
            way["compile"] = True
        for environment in (self.environment, about["environment"]):
            environment |= way
        if resumed:
            changed = runtime.changed(about["environment"], resumed)
            self.checkpoints.resume = (resumed["global_step"], changed)
        stop.check()
        runtime.announce(configuration, cell, self.environment, self.parameters, resumed)

    def fit(self) -> None:
        """Trains to the last step, from the last checkpoint where there is one."""
        self.trainer.fit(self.module, self.data, ckpt_path=self.resume_from, weights_only=True)

    def test_selected(self) -> None:
        """Scores test once, with the selected weights; not in a trial of a search."""
        self.module.load_state_dict(self.checkpoints.selected["weights"])
        if self.checkpoints.selected["val"] is None:  # the last step was not one that is validated
            self.trainer.validate(self.module, self.data, verbose=False)
        if self.cfg.score_test:
            self.trainer.test(self.module, self.data, verbose=False)
        if self.writes:
            self.checkpoints.write_selected(self.cell.selected)
            if self.module.objective.inherits:
                save(self.module.net, self.folder, self.cell.pretrained)

    def progress(self) -> dict:
        """Returns the facts that the row of an unfinished attempt has, too."""
        return {
            "environment": self.environment,
            "parameters": self.parameters,
            "optimiser": self.module.own_settings(),
            "transformer_parameters": self.transformer_parameters,
            "train_seconds": self.stopwatch.train_seconds,
            "last_step": self.trainer.global_step,
            "final_loss": self.watch.final_loss,
            "untaught_loss": self.watch.untaught,
            "warnings": self.about_the_data,
            "resumes": self.checkpoints.resumes,
        }

    def results(self) -> dict:
        """Returns the facts of a finished attempt."""
        self.memory.stop()
        selected = self.checkpoints.selected
        return {
            "val": selected["val"] or self.module.scores["val"],
            "test": self.module.scores.get("test"),
            "test_outputs_sha256": self.module.outputs_sha256,
            "selected_step": selected["step"],
            "speed": self.stopwatch.speed(self.cfg.batch_size),
            "memory": self.memory.memory(),
            "energy_kwh": self.energy and self.energy.stop(),
        }

    def record(self, row) -> None:
        """Hands the row to the tracker."""
        if self.tracker:
            self.tracker.record(row, self.cell.path(row))

    def beside_the_row(self) -> dict:
        """Returns the predictions, targets and curve, which are stored beside the row."""
        return {
            "predictions": self.module.predictions,
            "details": self.module.details,
            "targets": self.data.test_targets if self.module.objective.labelled else None,
            "curve": self.watch.curve,
        }
