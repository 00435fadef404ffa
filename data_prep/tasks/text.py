"""Text: the sentiment of IMDb reviews (Maas et al., ACL 2011), read byte by byte.

Ids are the bytes of the file, 0-255, or with a tokenizer (variant word_pieces_512) those of a
pretrained model; a review is cut to the variant's seq_len. LRA's test split is the original one.
LRA has no val split and validates on test; here val is 10 % of train, drawn by data.seed, and
reviews that begin alike (duplicates) stay on one side. The variants *_test_as_val follow LRA: all
of train is kept, and val is a copy of test.
"""

import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from data_prep import archive, sources
from data_prep.baselines import baselines
from data_prep.download import Download
from data_prep.pack import Manifest, Split, pack, split_of
from data_prep.pairs import encoded, framed, tokenizer_of
from lra import tokenizer
from lra.errors import UserError
from lra.progress import progress

FOLDERS = ("text", "imdb", "aclImdb", "aclImdb_v1.tar.gz")
ORIGINAL = Download(
    url="https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz",
    name="aclImdb_v1.tar.gz",
    sha256="c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
)
REVIEW = re.compile(r"(?:^|/)(train|test)/(pos|neg)/(\d+)_(\d+)\.txt$")
LABELS = ("neg", "pos")
BYTES = [f"{byte:02x}" for byte in range(256)]  # the vocabulary of every byte task
VERSION = 1  # raise it when the same files give other data
ALIKE = 1000  # bytes; the same for all variants, so that they share one split

Review = tuple[bytes, int]


def make(task, data, path: Path) -> Manifest:
    rules = task.variants[task.variant]
    origin = sources.find(task.name, data, FOLDERS, REVIEW, ORIGINAL)
    train, test = read(origin)
    repeated = len(train) - len({text for text, _ in train})
    shared = len({text for text, _ in test} & {text for text, _ in train})
    if rules.val == "test":
        chosen = {"train": train, "val": test, "test": test}
    else:
        train, val = hold_out(train, rules.counts.val, data.seed)
        chosen = {"train": train, "val": val, "test": test}
    found = {name: len(reviews) for name, reviews in chosen.items()}
    sources.must_hold(origin, found, rules.counts, ORIGINAL.name)
    codes = tokenizer_of(task, ()) if task.get("tokenizer") else None
    most = None if codes else rules.seq_len  # bytes; word pieces are cut as such
    splits = by_bytes = {
        name: split_of(
            [np.frombuffer(text[:most], np.uint8) for text, _ in reviews],
            [label for _, label in reviews],
        )
        for name, reviews in chosen.items()
    }
    if codes:
        splits = {name: pieces(reviews, codes, rules.seq_len) for name, reviews in chosen.items()}
    return pack(
        path,
        splits,
        tokenizer=codes and codes.to_str(),
        task=task.name,
        variant=task.variant,
        source=sources.describe(origin, REVIEW),
        generator=None,
        reader={
            "version": VERSION,
            "seed": data.seed,
            "seq_len": rules.seq_len,
            "val": rules.val,
        },
        vocabulary=[] if codes else BYTES,
        documents=1,
        baselines=baselines(by_bytes, 1, "bag of bytes"),
        notes=[
            f"{repeated} training reviews repeat another; {shared} texts of test are also in train "
            "(as in the original)"
        ],
    )


def pieces(reviews: list[Review], codes, seq_len: int) -> Split:
    """Returns the split of the reviews in a pretrained model's word pieces."""
    first, last = tokenizer.ends(codes)
    texts = [text.decode(errors="replace") for text, _ in reviews]
    ids = [framed(each, first, last, seq_len) for each in encoded(codes, texts)]
    return split_of(ids, [label for _, label in reviews])


def read(origin: Path) -> tuple[list[Review], list[Review]]:
    """Returns (train, test), each sorted by label and number, whatever the order in the archive."""
    found: dict[str, dict[tuple, Review]] = {"train": {}, "test": {}}
    with progress("reading reviews", 50_000) as advance:
        for n, (name, stream) in enumerate(archive.members(origin, REVIEW)):
            split, label, number, rating = REVIEW.search(name).groups()
            text = stream.read()
            if not text:
                raise UserError(f"{origin}: {name} is empty: {archive.bring()}")
            sources.must_not_be_printed(text, f"{origin}: {name}")
            if (int(rating) <= 4) != (label == "neg"):
                raise UserError(f"{origin}: {name} has rating {rating} but lies under {label}.")
            key = (LABELS.index(label), int(number), int(rating))
            sources.put(found[split], key, (text, key[0]), name, origin)
            advance(n + 1)
    train, test = ([reviews[key] for key in sorted(reviews)] for reviews in found.values())
    if not train or not test:
        raise UserError(f"{origin} holds no reviews (train/pos/0_9.txt ...): {archive.bring()}")
    return train, test


def hold_out(reviews: list[Review], size: int, seed: int) -> tuple[list[Review], list[Review]]:
    """Returns (the rest, up to `size` held out). Reviews whose first ALIKE bytes agree are never
    parted."""
    groups = defaultdict(list)
    for i, (text, _) in enumerate(reviews):
        groups[text[:ALIKE]].append(i)
    groups = list(groups.values())
    held: set[int] = set()
    for g in np.random.default_rng(seed).permutation(len(groups)):
        if len(held) + len(groups[g]) <= size:
            held.update(groups[g])
    rest = [review for i, review in enumerate(reviews) if i not in held]
    return rest, [reviews[i] for i in sorted(held)]
