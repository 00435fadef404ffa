import json

import pytest

from data_prep.tasks import eli5
from lra.errors import UserError
from tests.conftest import original


def test_the_three_forms_give_question_and_answers_best_first():
    ours = eli5.pair_of({"id": "a", "question": "Why?", "document": "Since.", "answer": "So."})
    assert ours == ("a", "Why? Since.", ["So."])
    kilt = {
        "id": "b",
        "input": "Why?",
        "output": [
            {"answer": "low", "meta": {"score": 2}},
            {"answer": "high", "meta": {"score": 9}},
            {"provenance": []},
        ],
    }
    assert eli5.pair_of(kilt) == ("b", "Why?", ["high", "low"])
    hub = {"title": "Why?", "answers": {"text": ["low", "high"], "score": [1, 5]}}
    assert eli5.pair_of(hub) == ("", "Why?", ["high", "low"])
    assert eli5.pair_of({"input": "Why?", "output": [{"provenance": []}]}) is None


def test_the_authors_examples(archives):
    found = eli5.read_examples(original(archives, "eli5"))
    assert {split: len(each) for split, each in found.items()} == {"train": 6, "val": 2, "test": 2}
    assert all(pair.document.count(" ") > 100 for pair in found["train"])


def test_too_few_examples_are_refused(tmp_path):
    record = {"question": "q", "document": "d", "answer": "a"}
    (tmp_path / "examples_qda_short.json").write_text(json.dumps([record] * 7))
    with pytest.raises(UserError, match="has 7 of the ten examples"):
        eli5.read_examples(tmp_path)
