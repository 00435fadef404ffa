"""BART: Denoising Sequence-to-Sequence Pre-training for Natural Language Generation.

Lewis et al., ACL 2020, arXiv 1910.13461, as transformers has it: attention, caching and beam search
are the library's. A network begins with random weights, or with those of a BART folder.
"""

from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    GenerationConfig,
    PreTrainedModel,
)

from models.own_length import real
from models.pretrained import build, config_of, quiet

# the ids of <s>, <pad> and </s>; a decoder begins with </s> and writes <s> first
SIGNS = {
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 2,
}


class Bart(nn.Module):
    """Maps ids (B, N), lengths (B,) and decoder ids (B, T) to logits (B, T, vocab_size).

    Ids are BART's: <s> 0, <pad> 1, </s> 2; decoder ids begin with </s>.
    """

    config_class: ClassVar[type[BartConfig]] = BartConfig
    model_class: ClassVar[type[PreTrainedModel]] = BartForConditionalGeneration

    def __init__(
        self,
        *,
        init: str | None,
        vocab_size: int,
        seq_len: int,
        max_positions: int,
        d_model: int,
        n_layers: int,
        n_heads: int,
        d_ff: int,
        dropout: float,
        attention_dropout: float,
        **settings,
    ):
        """init: a folder with config.json and model.safetensors, of these sizes; None: random
        weights. settings: those of config_class beyond BART's."""
        super().__init__()
        sizes = {"vocab_size": vocab_size, "d_model": d_model}
        sizes["max_position_embeddings"] = max_positions
        # a folder may have a decoder of another size, as distilled models do
        for half in ("encoder",) if init else ("encoder", "decoder"):
            sizes |= {f"{half}_layers": n_layers, f"{half}_ffn_dim": d_ff}
            sizes |= {f"{half}_attention_heads": n_heads}
        settings |= {"dropout": dropout, "attention_dropout": attention_dropout}
        if seq_len > max_positions:
            raise ValueError(f"seq_len={seq_len}: there are {max_positions} positions")
        config = config_of(init, self.config_class, sizes, **settings)
        self.bart = build(self.model_class, config, init)
        # the run's settings alone decide what is generated, not a folder's generation_config.json
        self.bart.generation_config = GenerationConfig(**SIGNS)

    def forward(self, ids: Tensor, lengths: Tensor, decoder_ids: Tensor) -> Tensor:
        source = inputs(ids, lengths)
        return self.bart(**source, decoder_input_ids=decoder_ids, use_cache=False).logits

    def encode(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Returns the encoder's states."""
        return self.bart.get_encoder()(**inputs(ids, lengths)).last_hidden_state

    @torch.no_grad()
    def generate(self, ids: Tensor, lengths: Tensor, **settings) -> Tensor:
        """Returns the ids that beam search finds, (B, at most max_new_tokens + 1), padded with 1.

        settings: of transformers' GenerationMixin.generate.
        """
        return self.bart.generate(**inputs(ids, lengths), **settings)

    def save(self, folder: Path) -> None:
        """Writes a folder that transformers' BART loads, and init=... of a run."""
        quiet()
        self.bart.save_pretrained(folder)


def inputs(ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
    """Returns a source as transformers takes it. ids (B, N), lengths (B,)."""
    return {"input_ids": ids, "attention_mask": real(lengths, ids.shape[1]).long()}
