"""Hyperparameter search: Optuna draws a setting, run.py trains it, the val metric judges it."""

import hashlib
import shlex
import sys
from pathlib import Path

import numpy as np
import optuna
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.utils import instantiate
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

import data_prep
from lra import config
from lra.config import Configuration
from lra.errors import UserError
from lra.files import make_folder, replacing
from lra.machine import ROOT, cores
from lra.objective import Objective
from lra.store.claim import Claim
from lra.sweep.status import look
from lra.sweep.supervisor import run_process


def distribution(override: Override) -> BaseDistribution:
    """Returns the range that Optuna draws from, for key=interval(..), choice(..) or range(..);
    tag(log,..) makes it logarithmic."""
    sweep, key = override.value(), override.get_key_element()
    if isinstance(sweep, IntervalSweep):
        low, high, log = sweep.start, sweep.end, "log" in sweep.tags
        if isinstance(low, int) and isinstance(high, int):
            return IntDistribution(low, high, log=log)
        return FloatDistribution(low, high, log=log)
    if isinstance(sweep, ChoiceSweep):
        return CategoricalDistribution([_plain(value) for value in sweep.list])
    if isinstance(sweep, RangeSweep):
        return IntDistribution(int(sweep.start), int(sweep.stop) - 1, step=int(sweep.step))
    raise UserError(f"{key}: search over interval(a,b), choice(a,b,c) or range(a,b).")


def _plain(value):
    return value if isinstance(value, (int, float, bool)) else str(value)


class Search:
    """A study and the runs of its trials."""

    def __init__(self, overrides: list[str], trials: int):
        parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides(overrides)
        self.fixed = [o.input_line for o in parsed if not o.is_sweep_override()]
        self.space = {o.get_key_element(): distribution(o) for o in parsed if o.is_sweep_override()}
        if not self.space:
            raise UserError("Nothing is searched: give a key a range, e.g. optim.lr=interval(a,b).")
        self.trials = trials
        configuration = Configuration(config.compose(self.fixed), self.fixed)
        self.cfg = configuration.cfg
        self.objective: Objective = instantiate(self.cfg.objective)
        text = "\n".join(sorted(overrides))
        name = f"{self.cfg.task.name}-{configuration.label}-{self.cfg.protocol}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        self.folder = Path(self.cfg.results.path) / "search" / f"{name}-{digest}"

    def run(self) -> optuna.Study:
        data_prep.prepare(self.cfg.task, self.cfg.data)  # once, not under a trial's clock
        make_folder(self.folder)
        settings = self.cfg.results
        with Claim(self.folder, renew=settings.renew, expire=settings.expire, wait=self.cfg.wait):
            storage = JournalStorage(JournalFileBackend(str(self.folder / "journal.log")))
            better = self.objective.selection.better
            study = optuna.create_study(
                study_name="study",
                storage=storage,
                direction="maximize" if better == "higher" else "minimize",
                load_if_exists=True,
            )
            for trial in study.get_trials(states=[TrialState.RUNNING]):  # of a killed search
                study.tell(trial.number, state=TrialState.FAIL)
                study.enqueue_trial(trial.params)  # whose run goes on from its checkpoint
            while self._complete(study) < self.trials:
                self._trial(study)
        return study

    def _complete(self, study: optuna.Study) -> int:
        return len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]))

    def _trial(self, study: optuna.Study) -> None:
        # seeded by the history, so that a search that was stopped draws what it would have drawn
        seed = np.random.SeedSequence([self.cfg.seed, self._complete(study)]).generate_state(1)[0]
        study.sampler = optuna.samplers.TPESampler(seed=int(seed))
        trial = study.ask(self.space)
        overrides = self.overrides(trial.params)
        print(f"trial {self._complete(study) + 1} of {self.trials}: {trial.params}", flush=True)
        configuration = Configuration.of(overrides)
        if look(configuration).status != "done":
            run_process([sys.executable, str(ROOT / "run.py"), *overrides], cores())
        state = look(configuration)
        if state.status == "done":
            study.tell(trial, state.row.val_score.value)
        elif state.status in ("diverged", "oom"):  # a result as well: this setting does not work
            study.tell(trial, self.objective.selection.worst)
        else:
            raise UserError(
                f"A trial ended as {state.status} ({shlex.join(overrides)}): "
                f"{state.error or 'see above'} The same command tries it again."
            )

    def overrides(self, params: dict) -> list[str]:
        return [
            *self.setting(params),
            "score_test=false",
            f"results.path={self.folder}",
        ]

    def setting(self, params: dict) -> list[str]:
        return [*self.fixed, *(f"{key}={value}" for key, value in params.items())]

    def report(self, study: optuna.Study) -> None:
        frame = study.trials_dataframe(attrs=("number", "value", "params", "state"))
        with replacing(self.folder / "trials.csv") as temporary:
            frame.to_csv(temporary, index=False)
        best = study.best_trial
        print(f"{len(frame)} trials in {self.folder / 'trials.csv'}")
        metric = self.objective.selection
        unit = " %" if metric.share else ""
        print(f"best val {metric.name} {metric.text(best.value)}{unit} with {best.params}")
        words = [*self.setting(best.params), f"source.trials={self._complete(study)}"]
        print(f"to train and test it: python run.py {shlex.join(words)}")
