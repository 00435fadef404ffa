"""The tasks that differ in their records alone: SciTLDR, ECTSum, SQuALITY."""

import json

import pytest

import data_prep
from data_prep.tasks import ectsum, scitldr, squality
from lra import config
from tests.conftest import original


def test_scitldr_reads_the_authors_form_and_ours():
    theirs = {"paper_id": "p", "source": ["One.", "Two."], "target": ["a", "b"]}
    ours = {"id": "p", "document": "One. Two.", "summary": "a", "references": ["a", "b"]}
    assert scitldr.pair_of(theirs) == scitldr.pair_of(ours) == ("p", "One. Two.", ["a", "b"])


def test_ectsum_keeps_a_bullet_a_line():
    record = {"id": "c", "document": "d", "summary": "one.\ntwo."}
    assert ectsum.pair_of(record) == ("c", "d", ["one.\ntwo."])


def test_squality_trains_on_each_answer(tmp_path):
    for split in ("train", "dev", "test"):
        lines = [
            json.dumps(
                {
                    "id": f"{split}{n}",
                    "question": "Who?",
                    "document": f"A story of {split} {n}.",
                    "summary": "a",
                    "references": ["a", "b", "c", "d"],
                }
            )
            for n in range(2)
        ]
        (tmp_path / f"{split}.jsonl").write_text("\n".join(lines))
    counts = "task.variants.stories_1024.counts={train:8,val:2,test:2}"
    words = ["task=squality", f"data.archive={tmp_path}", f"data.root={tmp_path}", counts]
    cfg = config.compose([*words, "task.variants.stories_1024.vocab_size=300"])
    manifest = squality.make(cfg.task, cfg.data, tmp_path / "packed")
    assert manifest.counts == {"train": 8, "val": 2, "test": 2}
    assert "0 documents of test are also in train" in manifest.notes


@pytest.mark.parametrize("task", ["scitldr", "ectsum", "squality"])
def test_the_official_splits(task, archives, tmp_path):
    cfg = config.compose([f"task={task}"])
    found = data_prep.maker(cfg.task).pairs_of(original(archives, task))
    counts = cfg.task.variants[cfg.task.variant].counts
    assert {split: len(each) for split, each in found.items()} == counts
