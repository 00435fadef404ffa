"""Pairs of texts: records of csv, parquet, json or line files, packed as (document, target).

A packed example is two sequences of ids, each from <s> to </s>: the document, cut to the variant's
seq_len, and the target, its lines joined by spaces and cut to target_len. The references that score
a split are kept as text, in references.jsonl: one list an example.
"""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from data_prep import archive, sources
from data_prep.pack import SPLITS, Manifest, pack, split_of
from lra import rouge, tokenizer
from lra.errors import UserError
from lra.machine import cores
from lra.progress import progress

# a file of one split, by its name: train.csv, test-00000-of-00001.parquet, cnn/val.source
# train.bpe.source, which fairseq's preprocessing leaves beside train.source, is not one
FILE = re.compile(
    r"(?:^|/)(train|validation|valid|val|dev|test)"
    r"(?:(?:[-_.][^/]*)?\.(csv|parquet|jsonl|json)|\.(source|target))$"
)
FORM = "train, val and test, each as .csv, .jsonl, .json, .parquet or .source and .target"
SPLIT_OF = {"validation": "val", "valid": "val", "dev": "val"}
MOST = 2**31 - 1 if sys.maxsize > 2**32 else 2**30  # characters of a field of a csv file


class Pair(NamedTuple):
    """A document and its references, of which the first is the target of training. id: '' where
    the files give none."""

    id: str
    document: str
    references: list[str]


Record = dict[str, Any]
PairOf = Callable[[Record], Pair | None]  # raises KeyError for a field that a record lacks


def read(origin: Path, pair_of: PairOf) -> dict[str, list[Pair]]:
    """Returns split -> pairs of all files of the source, in the order of their names; a pair whose
    id came before is left out. Raises UserError for a file that cannot be read."""
    found: dict[str, list[Pair]] = {split: [] for split in SPLITS}
    seen: set[tuple[str, str]] = set()
    for split, where, record in records(origin):
        pair = _pair(pair_of, record, where)
        if pair is None or (pair.id and (split, pair.id) in seen):
            continue
        seen.add((split, pair.id))
        found[split].append(pair)
    return found


def _pair(pair_of: PairOf, record: Record, where: str) -> Pair | None:
    try:
        pair = pair_of(record)
    except KeyError as error:
        raise UserError(f"{where}: no column {error}; there are {', '.join(record)}.") from error
    except (TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{where}: a field is not of the form that is expected.") from error
    if pair is None:
        return None
    if not all(isinstance(text, str) for text in (pair.document, *pair.references)):
        raise UserError(f"{where}: a text is missing, or is not a text.")
    if not pair.references:
        raise UserError(f"{where}: there is no reference.")
    for text in (pair.document, *pair.references):
        if text.startswith("b"):
            sources.must_not_be_printed(text.encode(), where)
    return pair


def records(origin: Path) -> Iterator[tuple[str, str, Record]]:
    """Yields (split, where, record) of every file whose name says its split."""
    lines: dict[str, dict[str, list[str]]] = {}
    for name, stream in archive.members(origin, FILE):
        word, kind, side = FILE.search(name).groups()
        split = SPLIT_OF.get(word, word)
        if side:
            stem = name.rpartition(".")[0]
            lines.setdefault(stem, {"split": [split]})[side] = _lines(_text(stream, name))
            continue
        with progress(f"reading {name}", 0) as advance:
            for n, record in enumerate(READERS[kind](stream, name), start=1):
                yield split, f"{name}, record {n}", record
                advance(n)
    for stem, sides in sorted(lines.items()):
        source, target = sides.get("source"), sides.get("target")
        if source is None or target is None or len(source) != len(target):
            raise UserError(f"{stem}.source and {stem}.target must both be there, line by line.")
        for n, (document, summary) in enumerate(zip(source, target, strict=True), start=1):
            yield sides["split"][0], f"{stem}, line {n}", {"document": document, "summary": summary}


def _text(stream: BinaryIO, name: str) -> str:
    try:
        return stream.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 (byte {error.start:,}).") from error


def _lines(text: str) -> list[str]:
    """Returns the lines, whose ends are line feeds alone: texts hold other separators, U+2028 for
    example, where str.splitlines would part them."""
    lines = text.split("\n")
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


def _csv(stream: BinaryIO, name: str) -> Iterator[Record]:
    csv.field_size_limit(MOST)
    rows = csv.DictReader(io.StringIO(_text(stream, name), newline=""), strict=True)
    try:
        for row in rows:
            if None in row or None in row.values():
                raise UserError(f"{name}, line {rows.line_num}: not as many fields as columns.")
            yield row
    except csv.Error as error:
        raise UserError(f"{name}, line {rows.line_num}: {error}.") from error


def _json(stream: BinaryIO, name: str) -> Iterator[Record]:
    try:
        found = json.loads(_text(stream, name))
    except ValueError as error:
        raise UserError(f"{name} is not JSON: {error}.") from error
    yield from (_record(each, name) for each in (found if isinstance(found, list) else [found]))


def _jsonl(stream: BinaryIO, name: str) -> Iterator[Record]:
    for n, line in enumerate(_lines(_text(stream, name)), start=1):
        if line.strip():
            try:
                yield _record(json.loads(line), name)
            except ValueError as error:
                raise UserError(f"{name}, line {n} is not JSON: {error}.") from error


def _record(found: Any, name: str) -> Record:
    if not isinstance(found, dict):
        raise UserError(f"{name}: a record is not a JSON object.")
    return found


def _parquet(stream: BinaryIO, name: str) -> Iterator[Record]:
    import pandas as pd

    try:
        table = pd.read_parquet(io.BytesIO(stream.read()))
    except ImportError:
        raise UserError(f"{name}: reading parquet needs pyarrow: pip install pyarrow") from None
    except Exception as error:  # pyarrow has many kinds
        raise UserError(f"{name} is not a parquet file that can be read: {error}.") from error
    yield from table.to_dict("records")


READERS: dict[str, Callable[[BinaryIO, str], Iterator[Record]]] = {
    "csv": _csv,
    "json": _json,
    "jsonl": _jsonl,
    "parquet": _parquet,
}


def id_of(record: Record, key: str = "id") -> str:
    """Returns a record's id; '' where it has none, in any of the ways that files say so."""
    found = record.get(key)
    return "" if found is None or found != found else str(found)  # NaN is not itself


def make_pairs(
    task,
    data,
    path: Path,
    *,
    folders: Sequence[str],
    pairs_of: Callable[[Path], dict[str, list[Pair]]],
    version: int,
    files: re.Pattern = FILE,
    form: str = FORM,
) -> Manifest:
    """Finds the files of a task, reads their pairs, checks the counts, and packs them.

    folders: the names below LRA_ARCHIVES. pairs_of: reads split -> pairs from the source. version:
    raised where the same files give other data. files, form: the members wanted, and in words.
    """
    origin = sources.find(task.name, data, folders, files, None, form)
    splits = pairs_of(origin)
    must_hold(origin, splits, task.variants[task.variant].get("counts"))
    return pack_pairs(path, task, data, splits, sources.describe(origin, files), version)


def must_hold(origin: Path, splits: dict[str, list[Pair]], counts) -> None:
    """Raises UserError unless every split has pairs, as many as the variant says, if it does."""
    for split, pairs in splits.items():
        if not pairs:
            raise UserError(
                f"{origin} has no pairs for {split}: a file's name must say its split "
                "(train.csv, val.jsonl, test.parquet ...)."
            )
    if counts:
        found = {split: len(pairs) for split, pairs in splits.items()}
        sources.must_hold(origin, found, counts, "the data set")


def pack_pairs(
    path: Path, task, data, splits: dict[str, list[Pair]], source: str, version: int
) -> Manifest:
    """Tokenises and packs the splits. task.tokenizer names a folder with a tokenizer; null trains
    one of the variant's vocab_size on the training split."""
    rules = task.variants[task.variant]
    codes = tokenizer_of(task, (t for p in splits["train"] for t in (p.document, p.references[0])))
    first, last = tokenizer.ends(codes)
    packed, notes = {}, []
    limits = {"documents": rules.seq_len, "targets": rules.target_len}
    for name, pairs in splits.items():
        documents = encoded(codes, [pair.document for pair in pairs])
        targets = encoded(codes, [" ".join(lines(pair.references[0])) for pair in pairs])
        cut, sequences = dict.fromkeys(limits, 0), []
        for pair in zip(documents, targets, strict=True):
            for ids, (what, limit) in zip(pair, limits.items(), strict=True):
                cut[what] += len(ids) > limit - 2
                sequences.append(framed(ids, first, last, limit))
        packed[name] = split_of(sequences, [0] * len(pairs), per_example=2)
        notes += [
            f"{name}: {cut[what] / len(pairs):.1%} of the {what} are cut at {limit} tokens"
            for what, limit in limits.items()
        ]
    keys = {name: {pair.document for pair in pairs} for name, pairs in splits.items()}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        notes.append(f"{len(keys[a] & keys[b])} documents of {b} are also in {a}")
    return pack(
        path,
        packed,
        references={name: [pair.references for pair in splits[name]] for name in ("val", "test")},
        tokenizer=codes.to_str(),
        task=task.name,
        variant=task.variant,
        source=source,
        generator=None,
        reader={
            "version": version,
            "seq_len": rules.seq_len,
            "target_len": rules.target_len,
            **trained_size(task),
        },
        vocabulary=[],
        documents=2,
        baselines={},
        trivial={"test": trivial(splits["test"], data)},
        notes=notes,
    )


def tokenizer_of(task, texts: Iterable[str]):
    """Returns the tokenizer that the task names, else one trained on the texts."""
    tokenizer.extra()
    if task.tokenizer is not None:
        return tokenizer.load(Path(task.tokenizer))
    return tokenizer.train(texts, task.variants[task.variant].vocab_size)


def trained_size(task) -> dict[str, int]:
    """Returns the rule that a tokenizer trained on the task's texts follows; none follows from one
    that is given."""
    return {} if task.tokenizer else {"vocab_size": task.variants[task.variant].vocab_size}


def encoded(codes, texts: list[str]) -> Iterator[list[int]]:
    """Yields the ids of each text, some texts at a time: the library's results are large. A text
    that holds "</s>" has its letters, not the id that ends a text."""
    codes.encode_special_tokens = True
    for start in range(0, len(texts), 1000):
        some = codes.encode_batch(texts[start : start + 1000], add_special_tokens=False)
        yield from (each.ids for each in some)


def framed(ids: list[int], first: int, last: int, limit: int) -> np.ndarray:
    """Returns a sequence from its first to its last id, cut to `limit` ids, of two bytes each where
    the vocabulary allows."""
    whole = [first, *ids[: limit - 2], last]
    return np.array(whole, np.uint16 if max(whole) < 2**16 else np.uint32)


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def trivial(pairs: list[Pair], data) -> dict[str, dict[str, float]]:
    """Returns rule -> metric -> mean over the pairs, of summaries that need no model."""
    rng = np.random.default_rng(data.seed)
    texts = [rouge.sentences(pair.document) or [""] for pair in pairs]
    rules = {
        "lead-1": [each[:1] for each in texts],
        "lead-3": [each[:3] for each in texts],
        "three longest sentences": [_longest(each) for each in texts],
        "a random sentence": [[each[rng.integers(len(each))]] for each in texts],
    }
    hypotheses = ["\n".join(chosen) for rule in rules.values() for chosen in rule]
    references = [pair.references for _ in rules for pair in pairs]
    found = score(hypotheses, references, data.processes or cores())
    by_rule = {metric: values.reshape(len(rules), -1).mean(1) for metric, values in found.items()}
    return {
        rule: {metric: round(float(means[i]), 4) for metric, means in by_rule.items()}
        for i, rule in enumerate(rules)
    }


def score(hypotheses: list[str], references: list[list[str]], processes: int):
    """Returns rouge.scores, computed by several processes where there is much to do."""
    size = max(500, -(-len(hypotheses) // (8 * processes)))
    starts = range(0, len(hypotheses), size)
    if processes == 1 or len(starts) == 1:
        return rouge.scores(hypotheses, references)
    parts = Parallel(n_jobs=processes)(
        delayed(rouge.scores)(hypotheses[s : s + size], references[s : s + size]) for s in starts
    )
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in rouge.NAMES}


def _longest(sentences: list[str]) -> list[str]:
    order = sorted(range(len(sentences)), key=lambda i: (-len(sentences[i]), i))[:3]
    return [sentences[i] for i in sorted(order)]
