"""Builds transformers' models with random weights, or with all weights of a folder."""

from collections.abc import Sequence

import torch
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import logging


def quiet() -> None:
    """Silences the library's bars and reports; what goes wrong is an error here."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()


def config_of(
    init: str | None, config_class: type[PretrainedConfig], sizes: dict, **settings
) -> PretrainedConfig:
    """Returns the configuration: the folder's where there is one, else BART's with these sizes.

    settings: what a run chooses with either, dropout for example. Raises ValueError where the
    folder's sizes differ from `sizes`.
    """
    # transformers writes them as JSON: Hydra's lists become plain ones
    settings = {
        k: list(v) if isinstance(v, Sequence) and not isinstance(v, str) else v
        for k, v in settings.items()
    }
    if init is None:
        return config_class(**sizes, **settings)
    stored = AutoConfig.from_pretrained(init).to_dict()
    for key, value in sizes.items():
        if stored[key] != value:
            raise ValueError(f"{init} has {key}={stored[key]}, not {value}")
    return config_class.from_dict(stored | settings)


def build(
    model_class: type[PreTrainedModel],
    config: PretrainedConfig,
    init: str | None,
    without: tuple[str, ...] = (),
    **arguments,
) -> PreTrainedModel:
    """Returns the model in float32. On the meta device no weights are read.

    without: beginnings of the names of weights that the folder may have and the model does not
    need.
    arguments: of the model's constructor. Raises ValueError unless every weight of the model is in
    the folder, and the other way round.
    """
    if init is None or torch.get_default_device().type == "meta":
        return model_class(config, **arguments)
    quiet()
    model, about = model_class.from_pretrained(
        init,
        config=config,
        dtype=torch.float32,
        use_safetensors=True,
        output_loading_info=True,
        **arguments,
    )
    for name in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        found = sorted(str(key) for key in about[name] if not str(key).startswith(without))
        if found:
            raise ValueError(f"{init} is not this model: {name.replace('_', ' ')} {found[:3]}")
    return model.train()
