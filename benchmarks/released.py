"""python -m benchmarks.released path=../released

Compares whole training steps (forward, backward, optimiser) and evaluations with the authors'
released models at the settings of their papers: Fourier Transformer, Nystromformer, Skyformer. Both
run in one process, in turns, on a quiet machine and beside a process that keeps one core busy. Peak
memory is measured in a process for each side.

path is a folder with checkouts of the authors' code:
    git clone https://github.com/LUMIA-Group/FourierTransformer
    git clone https://github.com/mlpen/Nystromformer
    git clone https://github.com/pkuzengqi/Skyformer
Without path, the Fourier Transformer is compared with a plain definition of the same step, which
reads as the paper does, without regard to speed. Inputs are random; the lengths of text are spread
evenly from a quarter of the longest to the longest.
"""

import json
import math
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor, nn

from benchmarks import settings, write
from benchmarks.spectral_filter import released as plain_filter
from lra.cli import Key, number, run
from lra.config import Configuration
from lra.errors import UserError, one_of
from lra.machine import ROOT, cores
from lra.objective import Batch
from lra.training import runtime
from lra.training.callbacks.memory import PeakMemory
from models.attention import split_heads

# model -> a file of its released code, and the folder that it imports from
CODE = {
    "fourier": ("LRA/code/attention_dct.py", "LRA/code"),
    "nystromformer": ("LRA/code/attention_nystrom.py", "LRA/code"),
    "skyformer": ("src/models/attention_skyformer.py", "src"),
}
# examples of a step, fewer than the presets', so that five rounds take minutes on two cores
BATCH = {
    "fourier": {"image": 32, "pathfinder": 16, "listops": 8, "text": 4, "retrieval": 8},
    "nystromformer": {"image": 32, "pathfinder": 32, "listops": 16, "text": 8, "retrieval": 8},
    "skyformer": {"image": 32, "pathfinder": 32, "listops": 16, "text": 8, "retrieval": 8},
}
KEYS = {
    "path": Key(None, "a folder with the authors' code; null: a plain definition, for fourier"),
    "models": Key("fourier,nystromformer,skyformer", "names between commas"),
    "tasks": Key("image,pathfinder,listops,text,retrieval", "names between commas"),
    "rounds": Key("5", "of which the median counts"),
    "busy": Key("true", "false: leaves the measurement beside a busy process out"),
    "apart": Key(None, "ours or theirs: prints the peak memory of a step, as the command asks"),
}
Step = Callable[[], None]


class PlainLayer(nn.Module):
    """A pre-norm layer with explicit softmax and torch's dropout. keep: the filter's cut."""

    def __init__(self, size, keep: int | None):
        super().__init__()
        D, self.n_heads, self.keep = size.d_model, size.n_heads, keep
        self.dropout, self.attention_dropout = size.dropout, size.attention_dropout
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.q, self.k, self.v, self.out = (nn.Linear(D, D) for _ in range(4))
        self.up, self.down = nn.Linear(D, size.d_ff), nn.Linear(size.d_ff, D)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        if self.keep is not None:
            cls, rest = normed.tensor_split([1], dim=1)
            x = normed = torch.cat([cls, plain_filter(rest, self.keep)], dim=1)
        q, k, v = (split_heads(w(normed), self.n_heads) for w in (self.q, self.k, self.v))
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
        o = F.dropout(weights, self.attention_dropout, self.training) @ v
        x = x + self.drop(self.out(o.transpose(1, 2).flatten(2)))
        return x + self.drop(self.down(self.drop(F.gelu(self.up(self.norm2(x))))))

    def drop(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


class PlainFourier(nn.Module):
    """Maps ids (B, P, N) to logits as model=fourier does under protocol=paper: CLS first, padding
    embedded and filtered like tokens."""

    def __init__(self, cfg):
        super().__init__()
        size, D, N = cfg.model, cfg.model.d_model, cfg.model.seq_len
        self.dropout = size.dropout
        self.tokens = nn.Embedding(cfg.task.vocab_size + 1, D)
        self.cls = nn.Parameter(torch.randn(D) * 0.02)
        self.positions = nn.Parameter(torch.randn(N + 1, D) * 0.02)
        keep = -(-(N + 1) * size.block.keep_ratio // 1)
        self.layers = nn.Sequential(
            *(PlainLayer(size, int(keep) if i == 0 else None) for i in range(size.n_layers))
        )
        self.norm = nn.LayerNorm(D)
        self.head = nn.Sequential(
            nn.Linear(D * (4 if cfg.task.documents == 2 else 1), size.d_ff),
            nn.ReLU(),
            nn.Linear(size.d_ff, cfg.objective.outputs),
        )

    def forward(self, ids: Tensor) -> Tensor:
        x = self.tokens(ids.flatten(0, 1))
        x = torch.cat([self.cls.expand(len(x), 1, -1), x], dim=1) + self.positions
        x = self.layers(F.dropout(x, self.dropout, self.training))
        u = self.norm(x)[:, 0].unflatten(0, ids.shape[:2])
        if ids.shape[1] == 2:
            u, v = u.unbind(1)
            return self.head(torch.cat([u, v, u * v, u - v], dim=-1))
        return self.head(u[:, 0])


class Side:
    """One of the two networks, with its step and its evaluation of one batch."""

    def __init__(self, net: nn.Module, forward: Callable, optim, clip: float | None):
        self.net, self.forward, self.clip = net, forward, clip
        self.optimizer = torch.optim.AdamW(net.parameters(), **optim)

    def step(self) -> None:
        self.net.train()
        self.forward().backward()
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def evaluate(self) -> None:
        self.net.eval()
        with torch.no_grad():
            self.forward()


def batch_of(cfg, size: int) -> Batch:
    """Returns random examples: ids (B, P, N), lengths (B, P)."""
    torch.manual_seed(0)
    shape, N = (size, cfg.task.documents), cfg.model.seq_len
    ids = torch.randint(1, cfg.task.vocab_size, (*shape, N))
    lengths = torch.full(shape, N)
    if cfg.task.name not in ("image", "pathfinder"):
        spread = torch.linspace(N / 4, N, math.prod(shape)).long()
        lengths = spread[torch.randperm(len(spread))].view(shape)
        ids *= torch.arange(N) < lengths[..., None]
    return Batch(ids, lengths, torch.randint(2, (size,)), torch.arange(size))


def ours(model: str, task: str) -> Side:
    cfg = Configuration.of([f"task={task}", f"model={model}", "protocol=paper"]).cfg
    batch = batch_of(cfg, BATCH[model][task])
    net, objective = instantiate(cfg.model.net), instantiate(cfg.objective)
    optim = {"lr": cfg.optim.lr, "eps": cfg.optim.eps, "fused": True}
    return Side(net, lambda: objective.loss(net, batch), optim, cfg.optim.clip)


def theirs(model: str, task: str, folder: Path | None) -> Side:
    cfg = Configuration.of([f"task={task}", f"model={model}", "protocol=paper"]).cfg
    batch = batch_of(cfg, BATCH[model][task])
    if folder is None:
        plain = PlainFourier(cfg)

        def loss() -> torch.Tensor:
            return nn.functional.cross_entropy(plain(batch.ids), batch.targets)

        return Side(plain, loss, {"lr": cfg.optim.lr}, None)
    with imports_from(folder / CODE[model][1]):
        net = released_net(model, task)
    length = net.model.embeddings.position_embeddings.num_embeddings
    ids = nn.functional.pad(batch.ids, (0, length - batch.ids.shape[-1]))
    mask = (torch.arange(length) < batch.lengths[..., None]).float()
    inputs = {f"input_ids_{p}": ids[:, p] for p in range(ids.shape[1])}
    inputs |= {f"mask_{p}": mask[:, p] for p in range(ids.shape[1])}

    def forward() -> torch.Tensor:
        return net(**inputs, label=batch.targets)["loss"].mean()

    return Side(net, forward, {"lr": cfg.optim.lr, "eps": 1e-6}, None)


def released_net(model: str, task: str) -> nn.Module:
    """Builds the authors' network as their command-line program does, in full precision."""
    if model == "skyformer":
        from config import Config
        from models.model_LRA import ModelForSC, ModelForSCDual

        config = Config[f"lra-{task}"]
    else:
        from lra_config import config as tasks
        from model_wrapper import ModelForSC, ModelForSCDual

        config = tasks[{"pathfinder": "pathfinder32"}.get(task, task)]
    attention = {"fourier": "dct-0.2", "nystromformer": "nystrom-128"}.get(model, model)
    sizes = config["model"] | config["extra_attn_config"][attention]
    sizes |= {"attn_type": attention, "layers": [0], "mixed_precision": False}
    sizes["max_seq_len"] = 1 << math.ceil(math.log2(sizes["max_seq_len"]))
    sizes |= {"seq_len": sizes["max_seq_len"], "attention_grad_checkpointing": False}
    net = (ModelForSCDual if task == "retrieval" else ModelForSC)(sizes)
    for module in net.modules():
        if hasattr(module, "device"):  # Skyformer's code names the GPU
            module.device = torch.device("cpu")
    return net


@contextmanager
def imports_from(folder: Path) -> Iterator[None]:
    """Imports modules from a folder, whatever their names hide, and forgets them afterwards."""
    names = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}

    def is_theirs(name: str) -> bool:
        return name.split(".")[0] in names

    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if is_theirs(name)}
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in filter(is_theirs, list(sys.modules)):
            del sys.modules[name]
        sys.modules.update(hidden)


def code_of(model: str, path: str | None) -> Path | None:
    """Returns the checkout of a model's released code in the folder; None without a folder."""
    if path is None:
        return None
    for folder in (Path(path), *sorted(Path(path).glob("*"))):
        if (folder / CODE[model][0]).is_file():
            return folder
    raise UserError(
        f"path={path}: no checkout in it has {CODE[model][0]}. Clone it as --help says."
    )


@contextmanager
def busy_process() -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    time.sleep(1)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def in_turns(a: Step, b: Step, rounds: int) -> list[float]:
    """Returns the median seconds of both."""
    seconds: list[list[float]] = [[], []]
    for turn in range(rounds + 1):
        for way, times in zip((a, b), seconds, strict=True):
            start = time.perf_counter()
            way()
            if turn:
                times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def peak_of(side: Side) -> int:
    """Returns the bytes that two steps need above those of the network."""
    runtime.return_freed_memory()
    memory = PeakMemory("cpu")
    for _ in range(2):
        side.step()
    memory.stop()
    return memory.memory().peak_bytes


def peak_apart(side: str, model: str, task: str, path: str | None) -> int:
    words = [
        f"apart={side}",
        f"models={model}",
        f"tasks={task}",
        *([f"path={path}"] if path else []),
    ]
    command = [sys.executable, "-m", "benchmarks.released", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise UserError(f"{' '.join(words)} could not be measured: {done.stderr.splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(model: str, task: str, path: str | None, rounds: int, busy: bool) -> str:
    """Returns a line of the table."""
    a, b = ours(model, task), theirs(model, task, code_of(model, path))
    cells = [model, task, str(BATCH[model][task])]

    def ratio(us: float, them: float) -> str:
        return f"{us:.3f} / {them:.3f} s = {them / us:.2f}"

    cells.append(ratio(*in_turns(a.step, b.step, rounds)))
    cells.append(ratio(*in_turns(a.evaluate, b.evaluate, rounds)))
    if busy:
        with busy_process():
            cells.append(ratio(*in_turns(a.step, b.step, rounds)))
    us, them = (peak_apart(side, model, task, path) for side in ("ours", "theirs"))
    cells.append(f"{us / 1e6:.0f} / {them / 1e6:.0f} MB = {us / them:.2f}")
    return "| " + " | ".join(cells) + " |"


def named(given: dict[str, str], key: str, known) -> list[str]:
    chosen = given[key].split(",")
    for name in chosen:
        if name not in known:
            raise one_of(key.removesuffix("s"), name, list(known))
    return chosen


def main() -> None:
    warnings.simplefilter("ignore")  # the warnings of the released code
    given = settings(KEYS)
    path, rounds = given["path"], number(given, "rounds")
    models = named(given, "models", CODE) if path else ["fourier"]
    tasks = named(given, "tasks", BATCH["fourier"])
    torch.set_num_threads(cores())
    if given["apart"]:
        model, task = models[0], tasks[0]
        mine = given["apart"] == "ours"
        side = ours(model, task) if mine else theirs(model, task, code_of(model, path))
        print(peak_of(side))
        return
    runtime.keep_freed_memory()  # as training does
    busy = given["busy"] == "true"
    if given["busy"] not in ("true", "false"):
        raise one_of("busy", given["busy"], ["true", "false"])
    header = ["model", "task", "batch", "step: ours / theirs", "evaluation"]
    header += ["step beside a busy process"] * busy + ["peak memory of a step"]
    theirs_are = "the authors' released code" if path else "a plain definition"
    lines = [
        f"{cores()} threads, median of {rounds}, in turns; theirs: {theirs_are}\n",
        "| " + " | ".join(header) + " |\n|" + "---|" * len(header),
    ]
    print("\n".join(lines))
    for model in models:
        for task in tasks:
            lines.append(compare(model, task, path, rounds, busy))
            print(lines[-1], flush=True)
    if path and busy and all(given[key] == KEYS[key].default for key in ("models", "tasks")):
        write("released", "Whole steps beside the authors' released code", "\n".join(lines))


if __name__ == "__main__":
    sys.exit(run(main, __doc__, KEYS))
