"""python -m data_prep probe task=<task>: do the labels carry signal?

Trains a small reference on train and scores it on val (never on test): byte n-grams for Text and
Retrieval, a convolutional network for Image, Pathfinder and Path-X, the root operator for ListOps.

A copy of Path-X is in circulation on which networks that see the whole picture stay at chance
(google-research/long-range-arena#38), and only training shows this. The network here learns the
easy level (contour_length 6 at 32 pixels: pytest -m slow tests/data_prep/tasks/test_snakes.py). At
contour_length 14 the network stays at chance on good data too; 9, and larger pictures, were not
tried. For all of these a score at chance is answered with "inconclusive".
"""

import numpy as np

import data_prep
from data_prep.baselines import document, spread
from data_prep.pack import Split, load
from lra.errors import UserError
from lra.objective import Score, share_score
from lra.progress import progress

STEPS, BATCH = 1500, 64  # for the convolutional network
EXAMPLES = 20_000  # training examples for the n-grams


def main(cfg) -> None:
    manifest = data_prep.prepare(cfg.task, cfg.data)
    path = data_prep.folder(cfg.task, cfg.data)
    train, val = load(path, manifest, "train"), load(path, manifest, "val")
    chance = manifest.baselines["majority label"]["val"]
    if cfg.task.name == "listops":
        what = "majority label | root operator"
        n = len(val.labels)
        found = share_score(round(manifest.baselines[what]["val"] * n), n)
    elif cfg.task.pixels:
        what = f"a small convolutional network, {STEPS:,} steps of {BATCH}"
        found, _ = convolutional(train, val, manifest.label_counts["train"])
    else:
        what = "logistic regression on byte n-grams"
        found = n_grams(train, val, manifest.documents)
    print(
        f"{manifest.task}/{manifest.variant} ({manifest.fingerprint[:8]}): "
        f"{100 * found.value:.1f} % on val ({100 * found.low:.1f} - {100 * found.high:.1f}) by "
        f"{what}; majority label {100 * chance:.1f} %"
    )
    if found.low > chance:
        print("The labels carry signal.")
        return
    rules = cfg.task.variants[cfg.task.variant]
    if rules.get("contour_length", 6) > 6 or rules.get("resolution", 32) > 32:
        raise UserError(
            "inconclusive: this network is not known to learn contours as long as these from good "
            "data either. task.variant=curv_baseline it learns."
        )
    raise UserError("no signal was found: the labels may be broken.")


def n_grams(train: Split, val: Split, documents: int) -> Score:
    """Returns the score on val of logistic regression on hashed bags of 1 to 4 bytes.

    The features of two documents are the n-grams that they share.
    """
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import SGDClassifier

    bag = HashingVectorizer(
        analyzer="char", ngram_range=(1, 4), n_features=2**18, lowercase=False, alternate_sign=False
    )

    def features(split: Split, examples: np.ndarray):
        texts = (
            document(split, example * documents + p).tobytes().decode("latin1")
            for example in examples
            for p in range(documents)
        )
        x = bag.transform(texts)
        return x if documents == 1 else x[0::2].minimum(x[1::2])

    seen = spread(len(train.labels), EXAMPLES)
    rule = SGDClassifier(loss="log_loss", alpha=1e-6, random_state=0)
    rule.fit(features(train, seen), train.labels[seen])
    correct = rule.predict(features(val, np.arange(len(val.labels)))) == val.labels
    return share_score(int(correct.sum()), len(correct))


def convolutional(
    train: Split, val: Split, label_counts: list[int], steps: int = STEPS
) -> tuple[Score, np.ndarray]:
    """Returns the score on up to 5,000 examples of val, and which of these were right."""
    import torch
    import torch.nn.functional as F

    def images(split: Split, index: np.ndarray) -> torch.Tensor:
        side = int((split.offsets[1] - split.offsets[0]) ** 0.5)
        rows = split.ids.reshape(-1, side * side)[index].reshape(-1, 1, side, side)
        return torch.from_numpy(rows).float() / 127.5 - 1

    torch.manual_seed(0)
    side = int((train.offsets[1] - train.offsets[0]) ** 0.5)
    net = network(side, len(label_counts))
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    rng = np.random.default_rng(0)
    labels = train.labels.astype(np.int64)
    with progress("training the probe", steps) as advance:
        for step in range(steps):
            index = rng.integers(len(labels), size=BATCH)
            loss = F.cross_entropy(net(images(train, index)), torch.from_numpy(labels[index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(step)
    net.eval()
    n = min(len(val.labels), 5000)
    with torch.no_grad():
        predicted = [
            net(images(val, np.arange(start, min(n, start + 100)))).argmax(1).numpy()
            for start in range(0, n, 100)
        ]
    correct = np.concatenate(predicted) == val.labels[:n]
    return share_score(int(correct.sum()), n), correct


def network(side: int, num_classes: int):
    """Returns a network: convolutions down to 8 x 8, then two layers that see the whole picture."""
    from torch import nn

    def convolution(i: int, o: int, stride: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()
        )

    layers, width = [convolution(1, 16, 1), convolution(16, 16, 1)], 16
    while side > 8:
        layers += [convolution(width, min(64, 2 * width), 2)]
        width, side = min(64, 2 * width), -(-side // 2)
        layers += [convolution(width, width, 1)]
    layers += [convolution(width, width, 1), nn.Flatten(), nn.Linear(width * side * side, 64)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Linear(64, num_classes))
