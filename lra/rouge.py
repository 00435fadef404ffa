"""ROUGE by rouge-score, the re-implementation of ROUGE-1.5.5 that the field uses, F1 in percent.

ROUGE-L is rouge-score's rougeLsum: the summary-level score of the published tables, one sentence a
line. The sentence-level rougeL is another number (lower by up to 10 points), kept beside it.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

# metric -> rouge-score's name
NAMES = {
    "ROUGE-1": "rouge1",
    "ROUGE-2": "rouge2",
    "ROUGE-L": "rougeLsum",
    "ROUGE-L of one sentence": "rougeL",
}
# the end of a sentence: a stop, in front of a space and a capital, a quote or a bracket
END = re.compile(r"""(?<=[.!?])\s+(?=[A-Z"'(])""")


def sentences(text: str) -> list[str]:
    """Returns the sentences of a text: its lines, each split at its full stops."""
    return [s for line in text.split("\n") for s in END.split(line.strip()) if s]


def one_a_line(text: str) -> str:
    return "\n".join(sentences(text))


def scores(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Returns metric -> (n,), one score an example: the best over its references, of each metric
    alone. Words are stemmed."""
    found = list(_scored(hypotheses, references))
    return {metric: np.array([each[metric] for each in found]) for metric in NAMES}


def _scored(hypotheses, references) -> Iterator[dict[str, float]]:
    from rouge_score.rouge_scorer import RougeScorer  # an extra

    scorer = RougeScorer(list(NAMES.values()), use_stemmer=True)
    for hypothesis, targets in zip(hypotheses, references, strict=True):
        lines = one_a_line(hypothesis)
        each = [scorer.score(one_a_line(target), lines) for target in targets]
        yield {
            metric: 100 * max(score[name].fmeasure for score in each)
            for metric, name in NAMES.items()
        }


def most_words(texts: Iterable[Sequence[str]]) -> int:
    return max((len(text.split()) for each in texts for text in each), default=0)


def eli5(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Returns ROUGE-L as compute_rouge.py of facebookresearch/ELI5 has it, under its own name:
    the package rouge on words between blanks, each Porter-stemmed. It compares with published ELI5
    figures and with no other ROUGE-L."""
    from nltk.stem.porter import PorterStemmer  # both of the extra
    from rouge import Rouge

    stemmer, scorer = PorterStemmer(), Rouge(metrics=["rouge-l"], stats=["f"])

    def stemmed(text: str) -> str:
        return " ".join(stemmer.stem(word) for word in text.split())

    def best(hypothesis: str, targets: Sequence[str]) -> float:
        words = stemmed(hypothesis)
        others = [stemmed(target) for target in targets]
        if not words.strip(" .") or not any(other.strip(" .") for other in others):
            return 0.0  # the package refuses an empty text
        pairs = [(words, other) for other in others if other.strip(" .")]
        return max(scorer.get_scores(*pair)[0]["rouge-l"]["f"] for pair in pairs)

    before = sys.getrecursionlimit()
    # the package follows a common subsequence by recursion, a word at a time
    sys.setrecursionlimit(max(before, 10 * most_words([hypotheses, *references]) + 1000))
    try:
        found = [best(*pair) for pair in zip(hypotheses, references, strict=True)]
    finally:
        sys.setrecursionlimit(before)
    return {"ROUGE-L of ELI5": 100 * np.array(found)}
