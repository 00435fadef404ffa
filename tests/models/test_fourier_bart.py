import json

import pytest
import torch
from transformers import BartConfig, BartForConditionalGeneration

from models import fourier_bart
from models.fourier_bart import FourierBartConfig, FourierBartForConditionalGeneration
from models.own_length import real
from tests.oracles import fourier_bart as oracle

SIZES = {
    "vocab_size": 60,
    "d_model": 16,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "max_position_embeddings": 128,
    "dropout": 0.0,
}
LENGTHS = torch.tensor([61, 40, 17])
BEAMS = {
    "num_beams": 4,
    "max_new_tokens": 12,
    "no_repeat_ngram_size": 3,
    "length_penalty": 2.0,
    "early_stopping": True,
}
EACH_RESTORE = pytest.mark.parametrize("restore", ["none", "nearest"])


def plain(dtype=torch.float32) -> BartForConditionalGeneration:
    torch.manual_seed(0)
    net = BartForConditionalGeneration(BartConfig(**SIZES)).eval()
    for parameter in net.parameters():
        parameter.data *= 5  # else the logits hardly depend on the document
    return net.to(dtype)


def fourier(dtype=torch.float32, **settings) -> FourierBartForConditionalGeneration:
    net = FourierBartForConditionalGeneration(FourierBartConfig(**SIZES, **settings)).eval()
    net.load_state_dict(plain().state_dict())
    return net.to(dtype)


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(4, 59, (3, 61))
    mask = real(LENGTHS, 61).long()
    return {"input_ids": ids.where(mask > 0, 1), "attention_mask": mask}


def decoder_ids(n: int = 9) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randint(4, 59, (3, n))


def attentive(net):
    """Returns the network with so much cross-attention that the document decides its beams."""
    for name, parameter in net.named_parameters():
        if "encoder_attn" in name:
            parameter.data *= 5
    return net


def logits(net, batch, examples=slice(None)):
    with torch.no_grad():
        return net(**batch, decoder_input_ids=decoder_ids()[examples]).logits


def alone(batch, i: int, more: int = 0) -> dict[str, torch.Tensor]:
    """Example i by itself, with `more` positions of padding."""
    n = LENGTHS[i]
    ids = torch.nn.functional.pad(batch["input_ids"][i : i + 1, :n], (0, more), value=1)
    return {"input_ids": ids, "attention_mask": real(n[None], n + more).long()}


def test_with_everything_kept_it_is_bart(batch):
    ours, theirs = fourier(keep_ratio=1.0, restore="none", filter_layers=[1]), plain()
    assert torch.equal(logits(ours, batch), logits(theirs, batch))
    assert torch.equal(ours.generate(**batch, **BEAMS), theirs.generate(**batch, **BEAMS))


def test_a_seed_gives_the_same_weights_as_bart():
    torch.manual_seed(3)
    ours = FourierBartForConditionalGeneration(FourierBartConfig(**SIZES))
    torch.manual_seed(3)
    theirs = BartForConditionalGeneration(BartConfig(**SIZES))
    pairs = zip(ours.named_parameters(), theirs.named_parameters(), strict=True)
    assert all(a == b and torch.equal(p, q) for (a, p), (b, q) in pairs)


@EACH_RESTORE
@pytest.mark.parametrize(
    "dtype, bound", [(torch.float32, 2e-5), (torch.float64, 1e-10)], ids=["32", "64"]
)
@pytest.mark.parametrize("layers", [[0], [1], [2], [0, 2]], ids=str)
def test_an_example_does_not_depend_on_its_batch_mates(batch, restore, dtype, bound, layers):
    net = fourier(dtype, keep_ratio=0.5, restore=restore, filter_layers=layers)
    together = logits(net, batch)
    for i in range(3):
        for more in (0, 60):
            single = logits(net, alone(batch, i, more), slice(i, i + 1))
            assert (single - together[i]).abs().max() <= bound * together.std()


def test_the_comparison_notices_a_decoder_that_masks_other_positions(batch, monkeypatch):
    """A full-length mask cut to the short length is what transformers 4 did, silently."""
    net = fourier(keep_ratio=0.5, restore="none", filter_layers=[1])
    together = logits(net, batch)
    monkeypatch.setattr(fourier_bart, "short", lambda lengths, keep_ratio: lengths)
    wrong = logits(net, batch)
    assert (wrong[2] - together[2]).abs().max() > 1e-3 * together.std()


@EACH_RESTORE
@pytest.mark.parametrize("layers", [[1], [2], [0, 2]], ids=str)
@pytest.mark.parametrize("keep_ratio", [0.5, 0.2])
def test_it_is_the_released_order_of_steps(batch, restore, layers, keep_ratio):
    settings = {"keep_ratio": keep_ratio, "restore": restore, "filter_layers": layers}
    net = fourier(torch.float64, **settings, padding="batch")
    sizes = {"n_layers": 3, "n_heads": 2}
    states = oracle.encoder(net.state_dict(), batch["input_ids"], LENGTHS, **sizes, **settings)
    with torch.no_grad():
        ours = net.model.encoder(**batch).last_hidden_state
        whole = plain(torch.float64)(encoder_outputs=(states,), decoder_input_ids=decoder_ids())
    assert torch.allclose(ours, states, rtol=0, atol=1e-10)
    assert torch.allclose(logits(net, batch), whole.logits, rtol=0, atol=1e-10)


@EACH_RESTORE
def test_without_padding_own_and_batch_are_one(batch, restore):
    settings = {"keep_ratio": 0.3, "restore": restore, "filter_layers": [1]}
    batch = {"input_ids": batch["input_ids"], "attention_mask": torch.ones(3, 61).long()}
    nets = [fourier(torch.float64, **settings, padding=padding) for padding in ("own", "batch")]
    a, b = (logits(net, batch) for net in nets)
    assert torch.allclose(a, b, rtol=0, atol=1e-10)


@EACH_RESTORE
@pytest.mark.parametrize("padding", ["own", "batch"])
def test_beams_are_the_same_with_and_without_the_cache(batch, restore, padding):
    settings = {"keep_ratio": 0.5, "restore": restore, "filter_layers": [1], "padding": padding}
    net = attentive(fourier(**settings))
    cached = net.generate(**batch, **BEAMS)
    assert torch.equal(cached, net.generate(**batch, **BEAMS, use_cache=False))
    assert len(set(map(tuple, cached.tolist()))) == 3


@EACH_RESTORE
def test_beams_are_the_same_alone_and_in_a_batch(batch, restore):
    net = attentive(fourier(keep_ratio=0.5, restore=restore, filter_layers=[1]))
    together = net.generate(**batch, **BEAMS)
    for i in range(3):
        single = net.generate(**alone(batch, i), **BEAMS)[0]
        assert torch.equal(together[i, : len(single)], single)
        assert (together[i, len(single) :] == 1).all()


@EACH_RESTORE
def test_every_parameter_gets_a_gradient(batch, restore):
    net = fourier(keep_ratio=0.5, restore=restore, filter_layers=[1]).train()
    net(**batch, decoder_input_ids=decoder_ids()).logits.square().mean().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_mask_with_padding_in_front_is_refused(batch):
    mask = batch["attention_mask"].flip(1)
    with pytest.raises(ValueError, match="must come first: pad on the right"):
        fourier(keep_ratio=0.5, filter_layers=[1])(
            input_ids=batch["input_ids"], attention_mask=mask, decoder_input_ids=decoder_ids()
        )


def test_it_loads_a_plain_folder_and_saves_one(tmp_path, batch):
    plain().save_pretrained(tmp_path / "plain")
    ours, about = FourierBartForConditionalGeneration.from_pretrained(
        tmp_path / "plain", output_loading_info=True
    )
    assert not any(about.values())
    assert ours.config.filter_layers == (2,)  # the paper's
    ours.config.keep_ratio, ours.config.filter_layers = 0.3, [1]
    ours.save_pretrained(tmp_path / "ours")
    back, about = BartForConditionalGeneration.from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(about.values())
    assert torch.equal(logits(back.eval(), batch), logits(plain(), batch))
    again = FourierBartForConditionalGeneration.from_pretrained(tmp_path / "ours")
    assert again.config.keep_ratio == 0.3
    assert json.loads((tmp_path / "ours/config.json").read_text())["model_type"] == "bart"


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"keep_ratio": 0.0}, "keep_ratio=0.0"),
        ({"keep_ratio": 1.5}, "keep_ratio=1.5"),
        ({"restore": "linear"}, "restore=linear: choose none or nearest"),
        ({"padding": "zero"}, "padding=zero: choose own or batch"),
        ({"filter_layers": [3]}, r"filter_layers=\[3\]: there are 3 layers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        FourierBartConfig(**SIZES, **({"filter_layers": [1]} | settings))


@EACH_RESTORE
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the compiler's own
def test_compiled_it_gives_the_same_logits(restore, batch):
    net = fourier(filter_layers=[1], keep_ratio=0.4, restore=restore)
    expected = logits(net, batch)
    torch.testing.assert_close(logits(torch.compile(net, backend="eager"), batch), expected)
