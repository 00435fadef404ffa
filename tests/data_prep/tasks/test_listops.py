"""ListOps, generated and imported.

Distribution checks compare 20,000 generated expressions (seed 0) with the official generator's
sample of 6,000. Each is a two-sample test; a check fails below p = 0.01 after Holm's correction
over all of them.
"""

import itertools
import re

import numpy as np
import pytest
from scipy import stats

import data_prep
from data_prep import archive, pack
from data_prep.tasks import listops
from lra import config
from lra.errors import UserError
from tests.oracles import listops as oracle

TOKENS = listops.VOCABULARY
SAMPLE_FILES = ("basic_train.tsv", "basic_val.tsv", "basic_test.tsv")


def rules(variant="standard", **counts):
    cfg = config.compose([f"task.variant={variant}"])
    chosen = cfg.task.variants[variant]
    chosen.counts = counts
    return chosen


def expressions(split):
    for i, label in enumerate(split.labels):
        ids = split.ids[split.offsets[i] : split.offsets[i + 1]]
        yield [TOKENS[t] for t in ids], int(label)


@pytest.fixture(scope="module")
def generated():
    return listops.generate(rules(train=2000, val=100, test=100), seed=0)


def test_labels_agree_with_an_independent_evaluator(generated):
    for split in generated.values():
        for tokens, label in expressions(split):
            assert oracle.value(tokens) == label


@pytest.mark.parametrize("variant", ["standard", "short"])
def test_follows_the_rules(variant):
    chosen = rules(variant, train=500, val=10, test=10)
    for split in listops.generate(chosen, seed=3).values():
        for tokens, _ in expressions(split):
            depth, arguments, _ = oracle.shape(tokens)
            assert chosen.min_tokens <= len(tokens) <= chosen.max_tokens
            assert depth < chosen.max_depth
            assert min(arguments) >= 2
            assert max(arguments) <= 10


def test_short_expressions_are_short():
    chosen = rules("short", train=1, val=1, test=1)
    assert (chosen.min_tokens, chosen.max_tokens, chosen.max_depth) == (5, 60, 5)  # operators <= 4


@pytest.mark.parametrize("variant", ["standard", "short"])
def test_no_example_twice_within_or_across_splits(variant):
    splits = listops.generate(rules(variant, train=3000, val=300, test=300), seed=0)
    texts = [" ".join(tokens) for split in splits.values() for tokens, _ in expressions(split)]
    assert len(texts) == 3600 == len(set(texts))


def test_is_a_function_of_the_seed_whatever_the_number_of_processes():
    def make(seed, processes):
        return listops.generate(rules(train=1200, val=50, test=50), seed, processes)

    one, three, other = make(5, 1), make(5, 3), make(6, 1)
    for name in pack.SPLITS:
        for a, b in zip(one[name], three[name], strict=True):
            assert np.array_equal(a, b)
    assert not np.array_equal(one["train"].ids[:500], other["train"].ids[:500])


@pytest.mark.parametrize(
    "text, value",
    [
        ("[MED 1 2 ]", 1),  # (1 + 2) / 2, truncated
        ("[MED 9 8 0 ]", 8),
        ("[SM 9 8 7 ]", 4),
        ("[MIN 4 [MAX 2 9 ] 5 ]", 4),
        ("[SM [MIN 1 2 ] [MED 5 5 6 7 ] ]", 6),
        ("7", 7),
    ],
)
def test_evaluates(text, value):
    ids = np.array([TOKENS.index(token) for token in text.split()], np.uint8)
    assert listops.evaluate(ids) == value == oracle.value(text.split())


@pytest.mark.parametrize("text", ["[MIN ]", "] 1", "1 2", "[MIN 1", "[MIN 1 ] ]", "1 ]"])
def test_what_is_not_well_formed_has_no_value(text):
    ids = np.array([TOKENS.index(token) for token in text.split()], np.uint8)
    assert listops.evaluate(ids) == -1


def test_the_vocabulary_is_the_documented_one():
    assert [*map(str, range(10)), "[MIN", "[MAX", "[MED", "[SM", "]"] == TOKENS


ROW = b"( ( ( [MIN 4 ) ( ( ( [SM 2 ) 9 ) ] ) ) ] )\t1"


def test_reads_the_official_format():
    split = listops.parse_tsv("basic_val.tsv", b"Source\tTarget\r\n" + ROW + b"\r\n")
    assert list(expressions(split)) == [(["[MIN", "4", "[SM", "2", "9", "]", "]"], 1)]


def test_a_byte_order_mark_and_empty_last_lines_do_no_harm():
    plain = b"Source\tTarget\r\n" + ROW + b"\r\n"
    expected = list(expressions(listops.parse_tsv("basic_val.tsv", plain)))
    for content in (b"\xef\xbb\xbf" + plain, plain + b"\r\n", plain + b" \n\n"):
        assert list(expressions(listops.parse_tsv("basic_val.tsv", content))) == expected


@pytest.mark.parametrize(
    "content, where",
    [
        (ROW + b"\n", "line 1.*header"),
        (b"Source\tTarget\n\n" + ROW, "line 2 is empty, and others follow"),
        (b"Source\tTarget\r\n", "no examples"),
        (b"", "no examples|header"),
        (b"Source\tTarget\r\n" + ROW + b"\r\n[MIN 1 2 ]\t2\r\n", "line 3"),  # a wrong label
        (b"Source\tTarget\r\n[MIN 1 2 ]\r\n", "line 2"),  # a missing column
        (b"Source\tTarget\r\n[MEAN 1 2 ]\t1\r\n", "line 2"),  # an unknown token
        (b"Source\tTarget\r\n[MIN 1 2 ]\tone\r\n", "line 2"),
        (b"<html>not found</html>", "line 1|no examples"),
    ],
)
def test_a_bad_file_is_named_with_its_line(content, where):
    with pytest.raises(UserError, match=f"basic_val.tsv.*({where})"):
        listops.parse_tsv("basic_val.tsv", content)


def tsv(split) -> bytes:
    rows = [f"{' '.join(tokens)}\t{label}" for tokens, label in expressions(split)]
    return "\r\n".join(["Source\tTarget", *rows, ""]).encode()


def test_an_archive_instead_of_the_generator(generated, tmp_path):
    for name in pack.SPLITS:
        (tmp_path / f"basic_{name}.tsv").write_bytes(tsv(generated[name]))
    cfg = config.compose([f"data.root={tmp_path / 'data'}", f"data.archive={tmp_path}"])
    with pytest.raises(UserError, match="bring the whole of the release, or choose"):
        data_prep.prepare(cfg.task, cfg.data)
    cfg.task.variants.standard.counts = {n: len(s.labels) for n, s in generated.items()}
    manifest = data_prep.prepare(cfg.task, cfg.data)
    assert manifest.source == f"folder {tmp_path.name}"
    assert manifest.generator is None
    split = pack.load(data_prep.folder(cfg.task, cfg.data), manifest, "val")
    for ours, theirs in zip(split, generated["val"], strict=True):
        assert np.array_equal(ours, theirs)


def test_an_incomplete_archive_names_what_it_lacks(tmp_path):
    (tmp_path / "basic_train.tsv").write_bytes(b"Source\tTarget\r\n" + ROW)
    cfg = config.compose([f"data.root={tmp_path / 'data'}", f"data.archive={tmp_path}"])
    with pytest.raises(UserError, match=r"basic_val.tsv, basic_test.tsv"):
        data_prep.prepare(cfg.task, cfg.data)


def test_the_sample_says_what_to_bring(tmp_path, monkeypatch):
    monkeypatch.delenv("LRA_ARCHIVES", raising=False)
    cfg = config.compose([f"data.root={tmp_path}", "task.variant=sample"])
    with pytest.raises(UserError, match="data.archive=PATH"):
        data_prep.prepare(cfg.task, cfg.data)


def test_baselines_are_what_a_trivial_rule_scores(generated):
    """Counts the scores again, example by example."""
    scores = listops.baselines(generated)
    examples = {name: list(expressions(split)) for name, split in generated.items()}

    def accuracy(key):
        seen = {}
        for tokens, label in examples["train"]:
            seen.setdefault(key(tokens), []).append(label)
        guess = {k: min(v, key=lambda c: (-v.count(c), c)) for k, v in seen.items()}
        return np.mean([guess[key(tokens)] == label for tokens, label in examples["test"]])

    assert scores["majority label"]["test"] == accuracy(lambda tokens: None)
    assert scores["majority label | root operator"]["test"] == accuracy(lambda tokens: tokens[0])


# --- against the official generator's sample -----------------------------------------------------


@pytest.fixture(scope="module")
def sample(archives):
    wanted = re.compile(r"basic_(train|val|test)\.tsv$")
    content = {
        name.rpartition("/")[2]: stream.read()
        for name, stream in archive.members(archives / "listops", wanted)
    }
    return {name: listops.parse_tsv(name, content[name]) for name in SAMPLE_FILES}


def test_every_label_of_the_sample_is_the_independent_evaluators(sample):
    checked = 0
    for split in sample.values():
        for tokens, label in expressions(split):
            assert oracle.value(tokens) == label
            checked += 1
    assert checked == 6000


def test_the_samples_baselines_are_the_known_ones(sample):
    splits = dict(zip(pack.SPLITS, (sample[f] for f in SAMPLE_FILES), strict=True))
    both = {rule: np.mean(list(s.values())) for rule, s in listops.baselines(splits).items()}
    assert [round(100 * accuracy) for accuracy in both.values()] == [17, 36, 45]


def test_generated_data_are_distributed_as_the_sample(sample):
    ours = listops.generate(rules(train=20000, val=1, test=1), seed=0)
    facts = [collect(sample.values()), collect([ours["train"]])]
    p = {"length": stats.ks_2samp(facts[0]["length"], facts[1]["length"]).pvalue}
    for name in ("label", "root", "depth", "operator", "arguments", "label given root"):
        values = sorted(set(itertools.chain(*(f[name] for f in facts))))
        table = [[f[name].count(v) for v in values] for f in facts]
        # A value that no sample has would be an empty column.
        p[name] = stats.chi2_contingency(table).pvalue if len(values) > 1 else 1.0
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        assert value > 0.01 / (len(p) - rank), f"{name}: p = {value:.2g} (all: {p})"


def collect(splits):
    facts = {name: [] for name in ("length", "label", "root", "depth", "label given root")}
    # The operators of an expression depend on its length, so one of each expression is drawn.
    facts |= {"operator": [], "arguments": []}
    rng = np.random.default_rng(0)
    for split in splits:
        for tokens, label in expressions(split):
            depth, arguments, operators = oracle.shape(tokens)
            facts["length"].append(len(tokens))
            facts["label"].append(label)
            facts["root"].append(tokens[0])
            facts["depth"].append(depth)
            facts["label given root"].append((tokens[0], label))
            facts["operator"].append(operators[rng.integers(len(operators))])
            facts["arguments"].append(arguments[rng.integers(len(arguments))])
    return facts
