import csv

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer

from lra import rouge
from tests.conftest import original


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("A line\n another. With two", ["A line", "another.", "With two"]),
        ("by 3.5 percent. yet the same", ["by 3.5 percent. yet the same"]),
        ("He said no. (Both.) Yes", ["He said no.", "(Both.) Yes"]),
        (" \n ", []),
    ],
)
def test_sentences(text, sentences):
    assert rouge.sentences(text) == sentences


def pairs(n: int = 200) -> list[tuple[str, str]]:
    words = np.array(
        [
            "The",
            "cat,",
            "cats",
            "and",
            "running",
            "dogs",
            "ran.",
            "A",
            "dog",
            "sat!",
            "It",
            "was",
            "3.5",
            "Long",
        ]
    )
    rng = np.random.default_rng(0)
    return [
        tuple("\n".join(" ".join(rng.choice(words, 9)) for _ in range(3)) for _ in range(2))
        for _ in range(n)
    ]


def test_it_is_rouge_score_one_sentence_a_line():
    hypotheses, references = zip(*pairs(), strict=True)
    found = rouge.scores(hypotheses, [[reference] for reference in references])
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=True)
    for i, (hypothesis, reference) in enumerate(pairs()):
        sides = ["\n".join(rouge.sentences(text)) for text in (reference, hypothesis)]
        for metric, name in rouge.NAMES.items():
            expected = 100 * scorer.score(*sides)[name].fmeasure
            assert found[metric][i] == pytest.approx(expected, abs=1e-9)
    assert found["ROUGE-L"].mean() > found["ROUGE-L of one sentence"].mean()


def test_the_best_reference_counts_for_each_metric_alone():
    references = ["the cat sat on a mat", "mat a on"]
    both = rouge.scores(["a cat on a mat"], [references])
    apart = [rouge.scores(["a cat on a mat"], [[reference]]) for reference in references]
    for metric in rouge.NAMES:
        assert both[metric][0] == max(each[metric][0] for each in apart)


def test_an_empty_hypothesis_scores_nothing():
    assert rouge.scores([""], [["a text"]])["ROUGE-L"].tolist() == [0.0]
    assert rouge.eli5(["", "..."], [["a text"], ["a text"]])["ROUGE-L of ELI5"].tolist() == [0, 0]


def test_eli5_s_own_is_another_number():
    hypotheses, references = zip(*pairs(20), strict=True)
    references = [[reference] for reference in references]
    own = rouge.eli5(hypotheses, references)["ROUGE-L of ELI5"]
    assert own.shape == (20,)
    assert abs(own.mean() - rouge.scores(hypotheses, references)["ROUGE-L"].mean()) > 0.1
    assert rouge.eli5(["running cats"], [["run cat"]])["ROUGE-L of ELI5"][0] > 99.9  # stemmed


def test_eli5_s_own_takes_a_long_text_without_a_stop():
    words = " ".join(f"word{n}" for n in range(1200))
    assert rouge.eli5([words], [[words]])["ROUGE-L of ELI5"][0] > 99.9


def test_lead_3_on_cnn_dailymail(archives):
    """Compares with the known scores of the first 500 rows of the official test split."""
    with open(original(archives, "cnn_dailymail/test.csv"), newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 500
    leads = ["\n".join(rouge.sentences(row["article"])[:3]) for row in rows]
    found = rouge.scores(leads, [[row["highlights"]] for row in rows])
    means = [found[metric].mean() for metric in ("ROUGE-1", "ROUGE-2", "ROUGE-L")]
    assert means == pytest.approx([30.10, 11.85, 26.83], abs=0.05)
