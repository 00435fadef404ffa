"""Packed splits as batches (lra/objective/base.py: Batch)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from data_prep.pack import Manifest, Picked, Split, load
from lra.errors import UserError
from lra.objective import Batch, Objective

POOL = 50  # batches that are sorted by length together
MULTIPLE = 128  # divides padded lengths, so that few different ones occur; not those of texts


class Packed(Dataset):
    """One split. A batch is gathered from the mapped files at once and padded with id 0 to seq_len,
    or with `to_longest` to the longest document of the batch, rounded up to a multiple.

    The lengths alone tell which positions are padding.
    """

    def __init__(
        self,
        split: Split,
        documents: int,
        seq_len: int,
        limit: int | None = None,
        to_longest: bool = False,
        multiple: int = MULTIPLE,
    ):
        self.multiple = multiple
        self.split, self.documents, self.seq_len = split, documents, seq_len
        self.size = min(len(split.labels), limit or len(split.labels))
        self.to_longest = to_longest

    def lengths(self) -> np.ndarray:
        """Returns (examples,): the length of the longer document, cut to seq_len."""
        longest = np.diff(self.split.offsets).reshape(-1, self.documents).max(1)
        return longest[: self.size].clip(max=self.seq_len)

    def __len__(self) -> int:
        return self.size

    def __getitems__(self, indices: list[int]) -> Batch:
        ids, offsets, labels = self.split
        if isinstance(ids, Picked):
            raise TypeError("rows picked from an array must be packed before they train")
        first = np.array(indices)[:, None] * self.documents + np.arange(self.documents)
        starts = offsets[first]
        lengths = np.minimum(offsets[first + 1] - starts, self.seq_len)
        N = self.seq_len
        if self.to_longest:
            N = min(N, -(-max(1, int(lengths.max())) // self.multiple) * self.multiple)
        batch = np.zeros((len(indices), self.documents, N), ids.dtype)
        for b, p in np.ndindex(lengths.shape):
            start, n = starts[b, p], lengths[b, p]
            batch[b, p, :n] = ids[start : start + n]
        return Batch(
            ids=torch.from_numpy(batch),
            lengths=torch.from_numpy(lengths),
            targets=torch.from_numpy(labels[indices].astype(np.int64)),
            indices=torch.tensor(indices),
        )


def full_length(cfg, objective: Objective, examples: int) -> Packed:
    """Returns random symbols without padding, gathered as a task's examples are. Every position is
    real, because the cost of a model by length must not depend on how short the documents are."""
    N, documents = cfg.model.seq_len, cfg.task.documents
    rng = np.random.default_rng(0)
    dtype = np.uint16 if cfg.task.vocab_size <= 2**16 else np.uint32
    ids = rng.integers(1, cfg.task.vocab_size, examples * documents * N).astype(dtype)
    labels = objective.dummy_targets(examples, rng)
    return Packed(Split(ids, np.arange(examples * documents + 1) * N, labels), documents, N)


class TrainBatches(Sampler):
    """The training batches. Batch i is a pure function of (seed, i): positions i*B .. (i+1)*B of
    the endless concatenation of one permutation per epoch. The ranks share each batch.

    The sampler is endless and has no state to store: a resumed run starts at its step. With
    `lengths`, each POOL of batches is sorted by length, so that a batch has examples of like
    length, and the seed decides the order of the batches.
    """

    def __init__(
        self,
        size: int,
        batch_size: int,
        seed: int,
        start,
        rank: int,
        world_size: int,
        lengths: np.ndarray | None = None,
    ):
        self.size, self.batch_size, self.seed, self.start = size, batch_size, seed, start
        self.rank, self.world_size, self.lengths = rank, world_size, lengths
        self._epoch, self._order = -1, np.arange(0)
        self._pool = -1
        self._batches: list[list[int]] = []

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.size)
            self._epoch = epoch
        return self._order

    def _examples(self, start: int, stop: int) -> list[int]:
        return [int(self._permutation(p // self.size)[p % self.size]) for p in range(start, stop)]

    def batch(self, i: int) -> list[int]:
        B = self.batch_size
        if self.lengths is None:
            indices = self._examples(i * B, (i + 1) * B)
        else:
            indices = self._sorted_pool(i // POOL)[i % POOL]
        return indices[self.rank :: self.world_size]

    def _sorted_pool(self, pool: int) -> list[list[int]]:
        if pool != self._pool:
            B = self.batch_size
            examples = self._examples(pool * POOL * B, (pool + 1) * POOL * B)
            examples.sort(key=lambda i: self.lengths[i])
            order = np.random.default_rng([self.seed, pool, 1]).permutation(POOL)
            self._batches = [examples[k * B : (k + 1) * B] for k in order]
            self._pool = pool
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        i = self.start()
        while True:
            yield self.batch(i)
            i += 1


class EvalBatches(Sampler):
    """The evaluation batches: every example once, in order or by length. The ranks share the
    batches; no batch is padded or dropped, and no rank goes without (Lightning would end there)."""

    def __init__(
        self,
        size: int,
        batch_size: int,
        rank: int,
        world_size: int,
        lengths: np.ndarray | None = None,
    ):
        if size < world_size:
            raise UserError(
                f"A split of {size} examples cannot be shared among {world_size} devices: take "
                "fewer devices, or more of the split (max_eval_examples=...)."
            )
        batch_size = min(batch_size, size // world_size)
        order = np.arange(size) if lengths is None else np.argsort(lengths, kind="stable")
        starts = range(0, size, batch_size)[rank::world_size]
        self.batches = [order[s : s + batch_size].tolist() for s in starts]

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
        bucket_by_length: bool = False,
    ):
        super().__init__()
        self.batch_size, self.seed, self.bucket_by_length = batch_size, seed, bucket_by_length
        self.splits = {
            name: Packed(
                load(path, manifest, name),
                manifest.documents,
                seq_len,
                limit if name != "train" else None,
                to_longest=bucket_by_length,
                multiple=1 if manifest.tokenizer else MULTIPLE,
            )
            for name in manifest.counts
        }

    @property
    def test_targets(self) -> np.ndarray:
        """The targets of the whole test split, in its order."""
        return np.asarray(self.splits["test"].split.labels)

    @property
    def test_size(self) -> float:
        """The number of scored test examples, in units of the scored val examples."""
        return len(self.splits["test"]) / len(self.splits["val"])

    def _lengths(self, split: str) -> np.ndarray | None:
        return self.splits[split].lengths() if self.bucket_by_length else None

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
            self._lengths("train"),
        )
        return self._loader("train", batches)

    def _eval_loader(self, split: str) -> DataLoader:
        trainer = self.trainer
        size = len(self.splits[split])
        batch_size = -(-self.batch_size // trainer.world_size)
        batches = EvalBatches(
            size, batch_size, trainer.global_rank, trainer.world_size, self._lengths(split)
        )
        return self._loader(split, batches)

    def val_dataloader(self) -> DataLoader:
        return self._eval_loader("val")

    def test_dataloader(self) -> DataLoader:
        return self._eval_loader("test")
