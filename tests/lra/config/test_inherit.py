import json

import pytest

from lra import tokenizer
from lra.config import Configuration
from lra.errors import UserError

WORDS = ["task=scitldr", "model=fourier_bart", "protocol=lite"]
BART = {
    "model_type": "bart",
    "d_model": 24,
    "encoder_layers": 3,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "vocab_size": 301,
    "max_position_embeddings": 600,
}


@pytest.fixture
def folder(tmp_path):
    """A folder with BART's sizes. Nothing here reads its weights."""
    path = tmp_path / "bart"
    path.mkdir()
    (path / "config.json").write_text(json.dumps(BART))
    (path / "model.safetensors").write_bytes(b"weights")
    tokenizer.train(["a text"], 265).save(str(path / "tokenizer.json"))
    return path


def test_sizes_come_from_the_folder_and_the_cell_conforms(folder):
    found = Configuration.of([*WORDS, f"init={folder}"])
    model = found.cfg.model
    assert (model.d_model, model.n_layers, model.n_heads, model.d_ff) == (24, 3, 4, 48)
    assert model.max_positions == 600
    assert found.cfg.task.vocab_size == 301
    assert found.cfg.task.tokenizer == str(folder)
    assert found.modified == {}
    assert found.inherited["init"] == str(folder)
    changed = Configuration.of([*WORDS, f"init={folder}", "model.keep_ratio=0.2"])
    assert changed.modified == {"model.keep_ratio": [0.5, 0.2]}


def test_the_weights_and_not_their_place_make_the_cell(folder, tmp_path):
    here = Configuration.of([*WORDS, f"init={folder}"]).identity
    (tmp_path / "elsewhere").symlink_to(folder)
    there = Configuration.of([*WORDS, f"init={tmp_path / 'elsewhere'}"]).identity
    assert here == there
    assert str(tmp_path) not in json.dumps(here)
    (folder / "model.safetensors").write_bytes(b"others")
    assert Configuration.of([*WORDS, f"init={folder}"]).identity["init"] != here["init"]
    assert "init" not in Configuration.of(WORDS).identity


def test_a_tokenizer_alone_gives_its_vocabulary_and_no_weights(folder):
    found = Configuration.of([*WORDS, f"task.tokenizer={folder}"])
    assert found.cfg.task.vocab_size == 265
    assert found.cfg.model.d_model == 256
    assert found.modified == {}
    assert found.inherited == {"init": None, "sha256": None, "tokenizer": str(folder)}
    assert Configuration.of(WORDS).inherited is None


def test_the_tokenizer_of_the_weights_may_be_named_and_may_lie_elsewhere(folder, tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    for named in (folder, tmp_path / "copy"):
        found = Configuration.of([*WORDS, f"init={folder}", f"task.tokenizer={named}"])
        assert found.cfg.task.vocab_size == 301
    (folder / "tokenizer.json").unlink()  # nothing to compare with
    Configuration.of([*WORDS, f"init={folder}", f"task.tokenizer={tmp_path / 'copy'}"])


@pytest.mark.parametrize(
    "words, said",
    [
        (
            [*WORDS, "init={folder}", "model.d_model=64"],
            "model.d_model=64: .* has 24; leave it out",
        ),
        ([*WORDS, "init={folder}", "model.seq_len=601"], "model.seq_len=601: .* 600 positions"),
        ([*WORDS, "objective.generation.max_len=1023"], "max_len=1023: .*choose up to 1022"),
        ([*WORDS, "init={folder}/nowhere"], "has no config.json and no model.safetensors"),
        (["task=listops", "model=fourier", "init={folder}"], "cannot begin with pretrained"),
        (["task=text", "task.variant=word_pieces_512"], "name its folder with init="),
        (
            ["task=text", "model=encoder", "init={folder}"],
            "type bart: model=encoder begins with",
        ),
        ([*WORDS, "init={folder}", "task.tokenizer={folder}/large"], "has 320 ids, and"),
        ([*WORDS, "init={folder}", "task.tokenizer={folder}/other"], "gives other ids than"),
        ([*WORDS, "init=3"], "init=3: 3 has no config.json"),
        (["task=listops", "model=bart"], "gives a text, and task=listops wants a label"),
        (["task=scitldr", "model=fourier"], "wants a text: choose model=bart or fourier_bart"),
        (["task=text", "model=encoder"], "name its folder with init="),
        ([*WORDS, "task.tokenizer={folder}/nowhere"], "has no tokenizer"),
    ],
)
def test_mistakes_end_in_a_sentence(folder, words, said):
    for name in ("large", "other"):
        (folder / name).mkdir()
    texts = [f"word{n} storm river council" for n in range(99)]
    tokenizer.train(texts, 320).save(str(folder / "large/tokenizer.json"))
    stored = json.loads((folder / "tokenizer.json").read_text())
    ids = stored["model"]["vocab"]
    ids["a"], ids["b"] = ids["b"], ids["a"]
    (folder / "other/tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=said):
        Configuration.of([word.format(folder=folder) for word in words])


def test_a_folder_without_weights_says_what_is_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"has no model.safetensors.*pytorch_model.bin is not read"):
        Configuration.of([*WORDS, f"init={folder}"])


def test_a_damaged_config_is_named(folder):
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json is not JSON"):
        Configuration.of([*WORDS, f"init={folder}"])
