"""Compares results on a GPU with the CPU, measures, trains and resumes there (make test-gpu).

LRA_GPU=cpu python -m pytest -m gpu rehearses these tests on a machine without a GPU: the CPU then
stands in, so that the tests themselves are known to work.
"""

import os
import time

import pytest
import torch

from lra.efficiency import lab
from lra.efficiency.lab import Limits
from lra.training.callbacks.memory import PeakMemory
from lra.training.callbacks.speed import synchronise
from models.dropout import Dropout
from models.fourier import resample, spectral_filter
from models.softmax import softmax_attention
from tests import originals
from tests.conftest import MODELS, TINY, Runner, compose_net
from tests.test_run import until_checkpoint

REHEARSAL = os.environ.get("LRA_GPU") == "cpu"
DEVICE = "cpu" if REHEARSAL else "cuda"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (REHEARSAL or torch.cuda.is_available()), reason="torch sees no GPU on this machine"
    ),
]
on_gpu = pytest.mark.skipif(REHEARSAL, reason="the CPU cannot stand in for this")
TRAINER = [] if REHEARSAL else ["trainer.accelerator=gpu"]
TASKS = {"listops": TINY} | originals.SETTINGS
DRAWS = ("rand", "randn", "randint", "randperm")


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Computes convolutions in float32, too, where torch's default is TF32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def same_draws(monkeypatch):
    """Draws random numbers on the CPU, whatever the device: the generators of devices differ."""

    def on_cpu(by):
        return lambda *sizes, device=None, **more: by(*sizes, **more).to(device)

    for name in DRAWS:
        monkeypatch.setattr(torch, name, on_cpu(getattr(torch, name)))


def outcome(module, n: int, device: str, half: bool = False):
    """Returns the logits of a batch of unequal lengths and all gradients in one vector."""
    generator = torch.Generator().manual_seed(n)
    ids = torch.randint(1, 15, (4, 1, n), generator=generator).to(torch.uint16)
    lengths = torch.tensor([[n], [n // 2], [5], [1]])
    torch.manual_seed(1)
    module = module.to(device)
    module.zero_grad()
    with torch.autocast(device, torch.bfloat16, enabled=half):
        logits = module(ids.to(device), lengths.to(device))
    weights = torch.randn(logits.shape, generator=generator).to(device)
    (logits.float() * weights).sum().backward()
    gradients = [p.grad.flatten() for p in module.parameters() if p.grad is not None]
    return logits.detach().float().cpu(), torch.cat(gradients).cpu()


def error(found, expected) -> float:
    """Returns the relative error, by the root mean square."""
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("n", [60, 1500])
@pytest.mark.parametrize("model", MODELS)
def test_a_model_gives_what_it_gives_on_the_cpu(model, n, same_draws):
    module = compose_net({"model": model, "model.seq_len": n}).eval()
    logits, gradient = outcome(module, n, "cpu")
    for half, bounds in ((False, (1e-4, 2e-3)), (True, (0.05, 0.3))):
        there = outcome(module, n, DEVICE, half)
        assert there[0].isfinite().all()
        assert there[1].isfinite().all()
        assert error(there[0], logits) < bounds[0]
        # buckets and samples are chosen by comparing scores, which bf16 rounds to another choice
        if not (half and model in ("informer", "reformer")):
            assert error(there[1], gradient) < bounds[1]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_query_without_keys_gets_zero_and_no_gradient_is_lost(dtype, bias):
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, 40, 16) for _ in range(3))
    allowed = torch.rand(2, 1, 40, 40) < 0.5
    allowed[0, :, 7] = False
    scores = torch.randn(40, 40) if bias else None

    def attend(device, dtype):
        leaves = [x.to(device, dtype).detach().requires_grad_() for x in (q, k, v)]
        added = None if scores is None else scores.to(device, dtype).requires_grad_()
        o = softmax_attention(*leaves, allowed.to(device), bias=added)
        o.sum().backward()
        return [x.detach().float().cpu() for x in (o, *(x.grad for x in leaves))]

    o, *gradients = attend(DEVICE, dtype)
    expected, *theirs = attend("cpu", torch.float64)
    assert not o[0, :, 7].any()
    bound = 1e-5 if dtype is torch.float32 else 0.02
    for ours, right in zip((o, *gradients), (expected, *theirs), strict=True):
        torch.testing.assert_close(ours, right.float(), atol=bound, rtol=bound)


@pytest.mark.parametrize("n, keep", [(60, 12), (61, 33), (4096, 1500)])
def test_the_filter_s_operator_takes_any_layout_and_stays_in_float32(n, keep):
    torch.manual_seed(0)
    x = torch.randn(3, 16, n)
    expected = spectral_filter(x.mT.contiguous().double(), keep)
    for view in (x.mT, x.mT.contiguous()):
        there = view.to(DEVICE)
        for found in (spectral_filter(there, keep), resample(there, keep)):
            torch.testing.assert_close(found.cpu().double(), expected, atol=1e-5, rtol=1e-5)
        with torch.autocast(DEVICE, torch.bfloat16):
            found = spectral_filter(there, keep)
        torch.testing.assert_close(found.cpu().double(), expected, atol=1e-5, rtol=1e-5)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    dropout = Dropout(0.3)
    x = torch.ones(1000, 1000, device=DEVICE, requires_grad=True)
    y = dropout(x)
    y.sum().backward()
    assert torch.equal(x.grad, y)
    x, y = x.detach(), y.detach()
    assert float((y == 0).float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(y.mean()) == pytest.approx(1, abs=0.01)
    residual = torch.ones_like(x)
    assert float(dropout.add(residual, x).mean()) == pytest.approx(2, abs=0.01)


@on_gpu
def test_memory_is_the_peak_of_the_allocator():
    kept = torch.ones(10_000_000, device=DEVICE)
    memory = PeakMemory("gpu")
    torch.ones(30_000_000, device=DEVICE)
    assert memory.memory().kind == "cuda allocator"
    assert memory.memory().peak_bytes == pytest.approx(120e6, rel=0.05)
    memory.begin()
    assert memory.memory().peak_bytes < 1e6
    del kept


@on_gpu
def test_a_clock_waits_for_the_gpu():
    torch.cuda.synchronize()
    start = time.perf_counter()
    torch.cuda._sleep(10**9)  # cycles
    launched = time.perf_counter() - start
    synchronise(torch.device(DEVICE))
    done = time.perf_counter() - start
    assert done > 0.2 > launched


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    path = tmp_path_factory.mktemp("originals")
    originals.write_all(path)
    return path


def killed(run: Runner, words: list[str]) -> None:
    """Starts a run and kills it as soon as it has a checkpoint."""
    child = run.start(*words, "trainer.checkpoint_seconds=0", cold=True)
    until_checkpoint(run, child)
    child.kill()
    child.communicate()


@pytest.mark.parametrize("task", sorted(TASKS))
def test_a_task_trains_is_killed_and_goes_on(task, archives, tmp_path, monkeypatch):
    monkeypatch.setenv("LRA_ARCHIVES", str(archives))
    run = Runner(tmp_path / "data", tmp_path / "results")
    run.common = [word for word in run.common if word not in TINY]
    small = ["batch_size=1", "max_eval_examples=2"] if task == "pathx" else []
    words = [*TRAINER, f"task={task}", *TASKS[task], *small, "max_steps=60", "val_every=30"]
    killed(run, words)
    done = run(*words, cold=True)
    assert done.returncode == 0, done.stderr
    row = run.rows()[-1]
    assert row.status == "done"
    assert row.last_step == 60
    assert row.environment["device_type"] == DEVICE
    if not REHEARSAL:
        assert row.memory.kind == "cuda allocator"
        assert row.environment["tf32"] == ["convolutions"]


@pytest.mark.parametrize("model", ["fourier", "transformer", "nystromformer"])
def test_with_deterministic_kernels_a_resumed_run_ends_bit_identical(model, tiny_root, tmp_path):
    words = [*TRAINER, "trainer.deterministic=true", f"model={model}", "max_steps=60"]
    words += ["val_every=30"]
    rows = []
    for name in ("unbroken", "killed"):
        run = Runner(tiny_root, tmp_path / name)
        if name == "killed":
            killed(run, words)
        done = run(*words, cold=True)
        assert done.returncode == 0, done.stderr
        rows.append(run.rows()[-1])
    assert rows[1].resumes
    assert rows[0].test_outputs_sha256 == rows[1].test_outputs_sha256
    assert rows[0].final_loss == rows[1].final_loss


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_lab_measures_two_lengths(precision):
    peaks = {}
    for n in (256, 1024):
        cfg = lab.compose("transformer", n, 4, [*TRAINER, f"precision={precision}"])
        cell = lab.Cell("transformer", cfg, compile=False, overrides=[])
        found = lab.measure(cell, 0, 3, Limits(120, 16 * 10**9))
        assert found.status == "done", found.reason
        assert min(found.training.step_seconds) > 0
        assert found.training_cost.flops > 0
        assert any("attention" in name for name in found.training_cost.attention)
        peaks[n] = found.training_cost.memory.peak_bytes
    assert peaks[1024] > 1.3 * peaks[256]


@on_gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="two ranks need two GPUs (NCCL)")
def test_two_ranks_train_to_the_weights_of_one_process(tiny_root, tmp_path):
    steps = ["model.dropout=0", "max_steps=20", "val_every=10", "batch_size=4"]
    weights = []
    for name, words in (("one", TRAINER), ("two", ["trainer=ddp", "trainer.devices=2"])):
        run = Runner(tiny_root, tmp_path / name)
        done = run(*words, *steps, "max_eval_examples=8", f"results.path={run.results}", cold=True)
        assert done.returncode == 0, done.stderr
        (path,) = run.results.glob("work/*/selected.ckpt")
        weights.append(torch.load(path, weights_only=True)["state_dict"])
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], rtol=1e-3, atol=1e-5)


@on_gpu
def test_one_rank_of_ddp_trains(tiny_root, tmp_path):
    run = Runner(tiny_root, tmp_path)
    done = run("trainer=ddp", "trainer.devices=1", f"results.path={run.results}", cold=True)
    assert done.returncode == 0, done.stderr
    assert run.rows()[-1].environment["device_type"] == "cuda"
