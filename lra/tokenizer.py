"""Tokenizers: a byte-level BPE trained on a task's texts, or the files of a pretrained model.

Ids follow BART: <s> 0, <pad> 1, </s> 2, <unk> 3, then the tokens, then <mask>. A folder may hold
- tokenizer.json: any model of the Hugging Face Hub; data packed here; what a run of ours saves,
- vocab.json and merges.txt: BART's older form,
- encoder.json, vocab.bpe and dict.txt: GPT-2's vocabulary with fairseq's order of the ids.
"""

import hashlib
import json
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from lra.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

NAME = "tokenizer.json"
BOS, PAD, EOS, UNK, MASK = SPECIAL = "<s>", "<pad>", "</s>", "<unk>", "<mask>"
FORMS = ((NAME,), ("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe", "dict.txt"))
PACKAGES = ("tokenizers", "transformers", "rouge_score", "rouge", "nltk")


def extra() -> None:
    """Raises UserError where a package of the extra is missing: before the training that would miss
    it at its end."""
    if absent := [name for name in PACKAGES if find_spec(name) is None]:
        raise UserError(
            f"Texts and pretrained models need {', '.join(absent)}: pip install -e '.[bart]'"
        )


def train(texts: Iterable[str], size: int) -> "Tokenizer":
    """Returns a byte-level BPE of `size` ids, the same for the same texts."""
    from tokenizers import trainers

    tokenizer = _byte_level({}, [])
    trainer = trainers.BpeTrainer(
        vocab_size=size - 1,  # <mask> comes after
        special_tokens=list(SPECIAL[:4]),
        initial_alphabet=_alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([MASK])
    return tokenizer


def load(folder: Path) -> "Tokenizer":
    """Returns the tokenizer of a folder. Raises UserError where it has none, or a damaged one."""
    from tokenizers import Tokenizer

    files = _files(folder)
    try:
        if files[0].name == NAME:
            tokenizer = Tokenizer.from_file(str(files[0]))
            tokenizer.no_truncation()  # some files say how to cut and pad: the variant does
            tokenizer.no_padding()
            return tokenizer
        vocabulary = json.loads(files[0].read_text(encoding="utf-8"))
        lines = files[1].read_text(encoding="utf-8").split("\n")
        lines = lines[lines[0].startswith("#version") :]  # "# #" further down is a merge
        merges = [tuple(line.split(" ")) for line in lines if line]
        if len(files) == 3:
            vocabulary = _fairseq(vocabulary, files[2].read_text(encoding="utf-8").splitlines())
        tokenizer = _byte_level(vocabulary, merges)
    except Exception as error:  # tokenizers raises Exception itself
        raise UserError(f"{folder} has no tokenizer that can be read: {error}.") from error
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


def files(folder: Path) -> list[Path]:
    """Returns the files of a folder's tokenizer; none where it has none, or not all of them."""
    forms = ([folder / name for name in names] for names in FORMS)
    return next((form for form in forms if all(file.is_file() for file in form)), [])


def digest(folder: Path) -> str:
    """Returns the hash of a folder's tokenizer files."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in _files(folder))).hexdigest()


def ends(tokenizer: "Tokenizer") -> tuple[int, int]:
    """Returns the ids that begin and end a text."""
    for pair in ((BOS, EOS), ("[CLS]", "[SEP]")):
        first, last = map(tokenizer.token_to_id, pair)
        if first is not None and last is not None:
            return first, last
    raise UserError("The tokenizer has neither <s> and </s> nor [CLS] and [SEP].")


def _files(folder: Path) -> list[Path]:
    if found := files(folder):
        return found
    forms = "; ".join(" and ".join(names) for names in FORMS)
    raise UserError(f"{folder} has no tokenizer: it should hold {forms}.")


def _fairseq(encoder: dict[str, int], lines: list[str]) -> dict[str, int]:
    """Returns token -> id with fairseq's ids: line k of dict.txt, counted from 0, is id 4 + k."""
    tokens = {id_: token for token, id_ in encoder.items()}
    found = {token: id_ for id_, token in enumerate(SPECIAL[:4])}
    for line in lines:
        word = line.split(" ")[0]  # a GPT-2 id, or a filler word
        found[tokens[int(word)] if word.isdecimal() else word] = len(found)
    found[MASK] = len(found)
    return found


def _byte_level(vocabulary: dict[str, int], merges: list) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _alphabet() -> list[str]:
    from tokenizers import pre_tokenizers

    return sorted(pre_tokenizers.ByteLevel.alphabet())
