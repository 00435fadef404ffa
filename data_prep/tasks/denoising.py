"""Denoising: text to pretrain on, in pieces of at most seq_len tokens (BART, Lewis et al. 2020).

Variant `imdb`: the training reviews of IMDb. `papers`: the ACL papers of Retrieval's stand-in.
`imdb_papers`: both. `files`: every .txt file of data.archive. A tenth of the documents, but at most
`held_out` of them, is held out for val, and as many for test. Training makes the noise
(lra/objective/denoising.py).
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep import archive, sources
from data_prep.pack import Manifest, pack, split_of
from data_prep.pairs import encoded, framed, tokenizer_of, trained_size
from data_prep.tasks import retrieval, text
from lra import tokenizer
from lra.errors import UserError

TXT = re.compile(r"\.txt$")
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    rules = task.variants[task.variant]
    documents, source = [], []
    for corpus in rules.corpora:
        origin, texts = CORPORA[corpus](data)
        documents += texts
        source.append(origin)
    if len(documents) < 10:
        raise UserError(f"{', '.join(source)}: {len(documents)} texts are too few to split.")
    order = np.random.default_rng(data.seed).permutation(len(documents))
    held = min(rules.held_out, len(documents) // 10)
    chosen = {"val": order[:held], "test": order[held : 2 * held], "train": order[2 * held :]}
    codes = tokenizer_of(task, (documents[i] for i in np.sort(chosen["train"])))
    first, last = tokenizer.ends(codes)
    splits = {}
    for name in ("train", "val", "test"):
        texts = [documents[i] for i in np.sort(chosen[name])]
        pieces = [
            framed(piece, first, last, rules.seq_len)
            for ids in encoded(codes, texts)
            for piece in cut(ids, rules.seq_len - 2)
        ]
        splits[name] = split_of(pieces, [0] * len(pieces))
    return pack(
        path,
        splits,
        tokenizer=codes.to_str(),
        task=task.name,
        variant=task.variant,
        source=", ".join(source),
        generator=None,
        reader={
            "version": VERSION,
            "seed": data.seed,
            "seq_len": rules.seq_len,
            **trained_size(task),
        },
        vocabulary=[],
        documents=1,
        baselines={},
        notes=[f"{len(documents):,} documents; {held:,} each held out for val and test"],
    )


def cut(ids: list[int], size: int) -> Iterator[list[int]]:
    """Yields the pieces of a document; a last one shorter than a fifth of `size` is left out."""
    for start in range(0, len(ids), size):
        piece = ids[start : start + size]
        if start == 0 or len(piece) >= size // 5:
            yield piece


def reviews(data) -> tuple[str, list[str]]:
    origin = sources.find("text", data, text.FOLDERS, text.REVIEW, text.ORIGINAL)
    train, _ = text.read(origin)
    found = [review.decode(errors="replace").replace("<br />", "\n") for review, _ in train]
    return sources.describe(origin, text.REVIEW), found


def papers(data) -> tuple[str, list[str]]:
    origin = sources.find("retrieval", data, retrieval.FOLDERS, retrieval.PAPERS, None)
    found = [
        content.decode(errors="replace")
        for name, stream in archive.members(origin, retrieval.PAPERS)
        for _, (_, content) in retrieval.rows(name, stream, 2)
    ]
    return sources.describe(origin, retrieval.PAPERS), found


def files(data) -> tuple[str, list[str]]:
    origin = sources.find("denoising", data, ("denoising",), TXT, None)
    found = []
    for name, stream in archive.members(origin, TXT):
        try:
            found.append(stream.read().decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            raise UserError(f"{name} is not UTF-8 (byte {error.start:,}).") from error
    return sources.describe(origin, TXT), found


CORPORA = {"imdb": reviews, "papers": papers, "files": files}
