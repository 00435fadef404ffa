import numpy as np
import pytest
import torch
import torch.nn.functional as F

from data_prep.pack import load_texts, pack, split_of
from lra import config, rouge, tokenizer
from lra.errors import UserError
from lra.objective import Batch
from lra.objective.generation import BOS, EOS, IGNORED, LOSS, PAD, Generation

XSUM = config.compose(["task=scitldr"]).objective.generation


def objective(**settings) -> Generation:
    return Generation(name="generation", outputs=None, target_len=6, generation=XSUM, **settings)


def batch() -> Batch:
    """Two examples: documents of 5 and 3 ids, targets of 4 and 8, padded to 9 with 0."""
    rows = [[[0, 5, 6, 7, 2], [0, 8, 9, 2]], [[0, 5, 2], [0, 9, 9, 8, 8, 7, 7, 2]]]
    ids = torch.tensor(
        [[F.pad(torch.tensor(x), (0, 9 - len(x))).tolist() for x in r] for r in rows]
    )
    lengths = torch.tensor([[len(x) for x in r] for r in rows])
    return Batch(ids, lengths, torch.zeros(2, dtype=torch.long), torch.arange(2))


class Net:
    """Logits that depend on the decoder's ids alone; remembers what it was asked."""

    def __call__(self, ids, lengths, decoder_ids):
        self.asked = ids, lengths, decoder_ids
        torch.manual_seed(0)
        return torch.randn(12, 12)[decoder_ids]

    def generate(self, ids, lengths, **settings):
        self.settings = settings
        return torch.tensor([[EOS, BOS, 8, 9, EOS], [EOS, BOS, 7, EOS, PAD]])


def test_the_decoder_is_taught_each_next_token_behind_the_end_sign():
    decoder_ids, labels = objective().taught(batch())
    assert decoder_ids.tolist() == [[2, 0, 8, 9, 2, 0], [2, 0, 9, 9, 8, 8]]  # cut at target_len
    assert labels.tolist() == [[0, 8, 9, 2, IGNORED, IGNORED], [0, 9, 9, 8, 8, 7]]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_smoothed_mean_over_target_tokens(smoothing):
    net = Net()
    found = objective(label_smoothing=smoothing).loss(net, batch())
    ids, lengths, decoder_ids = net.asked
    assert ids.shape == (2, 9)  # as wide as the batch, for all of its parts
    assert lengths.tolist() == [5, 3]
    logs = net(ids, lengths, decoder_ids).double().log_softmax(-1)
    _, labels = objective().taught(batch())
    each = [
        -(1 - smoothing) * logs[b, t, labels[b, t]] - smoothing * logs[b, t].mean()
        for b in range(2)
        for t in range(6)
        if labels[b, t] != IGNORED
    ]
    assert len(each) == 10 == objective().units(batch())
    assert found.item() == pytest.approx(sum(each).item() / 10, rel=1e-6)


def test_parts_of_a_batch_weigh_by_their_target_tokens():
    whole, net, of = batch(), Net(), objective()
    parts = [whole.part(i, i + 1) for i in range(2)]
    summed = sum(of.units(part) / of.units(whole) * of.loss(net, part) for part in parts)
    assert summed.item() == pytest.approx(of.loss(net, whole).item(), rel=1e-6)


def test_val_is_the_loss_a_token_without_smoothing():
    of, net = objective(label_smoothing=0.1), Net()
    kept = of.evaluate(net, batch(), "val").numpy()
    assert kept[:, 1].tolist() == [4, 6]
    score = of.score(of.predictions(kept, "val"), None, "val")[LOSS.name]
    assert score.value == pytest.approx(objective().loss(net, batch()).item(), rel=1e-6)
    assert score.low < score.value < score.high
    assert score.n == 2


def packed(tmp_path, codes):
    split = split_of([np.array([0, 5, 2]), np.array([0, 5, 2])], [0], per_example=2)
    facts = {"source": "x", "generator": None, "vocabulary": [], "baselines": {}}
    return pack(
        tmp_path,
        {name: split for name in ("train", "val", "test")},
        references={"val": [["a"]], "test": [["the cat", "a cat"]]},
        tokenizer=codes.to_str(),
        task="scitldr",
        variant="x",
        documents=2,
        trivial={"test": {"lead-1": {"ROUGE-1": 9.0, "ROUGE-L": 8.0}}},
        **facts,
    )


def test_test_is_generated_decoded_and_scored_against_the_references(tmp_path):
    codes = tokenizer.train(["the cat sat"] * 9, 300)
    manifest = packed(tmp_path, codes)
    of, net = objective(), Net()
    of.attach(load_texts(tmp_path, manifest))
    kept = of.evaluate(net, batch(), "test")
    assert kept.shape == (2, XSUM.max_len + 2)
    assert kept[1, 4:].eq(PAD).all()
    assert net.settings["num_beams"] == 6
    assert net.settings["max_new_tokens"] == XSUM.max_len + 1
    texts = of.predictions(kept.numpy(), "test")
    assert texts == [codes.decode([8, 9]).strip(), codes.decode([7]).strip()]
    expected = of.targets(np.zeros(1), [0], "test")
    assert expected == [["the cat", "a cat"]]
    scores = of.score(["the cat"], expected)
    assert scores.keys() == rouge.NAMES.keys()
    assert scores["ROUGE-L"].value == pytest.approx(100)
    assert of.values(["the cat"], expected).tolist() == pytest.approx([100])
    assert of.trivial(manifest) == {"lead-1": {"test": 8.0}}


def test_eli5_s_own_score_is_added_where_asked_for():
    found = objective(eli5=True).score(["the cat", "a dog"], [["the cat"], ["a cat"]])
    assert found.keys() - rouge.NAMES.keys() == {"ROUGE-L of ELI5"}


def test_a_tokenizer_of_another_kind_is_refused(tmp_path):
    codes = tokenizer.train(["the cat sat"] * 9, 300)
    codes = type(codes).from_str(codes.to_str().replace("<s>", "[CLS]"))
    manifest = packed(tmp_path, codes)
    with pytest.raises(UserError, match="does not have <s>, <pad>, </s> as 0, 1, 2"):
        objective().attach(load_texts(tmp_path, manifest))


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="label_smoothing=1"):
        objective(label_smoothing=1.0)
    for key, value in (("min_len", 61), ("num_beams", 0)):
        words = ["task=scitldr", f"objective.generation.{key}={value}"]
        wrong = config.compose(words).objective.generation
        with pytest.raises(ValueError, match=f"generation.{key}={value}"):
            Generation(name="generation", outputs=None, generation=wrong)
