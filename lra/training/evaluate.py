"""python run.py evaluate=CHECKPOINT: scores the test split again; no training, no new row."""

from pathlib import Path

import numpy as np
from omegaconf import DictConfig

import data_prep
from data_prep.pack import load_texts
from lra import config
from lra.config import Configuration
from lra.config.identity import is_environment
from lra.errors import UserError
from lra.store import runs


def evaluate(configuration: Configuration) -> float:
    """Scores the checkpoint cfg.evaluate and returns the headline metric.

    Raises UserError where the checkpoint is of other data, of another model or task than asked for,
    or does not reproduce the predictions stored with its row.
    """
    from hydra.utils import instantiate

    from lra.training import checkpoint, runtime
    from lra.training.callbacks.progress import RunProgress
    from lra.training.data import PackedData
    from lra.training.interrupt import StopSignal
    from lra.training.module import Learner
    from lra.training.network import must_have_device

    cfg = configuration.cfg
    runtime.quiet()
    runtime.keep_freed_memory()
    must_have_device(cfg)
    stored = checkpoint.load(Path(cfg.evaluate))
    about = stored["lra"]
    theirs = checkpoint.settings(stored)
    must_agree(theirs, configuration)
    theirs.data, theirs.results = cfg.data, cfg.results

    manifest = data_prep.prepare(theirs.task, theirs.data)
    if manifest.fingerprint != about["fingerprint"]:
        raise UserError(
            f"{cfg.evaluate} was trained on other data ({about['fingerprint'][:8]}) than "
            f"{data_prep.folder(theirs.task, theirs.data)} holds ({manifest.fingerprint[:8]}): "
            "name the right folder with data.root=..."
        )
    runtime.threads(cfg.trainer.threads, stored)
    data = PackedData(
        data_prep.folder(theirs.task, theirs.data),
        manifest,
        seq_len=theirs.model.seq_len,
        batch_size=theirs.batch_size,
        seed=theirs.seed,
        limit=theirs.max_eval_examples,
        bucket_by_length=theirs.bucket_by_length,
    )
    objective = instantiate(theirs.objective)
    objective.attach(load_texts(data_prep.folder(theirs.task, theirs.data), manifest))
    module = Learner(
        instantiate(theirs.model.net),
        objective,
        theirs.optim,
        max_steps=theirs.max_steps,
        seed=theirs.seed,
    )
    module.load_state_dict(stored["state_dict"])
    if cfg.trainer.compile:
        module.net.compile()
    with StopSignal() as stop:
        trainer = runtime.trainer(
            accelerator=cfg.trainer.accelerator,
            devices=1,  # every example once, whatever trained it
            precision=theirs.precision,
            deterministic="warn" if cfg.trainer.deterministic else None,
            logger=False,
            callbacks=[checkpoint.StopBetweenBatches(stop), RunProgress(theirs.batch_size)],
        )
        trainer.test(module, data, verbose=False)

    metric, score = objective.headline, module.scores["test"][objective.headline.name]
    name = config.label(theirs.model.name, theirs.model.filter)
    print(
        f"{theirs.task.name}/{theirs.task.variant} · {name} · {theirs.protocol} · "
        f"seed {theirs.seed}: test {metric.sentence(score)}"
    )
    compare(Path(cfg.results.path) / "runs" / theirs.task.name / name, about["cell"], module)
    return score.value


def must_agree(theirs: DictConfig, configuration: Configuration) -> None:
    """Raises UserError where a setting typed beside evaluate=... is not the checkpoint's: such
    settings may say where it is scored, not what."""
    cfg = configuration.cfg
    asked = {o.split("=", 1)[0].lstrip("+~") for o in configuration.overrides}
    groups = {"task": "task.name", "model": "model.name", "filter": "model.filter"}
    groups |= {"objective": "objective.name"}
    flat_ours, flat_theirs = (config.flatten(config.resolved(c)) for c in (cfg, theirs))
    for key in sorted(asked):
        key = groups.get(key, key)
        same = flat_ours.get(key) == flat_theirs.get(key)
        if key in flat_ours and not is_environment(key) and not same:
            raise UserError(
                f"{cfg.evaluate} has {key}={flat_theirs.get(key)}, but {key}={flat_ours[key]} was "
                "asked for: leave it out, or name another checkpoint."
            )


def compare(folder: Path, cell: str, module) -> None:
    """Compares with the cell's rows in `folder`. Raises UserError where predictions differ."""
    done = [
        (row, path)
        for row, path in runs.read_cell(folder, cell)
        if row.status == "done" and row.test_outputs_sha256 == module.outputs_sha256
    ]
    if done:
        _, path = done[-1]
        same = np.array_equal(runs.read_values(path), module.predictions)
        print(f"Equal to {path}: outputs bit for bit, predictions {'too' if same else 'DIFFER'}.")
        return
    newest = runs.newest_done(folder, cell)
    if newest is None:
        print("No finished row of this cell is stored here to compare with.")
        return
    row, path = newest
    stored = runs.read_values(path)
    if stored is None:
        print(f"The predictions of {path} are not stored here to compare with.")
        return
    pairs = zip(stored, module.predictions, strict=True)
    different = sum(not np.array_equal(theirs, ours) for theirs, ours in pairs)
    if different == 0:
        print(f"Equal to {path}: every prediction; the outputs differ in their last bits.")
        return
    raise UserError(
        f"{different} of {len(stored)} predictions differ from those stored with {path}: another "
        "device, thread count or version than there, or a checkpoint of another attempt."
    )
