"""The one packed format: flat ids, offsets and labels per split, and a manifest written last.

    <data.root>/<task>/<variant>/manifest.json
    <data.root>/<task>/<variant>/{train,val,test}/{ids,offsets,labels}.npy

ids      unsigned integers, as small as the vocabulary allows, all documents end to end
offsets  int64 (examples * documents + 1,): document d of example e is
         ids[offsets[e * documents + d] : offsets[e * documents + d + 1]]
labels   uint8 (examples,)

Tasks whose answers are texts (data_prep/pairs.py) have besides
    <data.root>/<task>/<variant>/tokenizer.json
    <data.root>/<task>/<variant>/{val,test}/references.jsonl     a list of texts an example
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from lra.errors import UserError
from lra.files import replacing, sha256

SPLITS = ("train", "val", "test")
ARRAYS = ("ids", "offsets", "labels")
REFERENCES, TOKENIZER = "references.jsonl", "tokenizer.json"


class Picked(NamedTuple):
    """Rows of an array (n, length) that may not fit in memory, copied to disk a few at a time."""

    array: np.ndarray
    rows: np.ndarray


class Split(NamedTuple):
    ids: np.ndarray | Picked
    offsets: np.ndarray
    labels: np.ndarray


def split_of(documents: Iterable[np.ndarray], labels: Iterable[int], per_example: int = 1) -> Split:
    """Returns the split of documents of any length, `per_example` of them for each label."""
    documents = list(documents)
    offsets = np.zeros(len(documents) + 1, np.int64)
    np.cumsum([len(d) for d in documents], out=offsets[1:])
    labels = np.array(labels, np.uint8)
    if len(documents) != per_example * len(labels):
        raise ValueError(f"{len(documents)} documents for {len(labels)} labels")
    return Split(np.concatenate(documents), offsets, labels)


def split_of_rows(array: np.ndarray, labels: np.ndarray, index: np.ndarray) -> Split:
    """Returns the split of the rows `index` of an array of images (n, pixels)."""
    offsets = np.arange(len(index) + 1, dtype=np.int64) * array.shape[1]
    return Split(Picked(array, index), offsets, np.asarray(labels[index], np.uint8))


class Manifest(BaseModel):
    """The facts of a data set and its origin."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    task: str
    variant: str
    source: str  # "generated", or the names and sums of the files it was read from
    generator: dict[str, int | float | str] | None  # rules, version and seed, if generated
    reader: dict[str, int | float | str] | None = None  # the same, if read from files
    vocabulary: list[str]
    documents: int
    counts: dict[str, int]
    label_counts: dict[str, list[int]]
    token_percentiles: dict[str, dict[str, int]]
    baselines: dict[str, dict[str, float]]  # name -> split -> accuracy of a trivial rule
    trivial: dict[str, dict[str, dict[str, float]]] = {}  # split -> rule -> metric -> value
    tokenizer: str | None = None  # the sum of tokenizer.json
    notes: list[str] = []  # defects and duplicates that a user should know of
    sha256: dict[str, dict[str, str]]  # split -> array -> sum

    @property
    def fingerprint(self) -> str:
        """The hash of the data themselves: equal files made in another way have the same hash."""
        what: list = [self.task, self.variant, self.documents, self.vocabulary, self.sha256]
        what += [self.tokenizer] if self.tokenizer else []
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()

    @property
    def val_is_test(self) -> bool:
        return self.sha256["val"] == self.sha256["test"]

    def must_be(self, task, data, path: Path) -> None:
        """Raises UserError unless the data on disk are the ones that the configuration asks for."""
        if self.generator is not None and data.archive is not None:
            raise UserError(
                f"{path} was generated, but data.archive={data.archive} asks for files: "
                "choose another data.root, or leave data.archive out."
            )
        rules = {"seed": data.seed, **task.variants[task.variant]}
        ours: dict[str, Any] = dict(self.generator or self.reader or {})
        if not ours.get("left_out"):  # images left out as damaged lower the counts
            ours = {**ours, "counts": self.counts}
        for key, value in ours.items():
            if key in rules and rules[key] != value:
                name = "data.seed" if key == "seed" else f"task.variants.{task.variant}.{key}"
                raise UserError(
                    f"{path} was made with {name}={value}, not {rules[key]}: "
                    "choose another data.root, or that setting."
                )


def read_manifest(path: Path) -> Manifest | None:
    """Returns the manifest; None if the data set is absent or incomplete."""
    file = path / "manifest.json"
    if not file.exists():
        return None
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except (ValidationError, OSError) as error:
        raise UserError(
            f"{file} cannot be read ({type(error).__name__}): delete {path} and type the command "
            "again to make the data."
        ) from error


def pack(
    path: Path,
    splits: dict[str, Split],
    references: dict[str, list[list[str]]] | None = None,
    tokenizer: str | None = None,
    **facts,
) -> Manifest:
    """Writes the splits, then the manifest, and returns the manifest.

    references: split -> the texts that score each example. tokenizer: the content of its file.
    Data without a manifest do not count as a data set, so a process that is stopped leaves none.
    """
    (path / "manifest.json").unlink(missing_ok=True)
    sums, percentiles = {}, {}
    for name, split in splits.items():
        for array, values in zip(ARRAYS, split, strict=True):
            with replacing(path / name / f"{array}.npy") as temporary:
                _save(temporary, values)
        sums[name] = {array: sha256(path / name / f"{array}.npy") for array in ARRAYS}
        if name in (references or {}):
            with replacing(path / name / REFERENCES) as temporary:
                lines = [json.dumps(texts) + "\n" for texts in references[name]]
                temporary.write_bytes("".join(lines).encode())  # Windows would end lines otherwise
            sums[name][REFERENCES] = sha256(path / name / REFERENCES)
        lengths = np.diff(split.offsets)
        if references is None:
            percentiles[name] = percentiles_of(lengths)
        else:
            percentiles[name] = percentiles_of(lengths[0::2])
            percentiles[f"{name} targets"] = percentiles_of(lengths[1::2])
    if tokenizer is not None:
        with replacing(path / TOKENIZER) as temporary:
            temporary.write_bytes(tokenizer.encode())
        facts["tokenizer"] = sha256(path / TOKENIZER)
    num_classes = 1 + max(int(split.labels.max()) for split in splits.values())
    manifest = Manifest(
        counts={name: len(split.labels) for name, split in splits.items()},
        label_counts={
            name: np.bincount(split.labels, minlength=num_classes).tolist()
            for name, split in splits.items()
        },
        token_percentiles=percentiles,
        sha256=sums,
        **facts,
    )
    with replacing(path / "manifest.json") as temporary:
        temporary.write_text(json.dumps(manifest.model_dump(), indent=1) + "\n", encoding="utf-8")
    return manifest


def percentiles_of(lengths: np.ndarray) -> dict[str, int]:
    return {str(q): int(np.percentile(lengths, q)) for q in (0, 5, 25, 50, 75, 95, 100)}


def _save(path: Path, values: np.ndarray | Picked) -> None:
    with open(path, "wb") as file:
        if isinstance(values, np.ndarray):
            np.save(file, values)
            return
        array, index = values
        shape = (len(index) * array.shape[1],)
        header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        step = max(1, 2**24 // array.shape[1])
        for start in range(0, len(index), step):
            file.write(np.ascontiguousarray(array[index[start : start + step]]).data)


def load(path: Path, manifest: Manifest, split: str) -> Split:
    """Maps one split after checking it against the manifest's sums; raises UserError."""
    for name, expected in manifest.sha256[split].items():
        file = path / split / (name if name == REFERENCES else f"{name}.npy")
        _must_be_whole(file, expected, path)
    return Split(*(np.load(path / split / f"{a}.npy", mmap_mode="r") for a in ARRAYS))


class Texts(NamedTuple):
    """The tokenizer and the references of packed texts.

    folder: holds the tokenizer's file. references: split -> a list of texts an example, for the
    splits that texts score."""

    folder: Path
    references: dict[str, list[list[str]]]


def load_texts(path: Path, manifest: Manifest) -> Texts:
    """Returns the tokenizer's folder and the references, checked; raises UserError."""
    if manifest.tokenizer is not None:
        _must_be_whole(path / TOKENIZER, manifest.tokenizer, path)
    references = {}
    for split, sums in manifest.sha256.items():
        if REFERENCES in sums:
            file = path / split / REFERENCES
            _must_be_whole(file, sums[REFERENCES], path)
            lines = file.read_text(encoding="utf-8").splitlines()
            references[split] = [json.loads(line) for line in lines]
    return Texts(path, references)


def _must_be_whole(file: Path, expected: str | None, path: Path) -> None:
    if not file.exists() or sha256(file) != expected:
        raise UserError(
            f"{file} is not the file that its manifest describes (truncated or altered): "
            f"delete {path} and type the command again to make the data."
        )
