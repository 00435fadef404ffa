"""SQuALITY: answers to questions about stories of 5,000 words (Wang et al. 2022).

Files with question, document and references. The source is the question, then the story, of which
seq_len holds the beginning. Each of the four references of a training question is an example, as
in the authors' work; on val and test the best of the four counts.
"""

from pathlib import Path

from data_prep.pack import Manifest
from data_prep.pairs import Pair, Record, id_of, make_pairs, read

FOLDERS = ("squality", "SQuALITY", "squality.tar.xz")
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    return make_pairs(task, data, path, folders=FOLDERS, pairs_of=pairs_of, version=VERSION)


def pairs_of(origin: Path) -> dict[str, list[Pair]]:
    splits = read(origin, pair_of)
    splits["train"] = [
        Pair(f"{pair.id}/{n}", pair.document, [reference])
        for pair in splits["train"]
        for n, reference in enumerate(pair.references)
    ]
    return splits


def pair_of(record: Record) -> Pair:
    references = record.get("references") or [record["summary"]]
    source = f"{record['question']} {record['document']}"
    return Pair(id_of(record), source, list(references))
