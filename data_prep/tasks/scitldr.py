"""SciTLDR: one sentence that says what a paper found, from its abstract (Cachola et al. 2020).

The authors' files (SciTLDR-A: source, a list of sentences; target, a list of summaries), or the
same as document, summary and references. Of several summaries the first trains, and all score.
"""

from pathlib import Path

from data_prep.pack import Manifest
from data_prep.pairs import Pair, Record, id_of, make_pairs, read

FOLDERS = ("scitldr", "SciTLDR-A", "scitldr_a.tar.xz")
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    return make_pairs(task, data, path, folders=FOLDERS, pairs_of=pairs_of, version=VERSION)


def pairs_of(origin: Path) -> dict[str, list[Pair]]:
    return read(origin, pair_of)


def pair_of(record: Record) -> Pair:
    if "source" in record:
        document, references = " ".join(record["source"]), list(record["target"])
        return Pair(id_of(record, "paper_id"), document, references)
    references = record.get("references") or [record["summary"]]
    return Pair(id_of(record), record["document"], list(references))
