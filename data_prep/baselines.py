"""What trivial rules score on packed splits: name -> split -> accuracy, all fitted on train."""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_prep.pack import Picked, Split

FITTED_ON = 20_000  # training examples


def baselines(splits: dict[str, Split], documents: int, bag: str) -> dict[str, dict[str, float]]:
    """The majority label, and logistic regression on how often each token occurs: `bag`."""
    train = splits["train"]
    majority = np.bincount(train.labels).argmax()
    features = {
        name: frequencies(split, documents, FITTED_ON if name == "train" else None)
        for name, split in splits.items()
    }
    rule = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    rule.fit(features["train"], train.labels[: len(features["train"])])
    others = {name: split for name, split in splits.items() if name != "train"}
    return {
        "majority label": {
            name: float((split.labels == majority).mean()) for name, split in others.items()
        },
        bag: {
            name: float(rule.score(features[name], split.labels)) for name, split in others.items()
        },
    }


def frequencies(split: Split, documents: int, limit: int | None = None) -> np.ndarray:
    """(examples, 256): the share of each token in the document. Of two documents, [u * v, |u - v|]
    of their shares' square roots."""
    examples = min(len(split.labels), limit or len(split.labels))
    shares = np.zeros((examples * documents, 256), np.float32)
    for i in range(examples * documents):
        counts = np.bincount(document(split, i), minlength=256)
        shares[i] = counts / max(1, counts.sum())
    if documents == 1:
        return shares
    u, v = np.sqrt(shares[0::2]), np.sqrt(shares[1::2])
    return np.concatenate([u * v, np.abs(u - v)], axis=1)


def document(split: Split, i: int) -> np.ndarray:
    if isinstance(split.ids, Picked):
        return split.ids.array[split.ids.index[i]]
    return split.ids[split.offsets[i] : split.offsets[i + 1]]
