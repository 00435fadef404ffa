"""Retrieval: does one paper cite the other? An example is two documents of up to seq_len bytes.

Variant `aan`: LRA's files (ACL Anthology Network), new_aan_pairs.{train,eval,test}.tsv from
lra_release's tsv_data: no header; label, id1, id2, text1, text2. The texts are written as Python
bytes literals (b'...'). LRA's loader reads the literals as they are written; here the bytes that
they denote are read, also where the literal stands between double quotes, as csv writers put them.
Variant `scisumm`: a stand-in of real papers and citations, papers.tsv (id, text) and
pairs.{train,eval,test}.tsv (label, id1, id2). Its scores do not compare with scores on aan.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data_prep import archive, sources
from data_prep.baselines import baselines
from data_prep.download import Download
from data_prep.pack import Manifest, Split, pack, split_of
from data_prep.tasks.text import BYTES
from lra.errors import UserError
from lra.progress import progress

FOLDERS = ("retrieval", "aan", "scisumm", "lra_release", "lra_release.gz")
RELEASE = Download(
    url="https://storage.googleapis.com/long-range-arena/lra_release.gz",
    name="lra_release.gz",
    sha256=None,  # nobody publishes one
)
AAN = re.compile(r"(?:^|/)new_aan_pairs\.(train|eval|test)\.tsv$")
PAIRS = re.compile(r"(?:^|/)pairs\.(train|eval|test)\.tsv$")
PAPERS = re.compile(r"(?:^|/)papers\.tsv$")
SPLIT_OF = {"train": "train", "eval": "val", "test": "test"}
LABELS = {b"0.0": 0, b"1.0": 1, b"0": 0, b"1": 1}
VERSION = 1  # raise it when the same files give other data


def variant_at_hand(data) -> str:
    """Returns the variant for a user who names none: scisumm if LRA_ARCHIVES holds that alone, else
    aan."""
    aan = data.archive is not None or sources.in_archives(FOLDERS, AAN)
    return "scisumm" if not aan and sources.in_archives(FOLDERS, PAIRS) else "aan"


def make(task, data, path: Path) -> Manifest:
    rules = task.variants[task.variant]
    files, original = (AAN, RELEASE) if task.variant == "aan" else (PAIRS, None)
    if task.variant == "aan" and variant_at_hand(data) == "scisumm":
        print(
            "LRA_ARCHIVES holds no new_aan_pairs.*.tsv, so lra_release.gz (8 GB) is fetched. It "
            "does hold a stand-in: task.variant=scisumm.",
            file=sys.stderr,
        )
    origin = sources.find(task.name, data, FOLDERS, files, original)
    papers = None if task.variant == "aan" else read_papers(origin, rules.seq_len)
    splits = {}
    for name, stream in archive.members(origin, files):
        split = SPLIT_OF[files.search(name)[1]]
        pairs = read_pairs(name, stream, papers, rules.seq_len, rules.counts[split])
        sources.put(splits, split, pairs, name, origin)
    absent = [name for name, split in SPLIT_OF.items() if split not in splits]
    if absent:
        raise UserError(f"{origin} lacks the tsv file of {', '.join(absent)}: {archive.bring()}")
    found = {name: len(split.labels) for name, split in splits.items()}
    sources.must_hold(origin, found, rules.counts, "the tsv files")
    splits = {name: splits[name] for name in SPLIT_OF.values()}
    return pack(
        path,
        splits,
        task=task.name,
        variant=task.variant,
        source=sources.describe(origin, files),
        generator=None,
        reader={"version": VERSION, "seq_len": rules.seq_len},
        vocabulary=BYTES,
        documents=2,
        baselines=baselines(splits, 2, "bags of bytes"),
    )


def read_papers(origin: Path, seq_len: int) -> dict[bytes, np.ndarray]:
    papers: dict[bytes, np.ndarray] = {}
    for name, stream in archive.members(origin, PAPERS):
        found = {}  # of two lines with one id the last counts, as in LRA's code
        for number, (identifier, text) in rows(name, stream, 2):
            where = f"{name}, line {number}"
            found[identifier] = document(literal(text, where), seq_len, where)
        for identifier, paper in found.items():
            sources.put(papers, identifier, paper, name, origin)
    if not papers:
        raise UserError(f"{origin} does not hold papers.tsv: {archive.bring()}")
    return papers


def read_pairs(
    name: str, stream, papers: dict[bytes, np.ndarray] | None, seq_len: int, total: int
) -> Split:
    """Returns the split of a tsv file. papers: the texts by id; None if the rows hold the texts."""
    documents, labels = [], []
    with progress(f"reading {name}", total) as advance:
        for number, row in rows(name, stream, 5 if papers is None else 3):
            where = f"{name}, line {number}"
            label = LABELS.get(row[0])
            if label is None:
                raise UserError(f"{where}: the label is {_shown(row[0])}, not 0.0 or 1.0.")
            if papers is None:
                pair = [document(literal(text, where), seq_len, where) for text in row[3:]]
            else:
                for identifier in row[1:]:
                    if identifier not in papers:
                        raise UserError(
                            f"{where}: paper {_shown(identifier)} is not in papers.tsv."
                        )
                pair = [papers[identifier] for identifier in row[1:]]
            documents += pair
            labels.append(label)
            advance(len(labels))
    if not labels:
        raise UserError(f"{name} holds no pairs.")
    return split_of(documents, labels, per_example=2)


def rows(name: str, stream, columns: int) -> Iterator[tuple[int, list[bytes]]]:
    """Yields (line number, columns) of a tsv file; raises UserError for too few columns."""
    for number, line in sources.lines(name, stream):
        row = line.split(b"\t", columns - 1)
        if len(row) != columns:
            raise UserError(
                f"{name}, line {number}: expected {columns} columns between tabs, found "
                f"{len(row)} ({_shown(line)})."
            )
        yield number, row


def literal(text: bytes, where: str) -> bytes:
    """Returns the bytes that a literal b'...' of Python denotes, which a csv writer may have put
    between double quotes; any other text unchanged. Raises UserError for a literal cut off."""
    if text.startswith((b"\"b'", b'"b""')) and text.endswith(b'"') and len(text) > 3:
        text = text[1:-1].replace(b'""', b'"')
    if not text.startswith((b"b'", b'b"')):
        return text
    value = sources.literal(text)
    if value is None:
        raise UserError(f"{where}: {_shown(text)} is not a complete bytes literal.")
    return value


def document(text: bytes, seq_len: int, where: str) -> np.ndarray:
    if not text:
        raise UserError(f"{where}: a text is empty.")
    return np.frombuffer(text[:seq_len], np.uint8)


def _shown(text: bytes) -> str:
    return repr(text[:40].decode(errors="replace"))
