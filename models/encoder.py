"""A pretrained encoder of the BERT family that classifies, and the same behind the Fourier filter.

The embeddings and layers are transformers' own (BERT, RoBERTa, XLM-RoBERTa). The head is a linear
layer on the mean of the real positions. The filter follows models/own_length.py: each text at its
own length, and as in the Fourier Transformer's code for RoBERTa the first position is set aside
before the filter and put back after it.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel
from transformers.masking_utils import create_bidirectional_mask

from models.own_length import real, shorten
from models.pretrained import build


class Encoder(nn.Module):
    """Maps ids (B, 1, N) and lengths (B, 1) to logits (B, num_classes).

    init: a folder with config.json and model.safetensors. types: the model types whose layers are
    called as here. filter_layers: the layers, counted from
    0, in front of which the filter keeps keep_ratio of the positions; none in the plain encoder.
    """

    def __init__(
        self,
        *,
        init: str,
        types: Sequence[str],
        num_classes: int,
        seq_len: int,
        dropout: float,
        attention_dropout: float,
        keep_ratio: float = 1.0,
        filter_layers: list[int] | tuple[int, ...] = (),
    ):
        super().__init__()
        if not 0 < keep_ratio <= 1:
            raise ValueError(f"keep_ratio={keep_ratio}: choose a share above 0 and up to 1")
        config = AutoConfig.from_pretrained(init)
        if config.model_type not in types:
            raise ValueError(f"{init} is a {config.model_type}: choose one of {', '.join(types)}")
        config.hidden_dropout_prob = dropout
        config.attention_probs_dropout_prob = attention_dropout
        room = config.max_position_embeddings - (2 if "roberta" in config.model_type else 0)
        if seq_len > room:
            raise ValueError(f"seq_len={seq_len}: {init} has {room} positions")
        for layer in filter_layers:
            if layer not in range(config.num_hidden_layers):
                raise ValueError(
                    f"filter_layers={list(filter_layers)}: there are {config.num_hidden_layers} "
                    "layers, counted from 0"
                )
        self.keep_ratio, self.filter_layers = keep_ratio, tuple(filter_layers)
        self.dropout = dropout
        model_class = type(AutoModel.from_config(config, add_pooling_layer=False))
        self.encoder = build(
            model_class,
            config,
            init,
            without=("pooler.", "cls.", "lm_head."),
            add_pooling_layer=False,
        )
        self.head = nn.Linear(config.hidden_size, num_classes)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        x, lengths = self.encode(ids[:, 0].long(), lengths[:, 0])
        mask = real(lengths, x.shape[1])[..., None]
        mean = (x * mask).sum(1) / lengths[:, None]
        return self.head(F.dropout(mean, self.dropout, self.training))

    def encode(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the states (B, M, D) of ids (B, N), and how many of each example are real."""
        x = self.encoder.embeddings(input_ids=ids)
        mask = self.mask(x, lengths)
        for i, layer in enumerate(self.encoder.encoder.layer):
            if i in self.filter_layers and self.keep_ratio < 1:
                first, rest = x.tensor_split([1], dim=1)
                rest, lengths = shorten(rest, (lengths - 1).clamp(min=1), self.keep_ratio)
                x, lengths = torch.cat([first, rest], dim=1), lengths + 1
                mask = self.mask(x, lengths)
            x = layer(x, mask)
        return x, lengths

    def mask(self, x: Tensor, lengths: Tensor) -> Tensor | None:
        """Returns the attention mask as the layers want it."""
        return create_bidirectional_mask(
            config=self.encoder.config,
            inputs_embeds=x,
            attention_mask=real(lengths, x.shape[1]).long(),
        )
