"""Packed splits as batches: (ids B P N, lengths B P, labels B, index B)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from data_prep.pack import Manifest, Split, load


class Packed(Dataset):
    """One split. A batch is gathered from the mapped files at once, padded with id 0 to seq_len;
    what counts as padding is known from the lengths alone."""

    def __init__(self, split: Split, documents: int, seq_len: int, limit: int | None = None):
        self.split, self.documents, self.seq_len = split, documents, seq_len
        self.size = min(len(split.labels), limit or len(split.labels))

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        ids, offsets, labels = self.split
        batch = np.zeros((len(indices), self.documents, self.seq_len), ids.dtype)
        lengths = np.empty((len(indices), self.documents), np.int64)
        for row, index in enumerate(indices):
            for p in range(self.documents):
                start, end = offsets[index * self.documents + p : index * self.documents + p + 2]
                n = lengths[row, p] = min(end - start, self.seq_len)
                batch[row, p, :n] = ids[start : start + n]
        return (
            torch.from_numpy(batch),
            torch.from_numpy(lengths),
            torch.from_numpy(labels[indices].astype(np.int64)),
            torch.tensor(indices),
        )


class TrainBatches(Sampler):
    """Batch i is a pure function of (seed, i): positions i*B .. (i+1)*B of the endless
    concatenation of one permutation per epoch. Endless, and without state to store: a resumed run
    starts at its step."""

    def __init__(self, size: int, batch_size: int, seed: int, start, rank: int, world_size: int):
        self.size, self.batch_size, self.seed, self.start = size, batch_size, seed, start
        self.rank, self.world_size = rank, world_size
        self._epoch, self._order = -1, None

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
            self._epoch = epoch
        return self._order

    def batch(self, i: int) -> list[int]:
        positions = range(i * self.batch_size, (i + 1) * self.batch_size)
        indices = [int(self._permutation(p // self.size)[p % self.size]) for p in positions]
        return indices[self.rank :: self.world_size]

    def __iter__(self) -> Iterator[list[int]]:
        i = self.start()
        while True:
            yield self.batch(i)
            i += 1


class EvalBatches(Sampler):
    """Every example once, in order; ranks share the batches, none is padded or dropped."""

    def __init__(self, size: int, batch_size: int, rank: int, world_size: int):
        starts = range(0, size, batch_size)[rank::world_size]
        self.batches = [list(range(s, min(s + batch_size, size))) for s in starts]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)


def unchanged(batch):
    return batch


class PackedData(pl.LightningDataModule):
    """Loaders over a packed task, its files checked against the manifest's sums first."""

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        *,
        seq_len: int,
        batch_size: int,
        seed: int,
        limit: int | None,
    ):
        super().__init__()
        self.batch_size, self.seed = batch_size, seed
        self.splits = {
            name: Packed(
                load(path, manifest, name),
                manifest.documents,
                seq_len,
                limit if name != "train" else None,
            )
            for name in manifest.counts
        }

    def _loader(self, split: str, batches: Sampler) -> DataLoader:
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return DataLoader(
            self.splits[split], batch_sampler=batches, collate_fn=unchanged, pin_memory=on_gpu
        )

    def train_dataloader(self) -> DataLoader:
        trainer = self.trainer
        batches = TrainBatches(
            len(self.splits["train"]),
            self.batch_size,
            self.seed,
            lambda: trainer.global_step,
            trainer.global_rank,
            trainer.world_size,
        )
        return self._loader("train", batches)

    def _eval_loader(self, split: str) -> DataLoader:
        trainer = self.trainer
        size = len(self.splits[split])
        batch_size = -(-self.batch_size // trainer.world_size)
        return self._loader(
            split, EvalBatches(size, batch_size, trainer.global_rank, trainer.world_size)
        )

    def val_dataloader(self) -> DataLoader:
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._eval_loader("test")
