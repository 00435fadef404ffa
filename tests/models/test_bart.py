import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BartForConditionalGeneration

from models.bart import Bart
from models.fourier_bart import FourierBart

SIZES = {
    "vocab_size": 60,
    "seq_len": 30,
    "max_positions": 32,
    "d_model": 16,
    "n_layers": 2,
    "n_heads": 2,
    "d_ff": 32,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
FILTER = {"keep_ratio": 0.5, "filter_layers": [1], "restore": "none", "padding": "own"}
IDS, LENGTHS = torch.arange(4, 34).expand(2, 30), torch.tensor([30, 11])
DECODER_IDS = torch.tensor([[2, 0, 5, 6], [2, 0, 7, 8]])
EACH = pytest.mark.parametrize(
    "network, more", [(Bart, {}), (FourierBart, FILTER)], ids=["bart", "fourier_bart"]
)


@pytest.fixture
def folder(tmp_path):
    """A BART of another project: its sizes, and an activation of its own."""
    torch.manual_seed(0)
    config = BartConfig(
        vocab_size=60,
        d_model=16,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_position_embeddings=32,
        activation_function="relu",
    )
    BartForConditionalGeneration(config).save_pretrained(tmp_path / "bart")
    return tmp_path / "bart"


@EACH
def test_it_begins_with_a_folder_s_weights_and_saves_them(folder, tmp_path, network, more):
    net = network(init=str(folder), **SIZES, **more).eval()
    theirs = BartForConditionalGeneration.from_pretrained(folder).eval()
    ours = net.bart.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in theirs.state_dict().items())
    assert net.bart.config.activation_function == "relu"
    net.save(tmp_path / "saved")
    again = network(init=str(tmp_path / "saved"), **SIZES, **more).eval()
    arguments = (IDS, LENGTHS, DECODER_IDS)
    assert torch.equal(net(*arguments), again(*arguments))


@EACH
def test_padding_s_ids_do_not_matter(network, more):
    torch.manual_seed(0)
    net = network(init=None, **SIZES, **more).eval()
    other = IDS.clone()
    other[1, 11:] = 1
    assert torch.equal(net(IDS, LENGTHS, DECODER_IDS), net(other, LENGTHS, DECODER_IDS))


def test_a_distilled_model_keeps_its_smaller_decoder(folder):
    config = BartConfig.from_pretrained(folder)
    config.decoder_layers = 1
    BartForConditionalGeneration(config).save_pretrained(folder)
    net = Bart(init=str(folder), **SIZES)
    assert len(net.bart.model.decoder.layers) == 1


def test_a_folder_s_own_settings_of_generation_do_not_count(folder):
    said = {"num_beams": 7, "repetition_penalty": 9.0, "transformers_version": "5.24.0"}
    (folder / "generation_config.json").write_text(json.dumps(said))
    found = Bart(init=str(folder), **SIZES).bart.generation_config
    assert found.repetition_penalty in (None, 1.0)
    assert found.num_beams in (None, 1)


@EACH
def test_it_writes_from_first_to_last_sign(network, more):
    torch.manual_seed(0)
    net = network(init=None, **SIZES, **more).eval()
    ids = net.generate(IDS, LENGTHS, num_beams=2, max_new_tokens=6, min_new_tokens=6)
    assert ids.shape == (2, 7)
    assert ids[:, :2].tolist() == [[2, 0]] * 2
    assert ids[:, -1].tolist() == [2, 2]


def test_half_a_folder_is_refused(folder):
    weights = load_file(folder / "model.safetensors")
    weights.pop("model.decoder.layers.0.fc1.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="is not this model: missing keys .*layers.0.fc1.weight"):
        Bart(init=str(folder), **SIZES)


def test_other_sizes_than_the_folder_s_are_refused(folder):
    with pytest.raises(ValueError, match="has d_model=16, not 32"):
        Bart(init=str(folder), **SIZES | {"d_model": 32})


@pytest.mark.parametrize("given", [True, False])
def test_a_text_longer_than_the_positions_is_refused(folder, given):
    with pytest.raises(ValueError, match="seq_len=33: there are 32 positions"):
        Bart(init=str(folder) if given else None, **SIZES | {"seq_len": 33})


def test_a_blueprint_reads_no_weights(folder):
    (folder / "model.safetensors").write_bytes(b"")
    with torch.device("meta"):
        assert Bart(init=str(folder), **SIZES).bart.device.type == "meta"
