from itertools import islice

import numpy as np
import pytest
import torch

from data_prep.pack import Split
from lra.data import EvalBatches, Packed, TrainBatches


def batches(start=0, n=12, seed=0, size=10, batch_size=4, rank=0, world_size=1):
    sampler = TrainBatches(size, batch_size, seed, lambda: start, rank, world_size)
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


@pytest.mark.parametrize("size, batch_size, world_size", [(10, 4, 1), (10, 4, 3), (1, 8, 2)])
def test_evaluation_counts_every_example_once(size, batch_size, world_size):
    ranks = [EvalBatches(size, batch_size, r, world_size) for r in range(world_size)]
    seen = [i for rank in ranks for batch in rank for i in batch]
    assert sorted(seen) == list(range(size))


def test_gathers_documents_padded_and_cut_with_their_lengths():
    ids = np.arange(1, 11, dtype=np.uint8)
    split = Split(ids, np.array([0, 2, 2, 7, 10]), np.uint8([1, 0]))  # two documents an example
    batch, lengths, labels, index = Packed(split, 2, seq_len=4).__getitems__([1, 0])
    assert batch.tolist() == [[[3, 4, 5, 6], [8, 9, 10, 0]], [[1, 2, 0, 0], [0, 0, 0, 0]]]
    assert lengths.tolist() == [[4, 3], [2, 0]]
    assert labels.tolist() == [0, 1] and index.tolist() == [1, 0]
    assert batch.dtype == torch.uint8  # widened on the device, not here


def test_a_limit_takes_the_first_examples():
    split = Split(np.zeros(3, np.uint8), np.arange(4), np.uint8([0, 1, 2]))
    assert len(Packed(split, 1, 4, limit=2)) == 2 and len(Packed(split, 1, 4, limit=9)) == 3
