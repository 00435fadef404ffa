import pytest

from lra.config import words
from lra.errors import UserError


@pytest.mark.parametrize(
    "typed",
    [
        [],
        ["task=listops,text", "model=glob(*)", "seed=range(3)"],
        ["optim.lr=tag(log,interval(1e-4,1e-2))", "++a.b=[1,2]", "~preset", "+x={y: 1}"],
        ["-m", "--cfg", "job", "task=text"],
        ["-cn", "other", "--info", "defaults"],
        ["evaluate=results/work/0f53-70/selected.ckpt", "data.root=/tmp/a-b_c.d/e"],
        ["data.archive='/my files/\u00e9t\u00e9.tar'", 'data.root="/my files"'],
        ["data.root=/my files"],  # Hydra takes spaces inside a word
    ],
)
def test_what_hydra_understands_passes(typed):
    words.check(typed)


@pytest.mark.parametrize(
    "word, sentence",
    [
        ("listops", "'listops' is not key=value. Did you mean task=listops?"),
        ("lisstops", "'lisstops' is not key=value. Did you mean task=listops?"),
        ("fourier", "Did you mean model=fourier or filter=fourier?"),
        ("lite", "Did you mean protocol=lite?"),
        ("0.1", "'0.1' is not key=value."),
        ("/data/x", "quote the path for the shell"),
        ("rounds", "'rounds' is not key=value: give rounds=..."),
        ("data.root=/tmp/\u00e9", "'data.root=\"/tmp/\u00e9\"'"),
        ("a=[1,2", "check its quotes, brackets and commas"),
        ("a='x", "check its quotes, brackets and commas"),
    ],
)
def test_what_it_does_not_is_one_sentence_with_the_remedy(word, sentence):
    with pytest.raises(UserError) as caught:
        words.check(["task=text", word], own=["rounds"])
    assert sentence in str(caught.value)


def test_the_remedy_for_an_accent_works():
    """The suggestion in the message, typed as it stands, is understood."""
    with pytest.raises(UserError) as caught:
        words.check(["data.root=/tmp/\u00e9"])
    suggested = str(caught.value).rpartition(": ")[2].strip("'")
    words.check([suggested])
