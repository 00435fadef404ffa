"""ELI5: long answers to questions, with a support document (Fan et al. 2019).

Reads the authors' json (question, document, answer), KILT's json lines (input; output, a list with
answer and meta.score) and Hugging Face's (title; answers with text and score). Where there are
several answers the best rated trains, and all score. The source is the question, then the document,
as in the authors' scripts; KILT and Hugging Face have no document.

Variant `examples`: the ten examples that the authors published, six for training.
"""

import re
from pathlib import Path

from data_prep import archive, pairs
from data_prep.pack import Manifest
from data_prep.pairs import FILE, Pair, Record, id_of, make_pairs, read
from lra.errors import UserError

FOLDERS = ("eli5", "ELI5")
EXAMPLES = re.compile(r"(?:^|/)examples_qda_short\.json$")
PARTS = {"train": slice(6), "val": slice(6, 8), "test": slice(8, None)}
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    examples = task.variant == "examples"
    return make_pairs(
        task,
        data,
        path,
        folders=FOLDERS,
        pairs_of=read_examples if examples else pairs_of,
        version=VERSION,
        files=EXAMPLES if examples else FILE,
    )


def pairs_of(origin: Path) -> dict[str, list[Pair]]:
    return read(origin, pair_of)


def read_examples(origin: Path) -> dict[str, list[Pair]]:
    found = [
        pair_of(record)
        for name, stream in archive.members(origin, EXAMPLES)
        for record in pairs.READERS["json"](stream, name)
    ]
    if len(found) < 8:
        raise UserError(f"{origin} has {len(found)} of the ten examples: {archive.bring()}")
    return {split: found[part] for split, part in PARTS.items()}


def pair_of(record: Record) -> Pair | None:
    if "question" in record:  # the authors'
        source = f"{record['question']} {record['document']}"
        return Pair(id_of(record), source, [record["answer"]])
    if "input" in record:  # KILT
        rated = [
            (each.get("meta", {}).get("score", 0), each["answer"])
            for each in record["output"]
            if each.get("answer")
        ]
        return _pair(record, record["input"], rated)
    answers = record["answers"]
    rated = list(zip(answers["score"], answers["text"], strict=True))
    return _pair(record, record["title"], rated)


def _pair(record: Record, question: str, rated: list[tuple[int, str]]) -> Pair | None:
    """Returns the pair with its answers by their score; None for a question without an answer."""
    best_first = sorted(rated, key=lambda pair: -pair[0])
    answers = [answer for _, answer in best_first]
    return Pair(id_of(record), question, answers) if answers else None
