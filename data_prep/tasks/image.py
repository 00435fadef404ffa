"""Image: CIFAR-10 (Krizhevsky 2009) as a sequence of 1,024 grey pixels, row by row.

Reads the official python archive or the binary one. The python archive holds pickles, which are
read by an unpickler that can build nothing but arrays and plain types. Colours become grey as in
LRA's loader (tf.image):
    floor(255.5 * (0.2989 R + 0.5870 G + 0.1140 B) / 255)
Ids are the grey values 0-255. LRA trains on the first 90 % of TensorFlow Datasets' order; here val
is 5,000 images of the original training set, drawn by data.seed.
"""

import io
import pickle
import re
from pathlib import Path

import numpy as np

from data_prep import archive, sources
from data_prep.baselines import baselines
from data_prep.download import Download
from data_prep.pack import Manifest, pack, split_of_rows
from lra.errors import UserError

FOLDERS = (
    "image",
    "cifar10",
    "cifar-10-batches-py",
    "cifar-10-batches-bin",
    "cifar-10-python.tar.gz",
)
ORIGINAL = Download(
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    name="cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
)
BATCH = re.compile(r"(?:^|/)(data_batch_[1-5]|test_batch)(\.bin)?$")
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
GREY = np.float32([0.2989, 0.5870, 0.1140])
VALUES = [str(value) for value in range(256)]  # the vocabulary of every pixel task
VERSION = 1  # raise it when the same files give other data


def make(task, data, path: Path) -> Manifest:
    rules = task.variants[task.variant]
    origin = sources.find(task.name, data, FOLDERS, BATCH, ORIGINAL)
    batches = read(origin)
    pixels = np.concatenate([grey(batches[name][0]) for name in BATCHES])
    labels = np.concatenate([batches[name][1] for name in BATCHES])
    test = len(batches["test_batch"][1])
    train = len(labels) - test
    order = np.random.default_rng(data.seed).permutation(train)
    index = {
        "train": np.sort(order[rules.counts.val :]),
        "val": np.sort(order[: rules.counts.val]),
        "test": np.arange(train, train + test),
    }
    found = {name: len(chosen) for name, chosen in index.items()}
    sources.must_hold(origin, found, rules.counts, ORIGINAL.name)
    splits = {name: split_of_rows(pixels, labels, chosen) for name, chosen in index.items()}
    return pack(
        path,
        splits,
        task=task.name,
        variant=task.variant,
        source=sources.describe(origin, BATCH),
        generator=None,
        reader={"version": VERSION, "seed": data.seed},
        vocabulary=VALUES,
        documents=1,
        baselines=baselines(splits, 1, "bag of pixels"),
    )


def grey(colours: np.ndarray) -> np.ndarray:
    """Returns the grey values (n, 1024) uint8 of colours (n, 3072) uint8, in planes R, G, B."""
    planes = colours.reshape(len(colours), 3, 1024).astype(np.float32) / np.float32(255)
    return (np.einsum("c,ncp->np", GREY, planes) * np.float32(255.5)).astype(np.uint8)


def read(origin: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns batch name -> (colours (n, 3072), labels (n,))."""
    batches = {}
    for name, stream in archive.members(origin, BATCH):
        batch, binary = BATCH.search(name).groups()
        parse = parse_binary if binary else parse_pickle
        try:
            colours, labels = parse(stream.read())
        except Exception as error:  # damaged bytes make an unpickler raise nearly anything
            raise UserError(f"{origin}: {name} is not a CIFAR-10 batch ({error}).") from error
        if len(labels) and labels.max() > 9:
            row = int((labels > 9).argmax())
            raise UserError(f"{origin}: {name}, image {row} has label {labels[row]}, above 9.")
        sources.put(batches, batch, (colours, labels), name, origin)
    absent = [name for name in BATCHES if name not in batches]
    if absent:
        raise UserError(f"{origin} does not hold {', '.join(absent)}: {archive.bring()}")
    return batches


def parse_binary(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    rows = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    return rows[:, 1:], rows[:, 0]


def parse_pickle(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    if not isinstance(batch, dict):
        raise ValueError("not a dict")
    batch = {key.decode() if isinstance(key, bytes) else key: batch[key] for key in batch}
    colours, labels = (
        part.array if isinstance(part, _Array) else part
        for part in (batch["data"], batch["labels"])
    )
    labels = np.array(labels)
    if getattr(colours, "dtype", None) != np.uint8 or colours.shape != (len(labels), 3072):
        raise ValueError("'data' is not (n, 3072) uint8 with a label for each row")
    if labels.dtype.kind not in "iu" or (len(labels) and labels.min() < 0):
        raise ValueError("'labels' are not whole numbers from 0 to 9")
    return colours, labels


class PlainUnpickler(pickle.Unpickler):
    """Builds arrays of numbers, lists, dicts, bytes, str and numbers; anything else is an error."""

    def find_class(self, module: str, name: str):
        module = module.replace("numpy._core", "numpy.core")
        allowed = {
            ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
            ("numpy.core.multiarray", "scalar"): _number,
            ("numpy.core.numeric", "_frombuffer"): _from_buffer,  # pickle's protocol 5
            ("numpy", "ndarray"): None,  # an argument of _reconstruct, never called
            ("numpy", "dtype"): _Type,
            ("_codecs", "encode"): _latin1,
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return allowed[module, name]


class _Type:
    """Stands for a numpy dtype of numbers; only the byte order of its pickled state is used."""

    def __init__(self, name, *_):
        self.dtype = np.dtype(name.decode() if isinstance(name, bytes) else name)
        if self.dtype.kind not in "iuf":
            raise pickle.UnpicklingError(f"an array of {self.dtype}")

    def __setstate__(self, state) -> None:
        self.dtype = self.dtype.newbyteorder(
            state[1].decode() if isinstance(state[1], bytes) else state[1]
        )


class _Array:
    """Stands for a numpy array, made from its pickled shape, type and bytes."""

    array: np.ndarray | None = None

    def __setstate__(self, state) -> None:
        _, shape, kind, fortran, content = state
        if not isinstance(kind, _Type) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array of something else than numbers")
        order = "F" if fortran else "C"
        self.array = np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _from_buffer(content, kind, shape, order) -> "_Array":
    array = _Array()
    array.__setstate__((1, shape, kind, order == "F", bytes(content)))
    return array


def _number(kind, content):
    if not isinstance(kind, _Type) or not isinstance(content, bytes):
        raise pickle.UnpicklingError("a number of an unknown type")
    return np.frombuffer(content, kind.dtype)[0]


def _latin1(text, encoding) -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("an encoding other than latin1")
    return text.encode("latin1")
