import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
)

from models.encoder import Encoder
from models.own_length import real

SIZES = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 42,
}
SETTINGS = {
    "types": ["bert", "roberta"],
    "num_classes": 2,
    "seq_len": 40,
    "dropout": 0.0,
    "attention_dropout": 0.0,
}
LENGTHS = torch.tensor([40, 23, 9])


@pytest.fixture(scope="module", params=["bert", "roberta"])
def folder(request, tmp_path_factory) -> str:
    torch.manual_seed(0)
    net = {
        "bert": lambda: BertModel(BertConfig(**SIZES, pad_token_id=0)),
        "roberta": lambda: RobertaModel(RobertaConfig(**SIZES, pad_token_id=1)),
    }[request.param]()
    path = tmp_path_factory.mktemp(request.param)
    for parameter in net.parameters():
        parameter.data *= 3
    net.save_pretrained(path)
    return str(path)


def encoder(folder: str, dtype=torch.float32, **settings) -> Encoder:
    torch.manual_seed(1)
    return Encoder(init=folder, **SETTINGS | settings).to(dtype)


def ids(pad: int) -> torch.Tensor:
    torch.manual_seed(2)
    found = torch.randint(4, 50, (3, 40))
    return found.where(real(LENGTHS, 40), pad)


def test_without_a_filter_its_states_are_the_library_s(folder):
    theirs = AutoModel.from_pretrained(folder).eval()
    found = ids(theirs.config.pad_token_id)
    with torch.no_grad():
        states = theirs(found, attention_mask=real(LENGTHS, 40).long()).last_hidden_state
        ours, lengths = encoder(folder).eval().encode(found, LENGTHS)
    assert torch.equal(lengths, LENGTHS)
    assert torch.equal(ours, states)


@pytest.mark.parametrize("keep_ratio", [1.0, 0.5, 0.25])
def test_a_text_does_not_depend_on_its_batch_mates(folder, keep_ratio):
    settings = {"keep_ratio": keep_ratio, "filter_layers": [1]}
    net = encoder(folder, torch.float64, **settings).eval()
    found = ids(1 if "roberta" in folder else 0)
    with torch.no_grad():
        together = net(found[:, None], LENGTHS[:, None])
        for i, n in enumerate(LENGTHS.tolist()):
            alone = net(found[i : i + 1, None, :n], torch.tensor([[n]]))
            assert torch.allclose(alone[0], together[i], rtol=0, atol=1e-10)
    assert together.std() > 1e-3


def test_the_filter_shortens_all_but_the_first_position(folder):
    net = encoder(folder, keep_ratio=0.5, filter_layers=[0]).eval()
    seen = []
    net.encoder.encoder.layer[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        states, lengths = net.encode(ids(1), LENGTHS)
        embedded = net.encoder.embeddings(input_ids=ids(1))
    assert lengths.tolist() == [1 + 20, 1 + 11, 1 + 4]
    assert states.shape[1] == 21
    assert torch.equal(seen[0][:, 0], embedded[:, 0])


def test_a_folder_with_a_language_model_s_head_is_taken(folder, tmp_path):
    config = AutoConfig.from_pretrained(folder)
    whole = AutoModelForMaskedLM.from_config(config)
    whole.save_pretrained(tmp_path)
    ours = encoder(str(tmp_path)).encoder.state_dict()
    theirs = whole.base_model.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_the_head_alone_is_new(folder):
    new = {name for name, _ in encoder(folder).named_parameters() if not name.startswith("encoder")}
    assert new == {"head.weight", "head.bias"}


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"seq_len": 43}, "seq_len=43: .* has 4. positions"),
        ({"keep_ratio": 0.0}, "keep_ratio=0.0"),
        ({"filter_layers": [3]}, r"filter_layers=\[3\]: there are 3 layers"),
    ],
)
def test_settings_that_make_no_sense_are_refused(folder, settings, said):
    with pytest.raises(ValueError, match=said):
        encoder(folder, **settings)


def test_another_family_is_refused(tmp_path):
    config = DistilBertConfig(vocab_size=50, dim=16, n_layers=1, n_heads=2, hidden_dim=32)
    DistilBertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="is a distilbert: choose one of bert, roberta"):
        encoder(str(tmp_path))
