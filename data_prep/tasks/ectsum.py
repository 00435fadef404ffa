"""ECTSum: telegram-style bullets from a company's earnings call (Mukherjee et al. 2022).

Files with document and summary; a summary has one bullet a line. A call has 2,850 words, more than
seq_len holds: the packed document is its beginning.
"""

from pathlib import Path

from data_prep.pack import Manifest
from data_prep.pairs import Pair, Record, id_of, make_pairs, read

FOLDERS = ("ectsum", "ECTSum", "ectsum.tar.xz")
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    return make_pairs(task, data, path, folders=FOLDERS, pairs_of=pairs_of, version=VERSION)


def pairs_of(origin: Path) -> dict[str, list[Pair]]:
    return read(origin, pair_of)


def pair_of(record: Record) -> Pair:
    return Pair(id_of(record), record["document"], [record["summary"]])
