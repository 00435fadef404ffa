import numpy as np
import pytest
import torch

from data_prep.pack import load_texts, pack, split_of
from lra import tokenizer
from lra.objective import Batch
from lra.objective.denoising import Denoising

TEXT = "One two three four five. Six seven eight nine ten! Eleven twelve. " * 8


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    codes = tokenizer.train([TEXT] * 4, 300)
    ids = np.array([0, *codes.encode(TEXT).ids, 2])
    manifest = pack(
        folder,
        {name: split_of([ids], [0]) for name in ("train", "val", "test")},
        tokenizer=codes.to_str(),
        task="denoising",
        variant="x",
        documents=1,
        source="x",
        generator=None,
        vocabulary=[],
        baselines={},
    )
    return folder, manifest, ids


def denoising(made, **settings) -> Denoising:
    of = Denoising(name="denoising", outputs=None, target_len=512, **settings)
    of.attach(load_texts(*made[:2]))
    return of


def batch(made, indices=(0, 1)) -> Batch:
    ids = torch.from_numpy(np.stack([made[2]] * len(indices))[:, None])
    lengths = torch.full((len(indices), 1), ids.shape[-1])
    return Batch(ids, lengths, torch.zeros(len(indices)), torch.tensor(indices))


def test_spans_of_the_share_asked_for_become_one_mask_each(made):
    of = denoising(made, random=0.0, permute=False)
    inner, rng = made[2][1:-1], np.random.default_rng(0)
    shares, lengths = [], []
    for _ in range(200):
        found = of.infilled(inner, rng)
        masks = (found == of.mask).sum()
        kept = len(found) - masks
        shares.append(1 - kept / len(inner))
        lengths.append((len(inner) - kept) / masks)
    assert np.allclose(shares, 0.3, atol=1 / len(inner))
    assert np.mean(lengths) == pytest.approx(3.5, rel=0.05)


def test_what_is_kept_is_in_order(made):
    of = denoising(made, random=0.0, permute=False)
    inner = np.arange(4, 4 + 100)
    found = of.infilled(inner, np.random.default_rng(0))
    kept = found[found != of.mask]
    assert (np.diff(kept) > 0).all()
    assert 69 <= len(kept) <= 71
    one = of.infilled(np.array([7]), np.random.default_rng(0))
    assert set(one) <= {7, of.mask}


def test_sentences_change_places_and_stay_whole(made):
    of, inner = denoising(made), made[2][1:-1]
    found = of.permuted(inner, np.random.default_rng(0))
    assert sorted(found) == sorted(inner)
    assert found.tolist() != inner.tolist()
    text = of.tokenizer.decode(found.tolist())
    assert text.count("Six seven eight nine ten!") == 8


def test_noise_keeps_the_ends_and_makes_no_text_longer(made):
    of = denoising(made)
    for seed in range(50):
        found = of.noise(made[2], np.random.default_rng(seed))
        assert (found[0], found[-1]) == (0, 2)
        assert len(found) <= len(made[2])
    assert len(of.noise(np.array([0, 9, 2]), np.random.default_rng(0))) == 3


def test_some_masks_are_random_tokens(made):
    of = denoising(made, random=0.5, permute=False)
    inner, rng = np.full(1000, 4), np.random.default_rng(0)
    found = of.infilled(inner, rng)
    swapped = ((found != 4) & (found != of.mask)).sum()
    assert 0.4 < swapped / (swapped + (found == of.mask).sum()) < 0.6
    assert found.max() <= of.mask


def test_training_s_noise_follows_torch_and_val_s_the_example(made):
    of = denoising(made)
    torch.manual_seed(0)
    one, lengths = of.source(batch(made), "train")
    part, n = of.source(batch(made).part(1, 2), "train")  # as with trainer.micro_batch=1
    assert torch.equal(part[0, : n[0]], one[1, : lengths[1]])
    assert lengths.max() == one.shape[1]
    torch.manual_seed(1)
    other, _ = of.source(batch(made), "train")
    assert one.shape != other.shape or not torch.equal(one, other)
    val, n = of.source(batch(made), "val")
    (other, m) = of.source(batch(made, indices=(1,)), "val")
    assert torch.equal(val[1, : n[1]], other[0, : m[0]])
    assert not torch.equal(val[0, : n[0]], val[1, : n[1]])


def test_the_target_is_the_whole_text(made):
    decoder_ids, labels = denoising(made).taught(batch(made))
    assert labels[0].tolist() == made[2].tolist()
    assert decoder_ids[0].tolist() == [2, *made[2][:-1].tolist()]


def test_both_splits_are_scored_by_the_loss_a_token(made):
    of = denoising(made)
    kept = np.array([[10.0, 5.0], [2.0, 1.0]])
    for split in ("val", "test"):
        score = of.score(of.predictions(kept, split), None, split)["loss a token"]
        assert score.value == 2.0
        assert score.n == 2


def test_without_a_tokenizer_random_ids_are_corrupted_for_measurements(made):
    of = Denoising(name="denoising", outputs=None, target_len=512)
    ids, lengths = of.source(batch(made), "train")
    assert (lengths <= len(made[2])).all()
    assert ids.max() <= made[2].max()


@pytest.mark.parametrize("settings", [{"masked": 0.0}, {"spans": 0}, {"random": 2.0}], ids=str)
def test_a_noise_that_makes_no_sense_is_refused(settings):
    with pytest.raises(ValueError, match="not a noise"):
        Denoising(name="denoising", outputs=None, **settings)
