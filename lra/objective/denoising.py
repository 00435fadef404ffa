"""BART's pretraining: a text from its corrupted self (Lewis et al. 2020; fairseq's denoising).

The sentences change places, and spans of tokens, 30 % of them all, become one <mask> each. The
lengths of the spans are Poisson (3.5); a span of length 0 puts a <mask> in. A tenth of the <mask>s
are random tokens instead. Spans never overlap, where fairseq's may.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from lra.errors import UserError
from lra.objective.base import Batch, Net, Predictions
from lra.objective.generation import BOS, EOS, LOSS, PAD, UNK, Generation
from lra.objective.metric import Score, ratio_score

if TYPE_CHECKING:
    from torch import Tensor

ENDS = (".", "!", "?")


class Denoising(Generation):
    """A batch has one sequence an example, which is the target; the document is made of it.

    masked: share of the tokens. spans: mean length. random: share of the <mask>s. permute: whether
    sentences change places.
    """

    headline = LOSS
    inherits = True

    def __init__(
        self,
        name: str,
        outputs: int | None,
        *,
        target_len: int = 0,
        masked: float = 0.3,
        spans: float = 3.5,
        random: float = 0.1,
        permute: bool = True,
    ):
        super().__init__(name, outputs, target_len=target_len)
        if not 0 < masked < 1 or spans <= 0 or not 0 <= random <= 1:
            raise ValueError(f"masked={masked}, spans={spans}, random={random}: not a noise")
        self.masked, self.spans, self.random, self.permute = masked, spans, random, permute
        # of the tokenizer, once attached; till then (where time and memory alone count) no token
        # ends a sentence
        self.mask, self.ends = UNK, np.zeros(0, bool)

    def attach(self, texts) -> None:
        super().attach(texts)
        self.mask = self.tokenizer.token_to_id("<mask>")
        if self.mask is None:
            raise UserError(
                f"The tokenizer of {texts.folder} has no <mask>, which denoising needs."
            )
        tokens = (
            self.tokenizer.id_to_token(i) or "" for i in range(self.tokenizer.get_vocab_size())
        )
        self.ends = np.array([token.endswith(ENDS) for token in tokens])

    def source(self, batch: Batch, split: str) -> tuple["Tensor", "Tensor"]:
        """Returns the corrupted texts. In training they follow the seed of the step and each
        example's place in the split, however the batch is cut into parts; else the place alone."""
        import torch

        seed = [torch.initial_seed()] if split == "train" else []
        noised = []
        for row, n, index in zip(batch.ids[:, 0], batch.lengths[:, 0], batch.indices, strict=True):
            rng = np.random.default_rng([int(index), *seed])
            noised.append(torch.from_numpy(self.noise(row[: int(n)].cpu().numpy(), rng)))
        lengths = torch.tensor([len(ids) for ids in noised])
        ids = torch.nn.utils.rnn.pad_sequence(noised, batch_first=True, padding_value=PAD)
        return ids.to(batch.ids.device), lengths.to(batch.ids.device)

    def noise(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns a corrupted copy of a text that begins with <s> and ends with </s>."""
        inner = ids[1:-1].astype(np.int64)
        if self.permute and self.ends.size:
            inner = self.permuted(inner, rng)
        inner = self.infilled(inner, rng)[: len(ids) - 2]  # insertions may make it longer
        return np.concatenate([[BOS], inner, [EOS]])

    def permuted(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the tokens with their sentences in another order."""
        sentences = np.split(ids, np.flatnonzero(self.ends[ids[:-1]]) + 1)
        return np.concatenate([sentences[i] for i in rng.permutation(len(sentences))])

    def infilled(self, ids: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Returns the tokens with spans of them, self.masked of all, replaced by one id each."""
        n = round(self.masked * len(ids))
        lengths = rng.poisson(self.spans, size=max(1, n))  # more than enough, unless all are 0
        lengths = lengths[: 1 + np.searchsorted(lengths.cumsum(), n)]
        lengths[-1] -= max(0, lengths.sum() - n)
        # The kept tokens and the spans in a random order: of all these items, which are spans?
        items = len(ids) - lengths.sum() + len(lengths)
        spans = np.sort(rng.choice(items, len(lengths), replace=False))
        width = np.ones(items, np.int64)
        width[spans] = lengths
        start = np.concatenate([[0], width.cumsum()[:-1]])
        found = ids[np.minimum(start, len(ids) - 1)]
        found[spans] = self.mask
        swapped = spans[rng.random(len(spans)) < self.random]
        found[swapped] = rng.integers(UNK + 1, max(self.mask, UNK + 2), len(swapped))
        return found

    def evaluate(self, net: Net, batch: Batch, split: str) -> "Tensor":
        return self.likelihood(net, batch, split)

    def predictions(self, kept: np.ndarray, split: str) -> Predictions:
        return kept

    def score(
        self, predictions: Predictions, targets: Any, split: str = "test"
    ) -> dict[str, Score]:
        return {LOSS.name: ratio_score(*np.asarray(predictions, np.float64).T)}

    def details(self, predictions: Predictions, targets: Any) -> dict[str, np.ndarray]:
        return {}

    def values(self, predictions: Predictions, targets: Any) -> None:
        """Returns None: the loss a token weighs each example by its tokens."""
