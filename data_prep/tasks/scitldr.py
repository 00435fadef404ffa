"""SciTLDR: one sentence that says what a paper found, from its abstract (Cachola et al. 2020).

The authors' files (SciTLDR-A: source, a list of sentences; target, a list of summaries), or the
same as document, summary and references. Of several summaries the first trains, and all score.
"""

from pathlib import Path

from data_prep import sources
from data_prep.pack import Manifest
from data_prep.pairs import FILE, FORM, Pair, Record, id_of, must_hold, pack_pairs, read

FOLDERS = ("scitldr", "SciTLDR-A", "scitldr_a.tar.xz")
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    origin = sources.find(task.name, data, FOLDERS, FILE, None, FORM)
    splits = pairs_of(origin)
    must_hold(origin, splits, task.variants[task.variant].get("counts"))
    return pack_pairs(path, task, data, origin, splits, VERSION)


def pairs_of(origin: Path) -> dict[str, list[Pair]]:
    return read(origin, pair_of)


def pair_of(record: Record) -> Pair:
    if "source" in record:
        document, references = " ".join(record["source"]), list(record["target"])
        return Pair(id_of(record, "paper_id"), document, references)
    references = record.get("references") or [record["summary"]]
    return Pair(id_of(record), record["document"], list(references))
