"""Fourier-BART: BART whose encoder shortens the sequence, with BART's weights and no others.

He et al., Findings of ACL 2023, arXiv 2305.15099, section 3.4, on transformers' BART. In front of
the layers in filter_layers (0-based; the paper's code has [2]) the hidden states of N positions
become M = ceil(N * keep_ratio), by models/fourier.py's filter.

restore (what the decoder sees)
  nearest  as in the authors' code: in the last layer, before its last norm, the states are repeated
           to N positions and added to those that entered each filter; the decoder sees N states.
  none     the decoder sees the M states. With keep_ratio=1 this is BART.
padding
  own      each example is filtered at its own length, and every later layer, and the decoder, masks
           what is behind it: an example's output does not depend on its batch-mates.
  batch    as in the authors' code: padding is zeroed once after the embedding, takes part in the
           filter at the batch's length, and nothing is masked afterwards.

Differences from the authors' code (LUMIA-Group/FourierTransformer@cba1dc2, Summarization/
transformer_dct): any precision, where theirs casts to half; padding on the right, where fairseq
pads the source on the left; targets begin with <s>, as transformers' BART has them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration, BartModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bart.modeling_bart import (
    BartDecoder,
    BartEncoder,
    BartPreTrainedModel,
    BartScaledWordEmbedding,
)

from models.bart import Bart
from models.own_length import lengths_of, real, short, shorten, stretch


class FourierBartConfig(BartConfig):
    """BART's settings and the filter's. The type stays `bart`, so that a saved folder is BART's."""

    keep_ratio: float = 0.5
    filter_layers: list[int] | tuple[int, ...] = (2,)
    restore: str = "none"
    padding: str = "own"

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if not 0 < self.keep_ratio <= 1:
            raise ValueError(f"keep_ratio={self.keep_ratio}: choose a share above 0 and up to 1")
        if self.restore not in ("none", "nearest"):
            raise ValueError(f"restore={self.restore}: choose none or nearest")
        if self.padding not in ("own", "batch"):
            raise ValueError(f"padding={self.padding}: choose own or batch")
        for layer in self.filter_layers:
            if layer not in range(self.encoder_layers):
                raise ValueError(
                    f"filter_layers={list(self.filter_layers)}: there are {self.encoder_layers} "
                    "layers, counted from 0"
                )


class FourierBartEncoder(BartEncoder):
    """BART's encoder with the filter between its layers."""

    supports_gradient_checkpointing = False  # the last norm's hook would be gone

    # torch.compile would pass the hook over, and make a graph for each set of lengths
    @torch.compiler.disable
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs,
    ) -> BaseModelOutput:
        """Returns the states (B, M, D), or (B, N, D) restored. attention_mask (B, N): real tokens
        first. Only the last state is returned."""
        config = self.config
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)
        x = inputs_embeds + self.embed_positions(inputs_embeds[:, :, -1])
        x = F.dropout(self.layernorm_embedding(x), self.dropout, self.training)
        lengths, N = lengths_of(attention_mask, x), x.shape[1]
        if config.padding == "batch":
            x = x * real(lengths, N)[..., None]

        mask = create_bidirectional_mask(
            config=config, inputs_embeds=x, attention_mask=attention_mask
        )
        entered: list[tuple[Tensor, Tensor]] = []  # the states in front of each filter, lengths
        for i, layer in enumerate(self.layers):
            if i in config.filter_layers:
                if config.padding == "batch":
                    lengths = torch.full_like(lengths, x.shape[1])
                entered.append((x, lengths))
                if config.keep_ratio < 1:
                    x, lengths = shorten(x, lengths, config.keep_ratio)
                mask = create_bidirectional_mask(
                    config=config,
                    inputs_embeds=x,
                    attention_mask=real(lengths, x.shape[1]).long(),
                )
            restores = config.restore == "nearest" and entered and i == len(self.layers) - 1
            dropped = self.training and self.layerdrop and torch.rand([]) < self.layerdrop
            if restores:
                x = self.restored(layer, x, mask, lengths, entered, **kwargs)
            elif not dropped:
                x = layer(x, mask, **kwargs)
        return BaseModelOutput(last_hidden_state=x)

    def restored(self, layer, x, mask, lengths, entered, **kwargs) -> Tensor:
        """Returns the last layer's output, with `entered` added in front of its last norm."""
        N, to = entered[0][0].shape[1], entered[0][1]

        def add(norm: nn.Module, inputs: tuple[Tensor]) -> Tensor:
            total = entered[0][0]
            for states, n in [*entered[1:], (inputs[0], lengths)]:
                total = total + stretch(states, n, to, N)
            return total

        with layer.final_layer_norm.register_forward_pre_hook(add):
            return layer(x, mask, **kwargs)


class FourierBartDecoder(BartDecoder):
    """BART's decoder, with the source's mask made to fit the states that it is given."""

    def forward(
        self,
        *args,
        encoder_hidden_states: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        **kwargs,
    ):
        config = self.config
        if encoder_attention_mask is not None and config.filter_layers:
            if config.padding == "batch":
                encoder_attention_mask = None
            elif config.restore == "none":
                lengths = encoder_attention_mask.long().sum(1)
                for _ in config.filter_layers if config.keep_ratio < 1 else ():
                    lengths = short(lengths, config.keep_ratio)
                M = encoder_hidden_states.shape[1]
                encoder_attention_mask = real(lengths, M).long()
        return super().forward(
            *args,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            **kwargs,
        )


class FourierBartModel(BartModel):
    """BART's two halves; the parts are built in BART's order, so that a seed gives its weights."""

    config_class = FourierBartConfig

    def __init__(self, config: FourierBartConfig):
        BartPreTrainedModel.__init__(self, config)
        scale = config.d_model**0.5 if config.scale_embedding else 1.0
        self.shared = BartScaledWordEmbedding(
            config.vocab_size, config.d_model, config.pad_token_id, embed_scale=scale
        )
        self.encoder = FourierBartEncoder(config)
        self.decoder = FourierBartDecoder(config)
        self.post_init()


class FourierBartForConditionalGeneration(BartForConditionalGeneration):
    """The whole network. It loads any BART folder, and saves one."""

    config_class = FourierBartConfig

    def __init__(self, config: FourierBartConfig):
        BartPreTrainedModel.__init__(self, config)
        self.model = FourierBartModel(config)
        self.final_logits_bias = nn.Buffer(torch.zeros(1, config.vocab_size))
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        self.post_init()


class FourierBart(Bart):
    """Bart (models/bart.py) with the filter: keep_ratio, filter_layers, restore, padding."""

    config_class = FourierBartConfig
    model_class = FourierBartForConditionalGeneration
