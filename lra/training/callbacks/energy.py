"""energy=true: the electricity that a run takes, as estimated by codecarbon without a network.

If the processor's own counters cannot be read, the estimate is a guess from the processor's name,
its load and its memory: good for comparing runs on one machine, not for more.
"""

import pytorch_lightning as pl

from lra.errors import UserError


class Energy(pl.Callback):
    """Measures the kWh of this process, over all resumes."""

    def __init__(self):
        try:
            from codecarbon import OfflineEmissionsTracker
        except ImportError:
            raise UserError("energy=true needs codecarbon: pip install -e '.[energy]'.") from None
        self._before = 0.0
        self._tracker = OfflineEmissionsTracker(
            country_iso_code="USA",  # decides the CO2 alone, which is not recorded
            tracking_mode="process",
            save_to_file=False,
            allow_multiple_runs=True,
            log_level="error",
        )
        self._tracker.start()

    def kwh(self) -> float:
        self._tracker.flush()
        return self._before + self._tracker._total_energy.kWh

    def stop(self) -> float:
        total = self.kwh()
        self._tracker.stop()
        return total

    def state_dict(self) -> dict:
        return {"kwh": self.kwh()}

    def load_state_dict(self, state: dict) -> None:
        self._before = state["kwh"]
