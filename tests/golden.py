"""python -m tests.golden    writes tests/golden.json: the loss of each model over twenty steps

The networks train in evaluation mode, without dropout and with the draws that are saved with the
weights, so that only rounding may move a curve. Run it on a commit whose numbers are trusted, never
to make a failing test pass.
"""

import json
from pathlib import Path

import torch
from hydra.utils import instantiate

from lra import config
from lra.config import Configuration
from lra.objective import Batch

FILE = Path(__file__).with_suffix(".json")
STEPS, B, N = 20, 6, 150
UNEQUAL = [N, 40, 97, 64, 3, 101]
# settings, and the lengths of a batch's sequences
CASES = {
    "image": (["task=image"], [N] * B),
    "listops": (["task=listops"], UNEQUAL),
    "cls": (["task=listops", "model.pooling=cls"], UNEQUAL),
}
SMALL = ["protocol=lite", "model.d_model=32", f"model.seq_len={N}"]


def curve(model: str, case: str) -> list[float]:
    """Trains the model with AdamW on two batches in turns and returns its losses."""
    settings, lengths = CASES[case]
    cfg = Configuration.of([f"model={model}", *settings, *SMALL]).cfg
    torch.manual_seed(0)
    objective, net = instantiate(cfg.objective), instantiate(cfg.model.net).eval()
    batches = [batch(cfg.task.vocab_size, lengths, seed) for seed in (1, 2)]
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-4)
    losses = []
    for step in range(STEPS):
        loss = objective.loss(net, batches[step % 2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def batch(vocab_size: int, lengths: list[int], seed: int) -> Batch:
    torch.manual_seed(seed)
    n = torch.tensor(lengths)
    ids = torch.randint(1, vocab_size, (B, N)) * (torch.arange(N) < n[:, None])
    return Batch(ids[:, None], n[:, None], torch.randint(10, (B,)), torch.arange(B))


def main() -> None:
    curves = {m: {case: curve(m, case) for case in CASES} for m in config.models()}
    FILE.write_text(json.dumps(curves, indent=1) + "\n")


if __name__ == "__main__":
    main()
