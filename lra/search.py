"""Hyperparameter search by val accuracy: python -m lra.search <overrides> [trials=20]

python -m lra.search task=listops model=fourier protocol=lite trials=20 \\
    'optim.lr=tag(log,interval(1e-4,1e-2))' 'model.block.keep_ratio=interval(0.1,0.5)' \\
    'optim.weight_decay=choice(0,0.01,0.1)'

What is swept over is searched, in Hydra's own syntax, by Optuna's TPE; the rest is fixed. A trial
is a run of its own that never touches the test split. The study lies in <results.path>/search/: the
same command goes on with it, after a kill as well, until `trials` are complete. At the end the
command is printed that trains the best setting once more and tests it; its row says how many trials
chose it.
"""

import hashlib
import shlex
import sys
from pathlib import Path

import numpy as np
import optuna
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from omegaconf import DictConfig
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
from lra import arguments, config
from lra.claim import Claim
from lra.environment import ROOT, cores
from lra.errors import UserError, exit_code
from lra.files import make_folder, replacing
from lra.sweep import look, run_process


def distribution(override: Override) -> BaseDistribution:
    """What Optuna draws from for `key=interval(..)`, `choice(..)` or `range(..)`, tag(log,..)."""
    sweep, key = override.value(), override.get_key_element()
    if isinstance(sweep, IntervalSweep):
        whole = isinstance(sweep.start, int) and isinstance(sweep.end, int)
        make = IntDistribution if whole else FloatDistribution
        return make(sweep.start, sweep.end, log="log" in sweep.tags)
    if isinstance(sweep, ChoiceSweep):
        return CategoricalDistribution([_plain(value) for value in sweep.list])
    if isinstance(sweep, RangeSweep):
        return IntDistribution(sweep.start, sweep.stop - 1, step=sweep.step)
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
        self.cfg = config.compose(self.fixed)
        text = "\n".join(sorted(overrides))
        name = f"{self.cfg.task.name}-{config.label(self.cfg.model)}-{self.cfg.protocol}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        self.folder = Path(self.cfg.results.path) / "search" / f"{name}-{digest}"

    def run(self) -> optuna.Study:
        data_prep.prepare(self.cfg.task, self.cfg.data)  # once, not under a trial's clock
        make_folder(self.folder)
        settings = self.cfg.results
        with Claim(self.folder, renew=settings.renew, expire=settings.expire, wait=self.cfg.wait):
            storage = JournalStorage(JournalFileBackend(str(self.folder / "journal.log")))
            study = optuna.create_study(
                study_name="study", storage=storage, direction="maximize", load_if_exists=True
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
        cfg = self._trial_cfg(overrides)
        if look(cfg).status != "done":
            run_process([sys.executable, str(ROOT / "run.py"), *overrides], cores())
        state = look(cfg)
        if state.status == "done":
            study.tell(trial, state.row.val.accuracy)
        elif state.status in ("diverged", "oom"):  # a result as well: this setting does not work
            study.tell(trial, 0.0)
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

    def _trial_cfg(self, overrides: list[str]) -> DictConfig:
        cfg = config.compose(overrides)
        config.check(cfg)
        return cfg

    def report(self, study: optuna.Study) -> None:
        frame = study.trials_dataframe(attrs=("number", "value", "params", "state"))
        with replacing(self.folder / "trials.csv") as temporary:
            frame.to_csv(temporary, index=False)
        best = study.best_trial
        print(f"{len(frame)} trials in {self.folder / 'trials.csv'}")
        print(f"best val accuracy {100 * best.value:.2f} % with {best.params}")
        words = [*self.setting(best.params), f"source.trials={self._complete(study)}"]
        print(f"to train and test it: python run.py {shlex.join(words)}")


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given, overrides = arguments.split(sys.argv[1:], {"trials": "20"})
    trials = arguments.number(given, "trials")
    with initialize_config_dir(config_dir=str(config.CONF), version_base="1.3"):
        search = Search(overrides, trials)
        search.report(search.run())


if __name__ == "__main__":
    sys.exit(exit_code(main))
