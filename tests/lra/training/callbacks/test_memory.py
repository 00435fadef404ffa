import time

import numpy as np

from lra.training import runtime
from lra.training.callbacks.memory import PeakMemory, anonymous_resident


def test_peak_memory_is_what_was_added_and_given_back():
    runtime.keep_freed_memory()  # as another test in this process may have left it
    kept = np.ones(60_000_000)
    del kept
    runtime.return_freed_memory()
    memory = PeakMemory("cpu")
    block = np.ones(30_000_000)  # 240 MB
    time.sleep(0.3)  # many samples
    del block
    memory.stop()
    measured = memory.memory()
    assert 200e6 < measured.peak_bytes < 300e6
    assert measured.kind in ("RssAnon", "rss")
    resumed = PeakMemory("cpu")
    resumed.load_state_dict(memory.state_dict())
    resumed.stop()
    assert resumed.memory() == measured


def test_mapped_pages_are_not_memory_use(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(10_000_000))
    before, kind = anonymous_resident()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert mapped.sum() == 10_000_000
    if kind == "RssAnon":
        assert anonymous_resident()[0] - before < 20e6
