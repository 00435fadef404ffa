"""python run.py evaluate=CHECKPOINT: scores the test split again; no training, no new row."""

import json
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lra import config, rows
from lra.cell import cell
from lra.errors import UserError


def evaluate(cfg: DictConfig) -> float:
    """The accuracy on test. Raises UserError where the checkpoint is of other data, of another
    model or task than asked for, or does not reproduce the predictions stored with its row."""
    import pytorch_lightning as pl
    from hydra.utils import instantiate

    import data_prep
    from lra import checkpoint, setup
    from lra.data import PackedData
    from lra.interrupt import StopSignal
    from lra.module import Classification

    setup.quiet()
    setup.keep_freed_memory()
    stored = checkpoint.load(Path(cfg.evaluate))
    about = stored["lra"]
    theirs = OmegaConf.create(json.loads(about["config"]))
    must_agree(theirs, cfg)
    theirs.data, theirs.results = cfg.data, cfg.results

    manifest = data_prep.prepare(theirs.task, theirs.data)
    if manifest.fingerprint != about["fingerprint"]:
        raise UserError(
            f"{cfg.evaluate} was trained on other data ({about['fingerprint'][:8]}) than "
            f"{data_prep.folder(theirs.task, theirs.data)} holds ({manifest.fingerprint[:8]}): "
            "name the right folder with data.root=..."
        )
    setup.threads(cfg.trainer.threads, stored)
    data = PackedData(
        data_prep.folder(theirs.task, theirs.data),
        manifest,
        seq_len=theirs.model.seq_len,
        batch_size=theirs.batch_size,
        seed=theirs.seed,
        limit=theirs.trainer.max_eval_examples,
        bucket_by_length=theirs.get("bucket_by_length", False),
    )
    module = Classification(
        instantiate(theirs.model.net),
        theirs.optim,
        max_steps=theirs.trainer.max_steps,
        seed=theirs.seed,
    )
    module.load_state_dict(stored["state_dict"])
    with StopSignal() as stop:
        trainer = pl.Trainer(
            accelerator=cfg.trainer.accelerator,
            devices=1,  # every example once, whatever trained it
            precision=theirs.trainer.precision,
            logger=False,
            enable_progress_bar=False,
            callbacks=[checkpoint.StopBetweenBatches(stop)],
            **setup.LIGHTNING,
        )
        trainer.test(module, data, verbose=False)

    score = module.scores["test"]
    print(
        f"{theirs.task.name}/{theirs.task.variant} · {config.label(theirs.model)} · "
        f"{theirs.protocol} · seed {theirs.seed}: test accuracy {100 * score.accuracy:.2f} % "
        f"({100 * score.low:.2f}-{100 * score.high:.2f}), {score.correct} of {score.n}"
    )
    compare(cell(theirs, manifest), module)
    return score.accuracy


def must_agree(theirs: DictConfig, cfg: DictConfig) -> None:
    """What is typed beside evaluate=... may say where, not what."""
    ours = config.identity(cfg)
    asked = {o.split("=", 1)[0].lstrip("+~") for o in config.typed_overrides()}
    groups = {"task": "task.name", "model": "model.name", "filter": "model.filter"}
    flat_ours, flat_theirs = config.flatten(ours), config.flatten(config.plain(theirs))
    for key in sorted(asked):
        key = groups.get(key, key)
        if key in flat_ours and flat_ours[key] != flat_theirs.get(key):
            raise UserError(
                f"{cfg.evaluate} has {key}={flat_theirs.get(key)}, but {key}={flat_ours[key]} was "
                "asked for: leave it out, or name another checkpoint."
            )


def compare(this, module) -> None:
    done = [
        (row, path)
        for row, path in rows.read_cell(this.rows, this.id)
        if row.status == "done" and row.test_logits_sha256 == module.logits_sha256
    ]
    if done:
        _, path = done[-1]
        same = np.array_equal(rows.read_array(path.with_suffix(".npy")), module.predictions)
        print(f"Equal to {path}: logits bit for bit, predictions {'too' if same else 'DIFFER'}.")
        return
    newest = rows.newest_done(this.rows, this.id)
    if newest is None:
        print("No finished row of this cell is stored here to compare with.")
        return
    row, path = newest
    stored = rows.read_array(path.with_suffix(".npy"))
    different = int((stored != module.predictions).sum())
    if different == 0:
        print(f"Equal to {path}: every prediction; the logits differ in their last bits.")
        return
    raise UserError(
        f"{different} of {len(stored)} predictions differ from those stored with {path}: another "
        "device, thread count or version than there, or a checkpoint of another attempt."
    )
