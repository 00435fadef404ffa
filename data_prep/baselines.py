"""Scores of trivial rules on packed splits: name -> split -> accuracy, all fitted on train."""

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.pack import Picked, Split

FITTED_ON = 20_000  # training examples


def baselines(splits: dict[str, Split], documents: int, bag: str) -> dict[str, dict[str, float]]:
    """Returns the accuracy of the majority label and of logistic regression on token frequencies.

    bag: the name of the logistic regression.
    """
    train = splits["train"]
    majority = np.bincount(train.labels).argmax()
    seen = spread(len(train.labels), FITTED_ON)
    rule = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    if len(np.unique(train.labels[seen])) == 1:  # logistic regression wants two classes
        rule = DummyClassifier()
    rule.fit(frequencies(train, documents, seen), train.labels[seen])
    others = {name: split for name, split in splits.items() if name != "train"}
    return {
        "majority label": {
            name: float((split.labels == majority).mean()) for name, split in others.items()
        },
        bag: {
            name: float(rule.score(frequencies(split, documents), split.labels))
            for name, split in others.items()
        },
    }


def spread(n: int, limit: int) -> np.ndarray:
    """Returns up to `limit` of n indices, evenly spaced, since files may be sorted by label."""
    return np.linspace(0, n - 1, min(limit, n)).astype(int)


def frequencies(split: Split, documents: int, examples: np.ndarray | None = None) -> np.ndarray:
    """Returns (examples, 256): the share of each token in the document.

    Two documents give (examples, 512): [u * v, |u - v|], where u and v are the square roots of
    their shares.
    """
    examples = np.arange(len(split.labels)) if examples is None else examples
    shares = np.zeros((len(examples), documents, 256), np.float32)
    for row, example in enumerate(examples):
        for p in range(documents):
            counts = np.bincount(document(split, example * documents + p), minlength=256)
            shares[row, p] = counts / max(1, counts.sum())
    if documents == 1:
        return shares[:, 0]
    u, v = np.sqrt(shares[:, 0]), np.sqrt(shares[:, 1])
    return np.concatenate([u * v, np.abs(u - v)], axis=1)


def document(split: Split, i: int) -> np.ndarray:
    if isinstance(split.ids, Picked):
        return split.ids.array[split.ids.rows[i]]
    return split.ids[split.offsets[i] : split.offsets[i + 1]]
