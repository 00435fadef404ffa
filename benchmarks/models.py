"""python -m benchmarks.models

Compares each model with the transformer on scaled_dot_product_attention, and with a public
implementation of the same method where one is installed (pip install -r requirements-oracles.txt).
A time is the median of forward and backward passes, batch 4, that alternate in one process. Blocks
are compared with the transformer's block, mixers with public attention layers. Peak memory is
measured in a separate process. models=all writes results/speed.md.
"""

import statistics
import sys
import time
import warnings
from pathlib import Path

import torch

from benchmarks import settings
from benchmarks.scaling import build, measure_apart
from lra import config
from lra.certificate import named
from lra.cli import Key, number, numbers, run
from lra.files import replacing
from lra.machine import cores
from lra.training import runtime

BATCH = 4
KEYS = {
    "models": Key("all", "names between commas"),
    "rounds": Key("3", "of which the median counts"),
    "lengths": Key("1024,2048,4096", "tokens"),
    "widths": Key("64,256", "d_model"),
}
HEADER = ["model", "d_model", "N", "ms", "x transformer", "x public", "peak MB"]


def local(d, n):
    from local_attention import LocalAttention
    from torch import nn

    class Layer(nn.Module):  # the package's LocalMHA is causal and rotary: only its attention
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.attend = LocalAttention(
                128,
                causal=False,
                autopad=True,
                look_backward=0,
                look_forward=0,
                dim=d // 2,
                use_rotary_pos_emb=False,
            )

        def forward(self, x):
            q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, d // 2).permute(2, 0, 3, 1, 4)
            return self.out(self.attend(q, k, v).transpose(1, 2).flatten(2))

    return Layer()


def performer(d, n):
    from performer_pytorch import SelfAttention

    return SelfAttention(d, heads=2, dim_head=d // 2, nb_features=128, causal=False)


def nystromformer(d, n):
    from nystrom_attention import NystromAttention

    return NystromAttention(d, heads=2, dim_head=d // 2, num_landmarks=128, residual_conv_kernel=35)


def linformer(d, n):
    from linformer import LinformerSelfAttention

    return LinformerSelfAttention(
        d, n, k=256, heads=2, dim_head=d // 2, one_kv_head=False, share_kv=True
    )


def sinkhorn(d, n):
    from sinkhorn_transformer.sinkhorn_transformer import SinkhornSelfAttention

    # The default, non_permutative=True, picks one block without Sinkhorn's iteration.
    return SinkhornSelfAttention(
        d,
        bucket_size=64,
        max_seq_len=n,
        heads=2,
        dim_head=d // 2,
        causal=False,
        non_permutative=False,
    )


def reformer(d, n):
    from reformer_pytorch import LSHSelfAttention

    return LSHSelfAttention(d, heads=2, bucket_size=64, n_hashes=2, causal=False)


def longformer(d, n):
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = LongformerConfig(
        hidden_size=d, num_attention_heads=2, attention_window=[128], attention_probs_dropout_prob=0
    )
    layer, out = LongformerSelfAttention(config, 0), torch.nn.Linear(d, d)
    mask = torch.zeros(BATCH, n)
    is_global = torch.zeros(BATCH, n, dtype=torch.bool)
    is_global[:, 0] = True

    def forward(x):
        seen = layer(
            x,
            attention_mask=mask.masked_fill(is_global, 10000.0),
            is_index_masked=mask < 0,
            is_index_global_attn=is_global,
            is_global_attn=True,
        )[0]
        return out(seen)  # their output projection is in another module

    return forward


def bigbird(d, n):
    from transformers import BigBirdConfig
    from transformers.models.big_bird.modeling_big_bird import (
        BigBirdBlockSparseAttention,
        BigBirdModel,
    )

    config = BigBirdConfig(
        hidden_size=d,
        num_attention_heads=2,
        block_size=64,
        num_random_blocks=3,
        max_position_embeddings=max(n, 4096),
        attention_probs_dropout_prob=0,
    )
    layer, out = BigBirdBlockSparseAttention(config, seed=0), torch.nn.Linear(d, d)
    masks = BigBirdModel.create_masks_for_block_sparse_attn(torch.ones(BATCH, n), 64)
    blocked, band, start, end = masks

    def forward(x):
        seen = layer(
            x,
            band_mask=band,
            from_mask=start,
            to_mask=end,
            from_blocked_mask=blocked,
            to_blocked_mask=blocked,
        )[0]
        return out(seen)  # their output projection is in another module

    return forward


def fnet(d, n):
    from transformers import FNetConfig
    from transformers.models.fnet.modeling_fnet import FNetBasicFourierTransform

    layer = FNetBasicFourierTransform(
        FNetConfig(hidden_size=d, use_tpu_fourier_optimizations=False)
    )
    return lambda x: layer(x)[0]


PUBLIC = {
    "bigbird": ("transformers", bigbird),
    "fnet": ("transformers", fnet),
    "linformer": ("linformer", linformer),
    "local": ("local-attention", local),
    "longformer": ("transformers", longformer),
    "nystromformer": ("nystrom-attention", nystromformer),
    "performer": ("performer-pytorch", performer),
    "reformer": ("reformer-pytorch", reformer),
    "sinkhorn": (
        "sinkhorn-transformer (its values are the sorted keys: one sorting less)",
        sinkhorn,
    ),
}


def alternate(ways: list, x, rounds: int) -> list[float]:
    """Returns the median seconds of each way, forward and backward, after a warm-up round."""
    seconds = [[] for _ in ways]
    for _ in range(rounds + 1):
        for way, times in zip(ways, seconds, strict=True):
            start = time.perf_counter()
            way(x).sum().backward()
            times.append(time.perf_counter() - start)
    return [statistics.median(times[1:]) for times in seconds]


def compare(model: str, d: int, n: int, rounds: int) -> list[str]:
    """Returns the cells ms, transformer / model and public / model."""
    x = torch.randn(BATCH, n, d, requires_grad=True)
    mask = torch.ones(BATCH, n, dtype=torch.bool)
    block, transformer = build(model, n, d), build("transformer", n, d)
    theirs, ours = alternate(
        [lambda x: transformer(x, mask)[0], lambda x: block(x, mask)[0]], x, rounds
    )
    line = [f"{1000 * ours:.0f}", f"{theirs / ours:.2f}"]
    if model in PUBLIC:
        try:
            public = PUBLIC[model][1](d, n)
        except ImportError:
            return [*line, "not installed"]
        public_seconds, ours = alternate([public, lambda x: block.mixer(x, mask)], x, rounds)
        return [*line, f"{public_seconds / ours:.2f}"]
    return [*line, "-"]


def slower(lines: list[list[str]], ahead_of: str, longest: str | None = None) -> str:
    """Returns the models with a ratio below 1 in the column `ahead_of`, at one length or at any,
    with their worst ratio."""
    worst: dict[str, float] = {}
    for line in lines:
        cells = dict(zip(HEADER, line, strict=True))
        try:
            ratio = float(cells[ahead_of])
        except ValueError:  # nothing to compare with
            continue
        if ratio < 1 and longest in (None, cells["N"]):
            worst[cells["model"]] = min(ratio, worst.get(cells["model"], 1.0))
    named = (f"{m} ({config.cost(m)}, {ratio:.2f})" for m, ratio in sorted(worst.items()))
    return ", ".join(named) or "none"


def document(lines: list[list[str]], rounds: int) -> str:
    text = "<!-- written by python -m benchmarks.models; do not edit -->\n\n# Speed\n\n"
    text += f"Forward and backward, batch {BATCH}, {cores()} threads, alternating, median of "
    text += f"{rounds}. x transformer and x public: how many times faster than these.\n\n"
    text += f"Slower than the transformer at {lines[-1][2]}, with what they claim to grow as and "
    text += f"their lowest ratio: {slower(lines, 'x transformer', lines[-1][2])}. The "
    text += "transformer beside itself shows the noise.\n\n"
    text += f"Slower than the public code at some size: {slower(lines, 'x public')}.\n\n"
    text += "| " + " | ".join(HEADER) + " |\n|" + "---|" * len(HEADER) + "\n"
    text += "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return text + "\n" + "".join(f"- {m}: {p}\n" for m, (p, _) in PUBLIC.items())


def main() -> None:
    warnings.simplefilter("ignore")  # the warnings of the public packages
    given = settings(KEYS)
    chosen, rounds = named(given["models"]), number(given, "rounds")
    lengths, widths = numbers(given, "lengths"), numbers(given, "widths")
    torch.set_num_threads(cores())
    runtime.keep_freed_memory()  # as training does
    print(" | ".join(HEADER))
    lines = []
    for model in chosen:
        for d in widths:
            for n in lengths:
                memory = measure_apart(model, n, d, BATCH, 1)["bytes"]
                line = [
                    model,
                    str(d),
                    f"{n:,}",
                    *compare(model, d, n, rounds),
                    f"{memory / 1e6:.0f}",
                ]
                print(" | ".join(line), flush=True)
                lines.append(line)
    if given["models"] == "all":
        with replacing(Path("results/speed.md")) as temporary:
            temporary.write_text(document(lines, rounds))
        print("written: results/speed.md")


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
