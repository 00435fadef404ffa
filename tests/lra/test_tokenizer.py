import json

import pytest

from lra import tokenizer
from lra.errors import UserError
from tests.conftest import original

TEXTS = [
    "The cat sat on the mat.",
    "A cat, naïve and small",
    *(
        [
            "dog",
            "house",
            "river",
            "storm",
            "water",
            "police",
            "street",
            "council",
            "flood",
            "people",
        ]
        * 2
    ),
]


def test_a_trained_one_has_bart_s_ids_and_gives_every_text_back():
    codes = tokenizer.train(TEXTS, 300)
    assert codes.get_vocab_size() == 300
    assert [codes.token_to_id(token) for token in tokenizer.SPECIAL] == [0, 1, 2, 3, 299]
    for text in ("The cat", "  two  spaces\n", "日本 naïve \x00"):
        assert codes.decode(codes.encode(text).ids) == text
    assert tokenizer.ends(codes) == (0, 2)


def test_the_same_texts_give_the_same_one():
    assert tokenizer.train(TEXTS, 300).to_str() == tokenizer.train(TEXTS, 300).to_str()


def test_a_folder_with_its_file_is_read_without_cutting_or_padding(tmp_path):
    codes = tokenizer.train(TEXTS, 300)
    codes.enable_truncation(2)
    codes.enable_padding(length=9)
    codes.save(str(tmp_path / "tokenizer.json"))
    assert len(tokenizer.load(tmp_path).encode("The cat sat on the mat.").ids) > 2
    assert len(tokenizer.load(tmp_path).encode("cat").ids) < 9


def test_bart_s_older_files_give_the_same_ids(tmp_path):
    codes = tokenizer.train(TEXTS, 300)
    stored = json.loads(codes.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(codes.get_vocab()))
    merges = "\n".join(" ".join(pair) for pair in stored["merges"])
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}\n")
    found = tokenizer.load(tmp_path)
    for text in (*TEXTS[:3], "unseen wörds"):
        assert found.encode(text).ids == codes.encode(text).ids
    assert tokenizer.digest(tmp_path) != ""


def test_a_merge_of_signs_is_not_a_comment(tmp_path):
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "#", "##"]
    (tmp_path / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(vocabulary)}))
    for header in ("#version: 0.2\n", ""):
        (tmp_path / "merges.txt").write_text(f"{header}# #\n")
        assert tokenizer.load(tmp_path).encode("##").ids == [5]


@pytest.mark.parametrize("name", tokenizer.PACKAGES)
def test_a_missing_package_is_named(monkeypatch, name):
    monkeypatch.setattr(tokenizer, "find_spec", lambda package: package != name or None)
    with pytest.raises(UserError, match=rf"need {name}: pip install -e '\.\[bart\]'"):
        tokenizer.extra()


def test_gpt2_s_files_give_bart_s_ids(archives):
    """Hello and world are known; <mask> is the last of 50,265."""
    codes = tokenizer.load(original(archives, "gpt2_bpe"))
    assert codes.encode("Hello world!").ids == [31414, 232, 328]
    assert codes.token_to_id("<mask>") == 50264
    assert codes.get_vocab_size() == 50265


def test_a_folder_without_one_and_a_damaged_one(tmp_path):
    with pytest.raises(UserError, match=r"has no tokenizer: it should hold tokenizer\.json;"):
        tokenizer.load(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="has no tokenizer that can be read"):
        tokenizer.load(tmp_path)
