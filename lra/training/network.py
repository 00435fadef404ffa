"""The network of a configuration: whether it can be built, and how many parameters it has."""

import shutil
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from data_prep.pack import TOKENIZER
from lra.errors import UserError
from lra.files import replacing_folder
from models.attention import SoftmaxAttention
from models.block import Block


def blueprint(cfg: DictConfig) -> nn.Module:
    """Returns the network on the meta device, which takes no memory. Hydra's error says which of
    its settings is wrong."""
    model = cfg.copy().model  # a copy: instantiate resolves in place
    try:
        with torch.device("meta"):
            return instantiate(model.net)
    except Exception as error:
        if "meta" not in str(error):
            raise
    # a constructor that reads values, such as torch.linspace(...).tolist(), needs real ones
    with torch.random.fork_rng():
        return instantiate(cfg.copy().model.net)


def must_have_device(cfg: DictConfig) -> None:
    """Raises UserError for trainer.accelerator=gpu where torch sees no GPU.

    CUDA and ROCm count, which torch drives by the same names. Apple's MPS has no float64, and
    nothing here measures its memory.
    """
    if cfg.trainer.accelerator == "gpu" and not torch.cuda.is_available():
        raise UserError("torch sees no GPU on this machine: leave trainer=gpu out, or ddp.")
    wanted, there = cfg.trainer.devices, torch.cuda.device_count()
    if cfg.trainer.accelerator == "gpu" and wanted != "auto" and wanted > there:
        raise UserError(
            f"trainer.devices={wanted}, but torch sees {there} GPUs on this machine: take as many, "
            "or trainer.devices=auto."
        )


def count_parameters(net: nn.Module) -> int:
    """Returns the number of trained values."""
    return sum(p.numel() for p in net.parameters())


def transformer_parameters(cfg: DictConfig) -> int | None:
    """Returns how many parameters the transformer of the same width, depth and length has; None for
    a network that is not on the shared trunk."""
    model = cfg.model
    if "block" not in model:
        return None
    with torch.device("meta"):
        trunk = instantiate(model.net, n_layers=0)
        mixer = SoftmaxAttention(model.d_model, n_heads=model.n_heads, d_qkv=model.d_qkv)
        block = Block(
            model.d_model,
            layer=0,
            mixer=lambda _: mixer,
            d_ff=model.d_ff,
            norm=model.norm,
            mlp=model.mlp,
        )
    return count_parameters(trunk) + model.n_layers * count_parameters(block)


def save(net: Any, data: Path, to: Path) -> None:
    """Writes a folder for init=...: a network, and the tokenizer of its packed data."""
    with replacing_folder(to) as temporary:
        net.save(temporary)
        shutil.copy(data / TOKENIZER, temporary / TOKENIZER)
