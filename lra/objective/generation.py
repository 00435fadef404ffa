"""A text for each text: learned token by token, selected by the loss, scored by ROUGE."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lra import rouge, tokenizer
from lra.errors import UserError
from lra.objective.base import Batch, Net, Objective, Predictions
from lra.objective.metric import Metric, Score, bootstrap_score, ratio_score

if TYPE_CHECKING:
    from torch import Tensor

LOSS = Metric(name="loss a token", better="lower")  # in nats, without label smoothing
ROUGE_L = Metric(name="ROUGE-L")
BOS, PAD, EOS, UNK = 0, 1, 2, 3  # BART's ids; lra/tokenizer.py
IGNORED = -100


class Generation(Objective):
    """The net gives logits (B, T, V) for ids (B, N), lengths (B,) and decoder ids (B, T), and has
    generate(). A batch has two sequences an example: the document and the target.

    generation: the settings of beam search (conf/generation/). eli5: adds ROUGE-L as ELI5's authors
    define it.
    """

    headline = ROUGE_L
    selection = LOSS
    uneven = True  # a unit is a target token
    labelled = False  # texts are not stored with the rows: they may not be ours to hand on

    def __init__(
        self,
        name: str,
        outputs: int | None,
        *,
        label_smoothing: float = 0.0,
        target_len: int = 0,
        generation: Any = None,
        eli5: bool = False,
    ):
        super().__init__(name, outputs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing={label_smoothing}: choose from 0 up to 1")
        if generation and not 0 <= generation.min_len <= generation.max_len:
            raise ValueError(
                f"generation.min_len={generation.min_len}: choose up to max_len, "
                f"{generation.max_len}"
            )
        if generation and generation.num_beams < 1:
            raise ValueError(f"generation.num_beams={generation.num_beams}: choose 1 or more")
        self.label_smoothing, self.target_len, self.eli5 = label_smoothing, target_len, eli5
        self.generation = generation
        self.tokenizer: Any = None
        self.references: list[list[str]] | None = None  # of test

    def attach(self, texts) -> None:
        """Takes the tokenizer and the references. Raises UserError for a tokenizer whose first ids
        are not BART's."""
        tokenizer.extra()
        self.tokenizer = tokenizer.load(texts.folder)
        ids = [self.tokenizer.token_to_id(token) for token in tokenizer.SPECIAL[:3]]
        if ids != [BOS, PAD, EOS]:
            raise UserError(
                f"The tokenizer of {texts.folder} does not have <s>, <pad>, </s> as 0, 1, 2."
            )
        self.references = texts.references.get("test")

    def targets(self, labels: np.ndarray, indices: list[int], split: str) -> Any:
        if split == "val" or self.references is None:
            return None
        return [self.references[i] for i in indices]

    def units(self, batch: Batch) -> float:
        """Returns the number of target tokens: the loss is a mean over them."""
        return float(batch.lengths[:, -1].clamp(max=self.target_len).sum())

    def source(self, batch: Batch, split: str) -> tuple["Tensor", "Tensor"]:
        """Returns the documents (B, N) and lengths (B,). N is the whole batch's, also for a part of
        it, since a filter with padding=batch sees it."""
        return batch.ids[:, 0].long(), batch.lengths[:, 0]

    def taught(self, batch: Batch) -> tuple["Tensor", "Tensor"]:
        """Returns the decoder's ids (B, T), each target shifted to the right behind </s>, and the
        labels (B, T), IGNORED behind a target's end."""
        import torch
        import torch.nn.functional as F

        lengths = batch.lengths[:, -1].clamp(max=self.target_len)
        targets = batch.ids[:, -1, : int(lengths.max())].long()
        behind = torch.arange(targets.shape[1], device=targets.device) >= lengths[:, None]
        decoder_ids = F.pad(targets[:, :-1], (1, 0), value=EOS)
        return decoder_ids, targets.masked_fill(behind, IGNORED)

    def loss(self, net: Net, batch: Batch) -> "Tensor":
        import torch.nn.functional as F  # tables read rows without torch

        decoder_ids, labels = self.taught(batch)
        logits = net(*self.source(batch, "train"), decoder_ids).float()
        return F.cross_entropy(
            logits.flatten(0, 1),
            labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.label_smoothing,
        )

    def evaluate(self, net: Net, batch: Batch, split: str) -> "Tensor":
        """Returns on val the sum of the losses and the number of the tokens (B, 2); on test the
        generated ids (B, max_len + 2)."""
        return self.likelihood(net, batch, split) if split == "val" else self.generate(net, batch)

    def likelihood(self, net: Net, batch: Batch, split: str) -> "Tensor":
        import torch
        import torch.nn.functional as F

        decoder_ids, labels = self.taught(batch)
        logits = net(*self.source(batch, split), decoder_ids).float()
        losses = F.cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none")
        return torch.stack([losses.sum(1), (labels != IGNORED).sum(1)], dim=1)

    def generate(self, net: Any, batch: Batch) -> "Tensor":
        import torch.nn.functional as F

        g = self.generation
        ids = net.generate(
            *self.source(batch, "test"),
            num_beams=g.num_beams,
            length_penalty=g.length_penalty,
            max_new_tokens=g.max_len + 1,  # <s>, which BART generates first
            min_new_tokens=g.min_len + 1,
            no_repeat_ngram_size=g.no_repeat_ngram,
            early_stopping=True,
            do_sample=False,
        )
        return F.pad(ids, (0, g.max_len + 2 - ids.shape[1]), value=PAD)

    def predictions(self, kept: np.ndarray, split: str) -> Predictions:
        if split == "val":
            return kept
        texts = self.tokenizer.decode_batch(kept.astype(int).tolist(), skip_special_tokens=True)
        return [text.strip() for text in texts]

    def score(
        self, predictions: Predictions, targets: Any, split: str = "test"
    ) -> dict[str, Score]:
        if split == "val":
            return {LOSS.name: ratio_score(*np.asarray(predictions, np.float64).T)}
        details = self.details(predictions, targets)
        return {metric: bootstrap_score(values) for metric, values in details.items()}

    def details(self, predictions: Predictions, targets: Any) -> dict[str, np.ndarray]:
        found = rouge.scores(list(predictions), targets)
        return found | (rouge.eli5(list(predictions), targets) if self.eli5 else {})

    def values(self, predictions: Predictions, targets: Any) -> np.ndarray:
        return rouge.scores(list(predictions), targets)[ROUGE_L.name]

    def trivial(self, manifest) -> dict[str, dict[str, float]]:
        return {
            rule: {split: values[ROUGE_L.name]}
            for split, rules in manifest.trivial.items()
            for rule, values in rules.items()
        }
