import subprocess
import sys
from itertools import islice

import numpy as np
import pytest
import torch

from data_prep.pack import Split, pack, split_of_rows
from lra.errors import UserError
from lra.training.data import EvalBatches, Packed, TrainBatches
from tests.conftest import ROOT


def batches(start=0, n=12, seed=0, size=10, batch_size=4, rank=0, world_size=1, lengths=None):
    sampler = TrainBatches(size, batch_size, seed, lambda: start, rank, world_size, lengths)
    return list(islice(sampler, n))


def test_a_batch_is_a_function_of_seed_and_step():
    whole = batches()
    assert batches(start=7, n=5) == whole[7:]
    assert batches(seed=1) != whole


def test_every_epoch_shows_every_example_once_in_another_order():
    seen = np.concatenate(batches(n=5 * 10 // 4 + 1))
    epochs = [seen[start : start + 10].tolist() for start in range(0, 50, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5


def test_ranks_share_each_batch():
    whole = batches()
    ranks = [batches(rank=r, world_size=2) for r in range(2)]
    for batch, *shares in zip(whole, *ranks, strict=True):
        assert sorted(np.concatenate(shares)) == sorted(batch)


@pytest.mark.parametrize(
    "size, batch_size, world_size", [(10, 4, 1), (10, 4, 3), (2, 8, 2), (5, 8, 4), (200, 128, 2)]
)
def test_evaluation_counts_every_example_once(size, batch_size, world_size):
    ranks = [EvalBatches(size, batch_size, r, world_size) for r in range(world_size)]
    seen = [i for rank in ranks for batch in rank for i in batch]
    assert sorted(seen) == list(range(size))
    assert all(len(rank) for rank in ranks)  # Lightning ends a run in which one has nothing


def test_a_split_smaller_than_the_world_is_refused():
    with pytest.raises(UserError, match="split of 1 examples.*2 devices"):
        EvalBatches(1, 8, 0, 2)


def test_gathers_documents_padded_and_cut_with_their_lengths():
    ids = np.arange(1, 11, dtype=np.uint8)
    split = Split(ids, np.array([0, 2, 2, 7, 10]), np.uint8([1, 0]))  # two documents an example
    batch, lengths, labels, index = Packed(split, 2, seq_len=4).__getitems__([1, 0])
    assert batch.tolist() == [[[3, 4, 5, 6], [8, 9, 10, 0]], [[1, 2, 0, 0], [0, 0, 0, 0]]]
    assert lengths.tolist() == [[4, 3], [2, 0]]
    assert labels.tolist() == [0, 1]
    assert index.tolist() == [1, 0]
    assert batch.dtype == torch.uint8  # widened on the device, not here


def test_a_limit_takes_the_first_examples():
    split = Split(np.zeros(3, np.uint8), np.arange(4), np.uint8([0, 1, 2]))
    assert len(Packed(split, 1, 4, limit=2)) == 2
    assert len(Packed(split, 1, 4, limit=9)) == 3


LENGTHS = np.random.default_rng(0).integers(1, 1000, size=600)


def test_batches_by_length_hold_examples_of_like_length():
    sizes = {"size": 600, "batch_size": 4, "n": 150}
    bucketed = batches(**sizes, lengths=LENGTHS)
    assert sorted(np.concatenate(bucketed)) == list(range(600))  # an epoch is still an epoch
    spread = [np.ptp(LENGTHS[batch]) for batch in bucketed]
    assert np.mean(spread) < 0.1 * np.mean([np.ptp(LENGTHS[batch]) for batch in batches(**sizes)])
    firsts = [LENGTHS[batch[0]] for batch in bucketed[:50]]
    assert firsts != sorted(firsts)  # not from short to long


def test_batches_by_length_are_a_function_of_seed_and_step():
    sizes = {"size": 600, "batch_size": 4, "lengths": LENGTHS}
    whole = batches(n=150, **sizes)
    assert batches(start=73, n=20, **sizes) == whole[73:93]
    assert batches(n=150, seed=1, **sizes) != whole
    ranks = [batches(n=150, rank=r, world_size=2, **sizes) for r in range(2)]
    assert all(sorted(a + b) == sorted(batch) for batch, a, b in zip(whole, *ranks, strict=True))


def test_evaluation_by_length_counts_every_example_once():
    ranks = [EvalBatches(600, 32, r, 2, LENGTHS).batches for r in range(2)]
    assert sorted(i for rank in ranks for batch in rank for i in batch) == list(range(600))


def test_pads_to_the_longest_of_the_batch_when_asked():
    lengths = [3, 130, 700, 5000]
    offsets = np.cumsum([0, *lengths])
    split = Split(np.ones(offsets[-1], np.uint8), offsets, np.zeros(4, np.uint8))
    data = Packed(split, 1, seq_len=1000, to_longest=True)
    assert data.lengths().tolist() == [3, 130, 700, 1000]
    shapes = [data.__getitems__(index)[0].shape[2] for index in ([0], [0, 1], [2], [0, 3])]
    assert shapes == [128, 256, 768, 1000]
    assert Packed(split, 1, seq_len=1000).__getitems__([0])[0].shape[2] == 1000


RESIDENT = """
import sys
import numpy as np
import psutil
from data_prep.pack import Manifest, load, pack, split_of_rows
from lra.training.data import PackedData
from pathlib import Path

def anonymous():
    with open("/proc/self/status") as status:
        return int(next(l for l in status if l.startswith("RssAnon")).split()[1]) * 1024

path, manifest = Path(sys.argv[1]), Manifest.model_validate_json(sys.stdin.read())
before = anonymous()
data = PackedData(path, manifest, seq_len=16384, batch_size=32, seed=0, limit=None)
batches = data.splits["train"]
for step in range(60):
    ids, *_ = batches.__getitems__(list(range(step * 32, step * 32 + 32)))
print(anonymous() - before)
"""


def test_the_loader_keeps_little_in_memory(tmp_path):
    """Reads 300 MB of Path-X-like data: mapped pages do not count, and no copy stays in memory."""
    pixels = np.broadcast_to(np.arange(16384, dtype=np.uint8), (18_000, 16384))
    labels = np.arange(18_000) % 2
    parts = {"train": (0, 17_000), "val": (17_000, 17_500), "test": (17_500, 18_000)}
    splits = {k: split_of_rows(pixels, labels, np.arange(*ends)) for k, ends in parts.items()}
    facts = {"task": "t", "variant": "v", "source": "s", "generator": None, "baselines": {}}
    manifest = pack(tmp_path, splits, vocabulary=["0"], documents=1, **facts)
    result = subprocess.run(
        [sys.executable, "-c", RESIDENT, str(tmp_path)],
        input=manifest.model_dump_json(),
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 200e6
