import csv
import hashlib
import json

import numpy as np
import pytest

from data_prep import pairs
from data_prep.pack import load, load_texts, read_manifest
from data_prep.tasks import cnn_dailymail
from lra import config, tokenizer
from lra.errors import UserError

WORDS = [
    "storm",
    "rain",
    "wind",
    "city",
    "river",
    "flood",
    "police",
    "people",
    "council",
    "water",
    "houses",
    "street",
]
COUNTS = {"train": 14, "val": 3, "test": 3}
SPLITS = {"train": slice(14), "val": slice(14, 17), "test": slice(17, 20)}
URLS = [f"http://news.example/{n}" for n in range(20)]


def articles() -> list[dict[str, str]]:
    """Twenty articles as Hugging Face has them, one with quotes, commas and another script."""
    rng = np.random.default_rng(0)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS, 6)).capitalize()

    found = [
        {
            "id": hashlib.sha1(url.encode()).hexdigest(),
            "article": ". ".join(sentence() for _ in range(5)) + ".",
            "highlights": f"{sentence()} .\n{sentence()} .",
        }
        for url in URLS
    ]
    found[0]["article"] = 'He said "no, never". Naïve – 日本, and 3.5 % more.'
    return found


def write_csv(folder, columns, number=False):
    for split, part in SPLITS.items():
        name = {"val": "validation"}.get(split, split)
        with open(folder / f"{name}.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow([*([""] if number else []), *columns])
            for n, article in enumerate(articles()[part]):
                rows.writerow([*([n] if number else []), *(article[c] for c in columns)])


def write_parquet(folder):
    pytest.importorskip("pyarrow", reason="pip install pyarrow")
    import pandas as pd

    for split, part in SPLITS.items():
        halves = np.array_split(np.arange(20)[part], 2)
        for n, half in enumerate(halves):
            rows = [articles()[i] for i in half]
            pd.DataFrame(rows).to_parquet(folder / f"{split}-0000{n}-of-00002-abc.parquet")


def write_jsonl(folder):
    for split, part in SPLITS.items():
        lines = [
            json.dumps({"id": a["id"], "document": a["article"], "summary": a["highlights"]})
            for a in articles()[part]
        ]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))


def write_stories(folder):
    (folder / "cnn").mkdir()
    for split, part in SPLITS.items():
        (folder / f"all_{split}.txt").write_text("\n".join(URLS[part]) + "\n")
    for article in articles():
        paragraphs = article["article"].replace(". ", ".\n\n", 1)
        highlights = "".join(
            f"\n\n@highlight\n\n{line}" for line in article["highlights"].split("\n")
        )
        (folder / f"cnn/{article['id']}.story").write_text(paragraphs + highlights)


def write_lines(folder):
    for split, part in SPLITS.items():
        chosen = articles()[part]
        for kind, key in (("source", "article"), ("target", "highlights")):
            lines = [article[key].replace("\n", " ") for article in chosen]
            (folder / f"{split}.{kind}").write_text("\n".join(lines) + "\n")


FORMS = {
    "csv": lambda folder: write_csv(folder, ["article", "highlights", "id"]),
    "csv, other order": lambda folder: write_csv(folder, ["id", "article", "highlights"], True),
    "parquet": write_parquet,
    "jsonl": write_jsonl,
    "stories": write_stories,
}


def composed(*words: str):
    return config.compose(
        [
            "task=cnn_dailymail",
            "task.variant=sample",
            "task.variants.sample.vocab_size=300",
            "data.processes=1",
            *words,
        ]
    )


def made(folder, root, *words: str):
    cfg = composed(f"data.archive={folder}", f"data.root={root}", *words)
    path = root / "packed"
    return cnn_dailymail.make(cfg.task, cfg.data, path), path


def read(folder):
    if any(folder.rglob("*.story")):
        return cnn_dailymail.read_stories(folder)
    return pairs.read(folder, cnn_dailymail.pair_of)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_pairs(tmp_path, form):
    FORMS[form](tmp_path)
    found = read(tmp_path)
    assert {split: len(each) for split, each in found.items()} == COUNTS
    for split, part in SPLITS.items():
        for pair, article in zip(found[split], articles()[part], strict=True):
            assert pair.id == article["id"]
            assert pair.document == article["article"]
            assert pair.references == [article["highlights"]]


def test_lines_give_them_without_ids_and_in_one_line(tmp_path):
    write_lines(tmp_path)
    found = read(tmp_path)
    for split, part in SPLITS.items():
        for pair, article in zip(found[split], articles()[part], strict=True):
            assert pair == ("", article["article"], [article["highlights"].replace("\n", " ")])


def test_packed_they_are_ids_from_first_to_last_and_texts(tmp_path):
    write_jsonl(tmp_path)
    manifest, path = made(tmp_path, tmp_path)
    assert manifest.counts == COUNTS
    assert manifest == read_manifest(path)
    codes = tokenizer.load(path)
    assert codes.get_vocab_size() == 300
    for split, part in SPLITS.items():
        ids, offsets, labels = load(path, manifest, split)
        assert ids.dtype == np.uint16
        sequences = [ids[a:b].tolist() for a, b in zip(offsets, offsets[1:], strict=False)]
        assert len(sequences) == 2 * len(labels)
        for n, article in enumerate(articles()[part]):
            document, target = sequences[2 * n : 2 * n + 2]
            assert (document[0], document[-1], target[0], target[-1]) == (0, 2, 0, 2)
            assert codes.decode(document) == article["article"]
            assert codes.decode(target) == article["highlights"].replace("\n", " ")
        texts = [[article["highlights"]] for article in articles()[part]]
        assert load_texts(path, manifest).references.get(split, texts) == texts
    assert load_texts(path, manifest).references.keys() == {"val", "test"}
    (path / "test/references.jsonl").write_text("[]")
    with pytest.raises(UserError, match="references.jsonl is not the file that its manifest"):
        load_texts(path, manifest)
    assert any("documents of test are also in train" in note for note in manifest.notes)


def test_signs_of_the_tokenizer_in_a_text_are_letters(tmp_path):
    write_jsonl(tmp_path)
    record = {"id": "x", "article": "A </s> and a <mask> here.", "highlights": "One <s> ."}
    with open(tmp_path / "train.jsonl", "a") as file:
        file.write("\n" + json.dumps(record))
    manifest, path = made(tmp_path, tmp_path)
    ids, offsets, _ = load(path, manifest, "train")
    document = ids[offsets[-3] : offsets[-2]].tolist()
    assert document.count(2) == 1
    codes = tokenizer.load(path)
    assert codes.decode(document[1:-1], skip_special_tokens=False) == record["article"]


def test_long_ones_are_cut_and_the_manifest_says_so(tmp_path):
    write_jsonl(tmp_path)
    manifest, path = made(
        tmp_path, tmp_path, "task.variants.sample.seq_len=20", "task.variants.sample.target_len=9"
    )
    ids, offsets, _ = load(path, manifest, "train")
    assert np.diff(offsets)[0::2].max() == 20
    assert np.diff(offsets)[1::2].max() == 9
    assert (ids[offsets[1:] - 1] == 2).all()
    assert "train: 100.0% of the documents are cut at 20 tokens" in manifest.notes
    assert manifest.token_percentiles["train targets"]["100"] == 9


def test_another_tokenizer_gives_other_data(tmp_path):
    write_jsonl(tmp_path)
    one, path = made(tmp_path, tmp_path / "a")
    other = tokenizer.train(["other words"], 300)
    (tmp_path / "codes").mkdir()
    other.save(str(tmp_path / "codes/tokenizer.json"))
    two, _ = made(tmp_path, tmp_path / "b", f"task.tokenizer={tmp_path / 'codes'}")
    again, _ = made(tmp_path, tmp_path / "c", f"task.tokenizer={path}")
    assert len({one.fingerprint, two.fingerprint}) == 2
    assert one.fingerprint == again.fingerprint
    assert one.tokenizer == tokenizer.digest(path)


def test_trivial_summaries_are_scored(tmp_path):
    write_jsonl(tmp_path)
    manifest, _ = made(tmp_path, tmp_path)
    rules = manifest.trivial["test"]
    assert list(rules) == ["lead-1", "lead-3", "three longest sentences", "a random sentence"]
    article = articles()[17:]
    leads = ["\n".join(a["article"].split(". ")[:1]) for a in article]
    from lra import rouge

    expected = rouge.scores(leads, [[a["highlights"]] for a in article])["ROUGE-1"].mean()
    assert rules["lead-1"]["ROUGE-1"] == pytest.approx(expected, abs=1e-3)


def test_several_processes_score_as_one():
    texts = [f"the {word} and a dog" for word in WORDS] * 45
    references = [["the dog and a storm"]] * len(texts)
    one, two = (pairs.score(texts, references, n) for n in (1, 2))
    assert all(np.array_equal(one[metric], two[metric]) for metric in one)


BAD = {
    "train.csv": [
        (b"id,article\n1,a\n", "no column 'highlights'"),
        (b"article,highlights\na\n", "line 2: not as many fields as columns"),
        (b"article,highlights\n\xff,b\n", "is not UTF-8 (byte 19)"),
        (b'article,highlights\n"a,b\n', "unexpected end of data"),
        (b"article,highlights\nb'so',b\n", "record 1: the text is a printed bytes literal (b'so'"),
    ],
    "train.jsonl": [
        (b"{\n", "train.jsonl, line 1 is not JSON"),
        (b"[1]\n", "a record is not a JSON object"),
        (b'{"article": 3, "highlights": "b"}\n', "a field is not of the form"),
        (b'{"article": "a", "highlights": null}\n', "a field is not of the form"),
    ],
    "train.json": [(b"nothing", "train.json is not JSON")],
    "train.parquet": [(b"PAR1", "train.parquet")],
    "train.source": [(b"a\nb\n", "must both be there, line by line")],
}


@pytest.mark.parametrize(
    "name, content, said", [(name, *case) for name, cases in BAD.items() for case in cases]
)
def test_hostile_files_end_in_a_sentence(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "train.target").write_bytes(b"a\n") if name.endswith("source") else None
    with pytest.raises(UserError) as error:
        read(tmp_path)
    assert said in str(error.value)


def test_a_split_that_is_missing_is_named(tmp_path):
    write_jsonl(tmp_path)
    (tmp_path / "val.jsonl").unlink()
    with pytest.raises(UserError, match="has no pairs for val: a file's name must say its split"):
        made(tmp_path, tmp_path)


def test_official_counts_are_checked(tmp_path):
    write_jsonl(tmp_path)
    with pytest.raises(UserError, match="gives 14 examples for train, not 287,113"):
        made(tmp_path, tmp_path, "task.variant=full")


def test_stories_that_the_lists_name_must_be_there(tmp_path):
    write_stories(tmp_path)
    next(tmp_path.glob("cnn/*.story")).unlink()
    with pytest.raises(UserError, match="lacks 1 stories of its url lists"):
        made(tmp_path, tmp_path)


@pytest.mark.parametrize("absent", [None, float("nan"), ""])
def test_pairs_without_an_id_are_all_kept(absent):
    assert pairs.id_of({"id": absent}) == pairs.id_of({}) == ""
    assert pairs.id_of({"id": 7}) == "7"


def test_a_line_ends_with_a_line_feed_alone(tmp_path):
    for split in SPLITS:
        (tmp_path / f"{split}.source").write_text("one\u2028line\r\ntwo\x0clines\n")
        (tmp_path / f"{split}.target").write_text("a\x85b\nc\n", newline="")
        (tmp_path / f"{split}.bpe.source").write_text("318 32\n11 5\n")  # fairseq leaves these
        (tmp_path / f"{split}.bpe.target").write_text("318\n11\n")
    found = read(tmp_path)["train"]
    assert [pair.references for pair in found] == [["a\x85b"], ["c"]]
    assert [" ".join(pair.document.split()) for pair in found] == ["one line", "two lines"]


def test_stories_without_url_lists_are_explained(tmp_path):
    write_stories(tmp_path)
    for path in tmp_path.glob("all_*.txt"):
        path.unlink()
    with pytest.raises(UserError, match="has stories and no url lists: put all_train.txt"):
        made(tmp_path, tmp_path)


def test_a_pair_that_two_files_hold_counts_once(tmp_path):
    write_jsonl(tmp_path)
    (tmp_path / "train_more.jsonl").write_bytes((tmp_path / "train.jsonl").read_bytes())
    assert len(read(tmp_path)["train"]) == COUNTS["train"]
