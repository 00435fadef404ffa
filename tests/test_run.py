"""End to end: run.py as a user calls it, on a tiny ListOps."""

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import torch

from lra.store import runs
from tests import warm
from tests.conftest import ROOT, TINY

# Seconds of training, which a test ends early.
LONG = ["max_steps=5000", "val_every=100", "trainer.checkpoint_seconds=0.2"]


def one_sentence(result, *words, code=1):
    """Asserts that a mistake ends in one line on stderr that says what to do, and no traceback."""
    assert result.returncode == code, result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    for word in words:
        assert word in lines[0], lines[0]


def checkpoint(run):
    return next(run.results.glob("work/*/last.ckpt"), None)


def until_checkpoint(run, child, seconds=120):
    end = time.monotonic() + seconds
    while checkpoint(run) is None:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_run_leaves_a_row_and_is_not_repeated(run):
    first = run()
    assert first.returncode == 0, first.stderr
    (row,) = run.rows()
    assert row.status == "done"
    assert row.test_score.n == 8
    assert row.val_score.n == 8
    assert row.last_step == 4
    assert row.selected_step in (2, 4)
    assert row.parameters > 0
    assert row.memory.peak_bytes > 0
    assert row.modified["max_steps"] == [5000, 4]
    assert row.environment["threads"] == 1
    (path,) = run.results.glob("runs/listops/fourier/*.npy")
    assert len(np.load(path)) == 8
    assert "majority label" in first.stdout
    assert f"{100 * row.test_score.value:.2f}" in first.stdout
    assert "81,482 parameters" in first.stderr

    again = run()
    assert again.returncode == 0
    assert "Done already" in again.stdout
    assert len(run.rows()) == 1
    assert f"{100 * row.test_score.value:.2f}" in again.stdout

    rerun = run("rerun=true")
    assert rerun.returncode == 0
    one, two = run.rows()
    assert (one.attempt, two.attempt) == (1, 2)
    assert one.test_outputs_sha256 == two.test_outputs_sha256


def test_a_checkpoint_from_before_a_setting_scores_with_its_default(run):
    assert run("model=performer", "filter=fourier").returncode == 0
    (saved,) = run.results.glob("work/*/selected.ckpt")
    stored = torch.load(saved, weights_only=True)
    cfg = json.loads(stored["lra"]["config"])
    for key in ("bucket_by_length", "protocol", "precision"):
        del cfg[key]
    del cfg["optim"]["eps"], cfg["task"]["title"], cfg["trainer"]
    stored["lra"]["config"] = json.dumps(cfg)
    torch.save(stored, saved)
    again = run(f"evaluate={saved}")
    assert again.returncode == 0, again.stderr
    assert "bit for bit" in again.stdout


def test_a_checkpoint_scores_the_same_again(run, tmp_path, tiny_root):
    assert run("model=transformer").returncode == 0
    (saved,) = run.results.glob("work/*/selected.ckpt")
    (row,) = run.rows()
    again = run(f"evaluate={saved}")
    assert again.returncode == 0, again.stderr
    assert "bit for bit" in again.stdout
    assert f"{100 * row.test_score.value:.2f} %" in again.stdout
    assert len(run.rows()) == 1

    one_sentence(run(f"evaluate={saved}", "model=fourier"), "model.name=transformer", "fourier")
    one_sentence(run(f"evaluate={saved}", "data.seed=1", f"data.root={tmp_path}/d"), "other data")
    saved.write_bytes(saved.read_bytes()[:1000])
    one_sentence(run(f"evaluate={saved}"), "damaged")


def test_a_checkpoint_holds_tensors_and_plain_types_only(run):
    assert run().returncode == 0
    (saved,) = run.results.glob("work/*/selected.ckpt")
    stored = torch.load(saved, weights_only=True)
    assert stored["lra"]["cell"] == run.rows()[0].cell


def test_killed_at_any_step_it_ends_bit_identical(run, tmp_path):
    settings = ["max_steps=200", "val_every=50", "trainer.checkpoint_seconds=0"]
    assert run(*settings).returncode == 0
    (unbroken,) = run.rows()

    run.common[-1] = f"results.root={tmp_path / 'killed'}"
    run.results = tmp_path / "killed" / "smoke"
    kills = 0
    for delay in (0.05, 0.5):
        child = run.start(*settings)
        until_checkpoint(run, child)
        mark = checkpoint(run).stat().st_mtime_ns
        while checkpoint(run) and checkpoint(run).stat().st_mtime_ns == mark and not child.poll():
            time.sleep(0.005)  # this attempt has made progress of its own
        time.sleep(delay)
        child.kill()
        child.communicate()
        kills += child.returncode == -signal.SIGKILL
    assert kills
    assert not list(run.results.glob("runs/**/*.json"))
    assert run(*settings).returncode == 0
    (row,) = run.rows()
    assert row.resumes
    assert row.resumes[-1].step > 0
    assert row.resumes[-1].changed == {}
    for fact in ("test", "val", "selected_step", "test_outputs_sha256", "warnings"):
        assert getattr(row, fact) == getattr(unbroken, fact)


@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 0)]
)
def test_a_signal_finishes_the_step_and_leaves_a_checkpoint(run, number, code):
    child = run.start(*LONG)
    until_checkpoint(run, child)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    assert "goes on from where it was" in err
    assert "Traceback" not in err
    (row,) = run.rows()
    assert row.status == "interrupted"
    assert signal.Signals(number).name in row.error
    step = torch.load(checkpoint(run), weights_only=True)["global_step"]
    assert step == row.last_step > 0


def test_a_second_ctrl_c_exits_at_once(run):
    # A step of this model takes two seconds, so that both signals fall inside one step.
    slow = ["model.d_model=512", "model.d_ff=4096", "batch_size=192", "max_eval_examples=1"]
    child = run.start(*LONG, *slow, "trainer.checkpoint_seconds=0")
    until_checkpoint(run, child)
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Stopped by" not in err
    assert run.rows() == []
    assert torch.load(checkpoint(run), weights_only=True)["global_step"] > 0


def test_a_signal_inside_the_test_split_is_heard(run, tmp_path):
    many = ["task.variants.short.counts.test=20000", f"data.root={tmp_path}"]
    few = ["max_eval_examples=20000", "max_steps=1", "val_every=9"]
    few += ["task.variants.short.counts.val=4"]
    child = run.start(*many, *few)
    until_checkpoint(run, child)  # written when training is over
    time.sleep(1.0)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 143, err
    assert [row.status for row in run.rows()] == ["interrupted"]


def test_a_run_shorter_than_its_first_validation_is_scored(run):
    result = run("max_steps=3", "val_every=100")
    assert result.returncode == 0, result.stderr
    (row,) = run.rows()
    assert row.selected_step == row.last_step == 3
    assert row.val_score.n == 8


def test_a_loss_that_is_no_number_leaves_a_diverged_row(run):
    one_sentence(run("optim.lr=1e30", "optim.clip=null"), "diverged", "optim.lr")
    (row,) = run.rows()
    assert row.status == "diverged"
    assert row.test is None


def test_a_sweep_runs_each_cell_in_a_process_and_skips_finished_ones(run):
    sweep = ["-m", "model=fourier,transformer", "seed=1"]
    first = run(*sweep)
    assert first.returncode == 0, first.stderr
    found = [(row.model, row.seed, row.status) for row in run.rows()]
    assert found == [(model, 1, "done") for model in ("fourier", "transformer")]
    again = run(*sweep)
    assert again.stdout.count("Done already") == 2
    assert len(run.rows()) == 2


def test_a_failing_cell_does_not_stop_a_sweep(run):
    result = run("-m", "optim.lr=0,1e30,1e-3", "optim.clip=null")
    assert result.returncode == 1
    assert result.stderr.count("failed: ") == 2
    assert "Traceback" not in result.stderr
    assert sorted(row.status for row in run.rows()) == ["diverged", "done"]


def test_a_killed_child_leaves_a_row(run):
    sweep = run.start("-m", *LONG, "seed=0", cold=True)
    until_checkpoint(run, sweep)
    (child,) = psutil.Process(sweep.pid).children()
    child.kill()
    sweep.communicate(timeout=60)
    assert sweep.returncode == 1
    (row,) = run.rows()
    assert row.status == "failed"
    assert "SIGKILL" in row.error


def test_a_signal_to_a_sweep_stops_the_cell_and_the_sweep(run):
    sweep = run.start("-m", *LONG, "seed=0,1")
    until_checkpoint(run, sweep)
    sweep.send_signal(signal.SIGTERM)
    sweep.communicate(timeout=60)
    assert sweep.returncode == 143
    assert [(row.seed, row.status) for row in run.rows()] == [(0, "interrupted")]


@pytest.mark.parametrize(
    "overrides, words",
    [
        (["task=listop"], ["task 'listop'", "listops"]),
        (
            ["model=furier"],
            ["model 'furier'", "sparse, synthesizer, transformer", "Did you mean fourier?"],
        ),
        (["protocol=paperr"], ["protocol", "lite, matched, paper"]),
        (["modle.d_model=3"], ["option 'modle.d_model'", "Did you mean model.d_model?"]),
        (["listops"], ["'listops' is not key=value", "Did you mean task=listops?"]),
        (["lr=0.1"], ["There is no option 'lr'", "Did you mean optim.lr?"]),
        (["task=listops,text"], ["task=listops,text names several", "add -m"]),
        (["+new=1"], ["no setting is called new"]),
        (["+optim.new=1"], ["no setting is called optim.new"]),
        (["+model.new=1"], ["no setting is called model.new"]),
        (["+task.variants.short.new=1"], ["no setting is called task.variants.short.new"]),
        (["-m", "--cfg=job"], ["-m runs a sweep and --cfg prints", "give one of them"]),
        (["optim.lrr=3"], ["option 'optim.lrr'", "Did you mean optim.lr?"]),
        (["optimm=3"], ["option 'optimm'"]),
        (["+model.block.keep=3"], ["unexpected keyword argument 'keep'"]),
        (["model.block.keep_ratio=2"], ["keep_ratio=2"]),
        (["model.pooling=max"], ["pooling=max", "mean, cls or last"]),
        (["model.n_heads=7"], ["model.n_heads=7"]),
        (["seed=one"], ["seed=one"]),
        (["task.variant=shrt"], ["shrt", "Did you mean short?"]),
        (["data.root=/proc/nowhere"], ["Cannot write /proc/nowhere", "data.root"]),
        (["results.root=/proc/nowhere"], ["Cannot write /proc/nowhere", "results.root"]),
        (["data.archive=nowhere.tar"], ["data.archive"]),
    ],
)
def test_a_mistake_ends_in_one_sentence(run, overrides, words):
    one_sentence(run(*overrides), *words)


@pytest.mark.parametrize(
    "overrides",
    [
        ["model.n_heads=7"],  # refused by the network
        ["+model.block.keep=3"],
        ["trainer.devices=3"],  # batch_size=4 does not divide among them
    ],
)
def test_nothing_that_failed_before_training_leaves_a_trace(run, overrides, tmp_path):
    done = run(*overrides, f"data.root={tmp_path}/data")
    assert done.returncode == 1, done.stderr
    assert run.rows() == []
    if "trainer.devices=3" not in overrides:  # known before data are made and a cell is claimed
        assert not (tmp_path / "data").exists()
        assert not run.results.exists()


def test_the_boards_row_is_the_expected_value_and_does_not_count_as_done(run, tmp_path):
    assert run("max_eval_examples=null").returncode == 0
    (theirs,) = run.rows()
    board = tmp_path / "board"
    run.results.rename(board)
    (path,) = board.glob("runs/*/*/*.json")
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"origin": "A. Person"}))
    done = run("max_eval_examples=null", f"results.board={board}")
    assert "Done already" not in done.stdout
    (mine,) = run.rows()
    assert mine.test == theirs.test
    (line,) = re.findall(r"^board: .*(?:\n  .*)*", done.stdout, re.MULTILINE)
    assert "submitted by A. Person: this run is within the board's interval" in " ".join(
        line.split()
    )
    damaged = path.read_text()[:-10]
    path.write_text(damaged)
    again = run("max_eval_examples=null", f"results.board={board}")
    assert again.returncode == 0
    assert re.search(r"^board: +cannot be compared:", again.stdout, re.MULTILINE)
    path.write_text(json.dumps(fields))
    tables = warm.run(
        [
            "-m",
            "lra.tables",
            "modified=true",
            f"results.root={run.results}",
            f"results.board={board}",
        ]
    )
    assert tables.returncode == 0, tables.stderr
    assert "fourier (yours)" in tables.stdout
    assert "of your own store" in tables.stdout
    page = warm.run(
        [
            *("-m", "lra.leaderboard", "modified=true"),
            f"results.root={run.results}",
            f"results.board={board}",
        ]
    )
    assert page.returncode == 0, page.stderr
    assert "fourier (yours)" in (run.results / "leaderboard.html").read_text()


def test_a_sweep_says_which_cell_it_runs_and_ends_with_means(run):
    done = run("-m", "model=fourier,fnet", "seed=0,1")
    assert done.returncode == 0, done.stderr
    for number in range(1, 5):
        assert f"cell {number} of 4: " in done.stdout
    rows = run.rows()
    for model in ("fourier", "fnet"):
        values = [100 * row.test_score.value for row in rows if row.model == model]
        spread = f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f} %"
        assert re.search(rf"^model={model} +{re.escape(spread)} +0, 1", done.stdout, re.MULTILINE)


def test_altered_data_end_in_one_sentence(run, tmp_path):
    assert run(f"data.root={tmp_path}").returncode == 0
    file = tmp_path / "listops/short/train/ids.npy"
    file.write_bytes(file.read_bytes()[:-10])
    one_sentence(run(f"data.root={tmp_path}", "rerun=true"), "train/ids.npy", "delete")


def test_a_full_disk_ends_in_one_sentence_and_loses_nothing(run):
    """A file-size limit stands in for the full disk. Afterwards the same command succeeds."""
    python, *arguments = (f"'{word}'" for word in run.command())
    # -B: Python itself would leave truncated .pyc files on the full disk
    command = " ".join([python, "-B", *arguments])
    full = subprocess.run(
        ["bash", "-c", f"ulimit -f 400; exec {command}"], cwd=ROOT, capture_output=True, text=True
    )
    one_sentence(full, "Cannot write", "last.ckpt")
    assert [row.status for row in run.rows()] == ["failed"]
    assert run().returncode == 0
    assert [row.status for row in run.rows()] == ["failed", "done"]


def test_one_cell_is_run_by_one_process(run):
    child = run.start(*LONG)
    until_checkpoint(run, child)
    one_sentence(run(*LONG), "Another process is running this cell", code=75)
    child.kill()
    child.communicate()


def test_a_worker_that_was_stopped_for_long_writes_nothing(run):
    """The second worker takes the cell over and finishes it; the first one wakes up and ends."""
    soon = ["results.renew=0.2", "results.expire=2", "max_steps=300", *LONG[1:]]
    child = run.start(*soon)
    until_checkpoint(run, child)
    child.send_signal(signal.SIGSTOP)
    assert run(*soon).returncode == 0
    child.send_signal(signal.SIGCONT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1, err
    assert "took this cell over" in err
    assert [(row.status, row.last_step) for row in run.rows()] == [("done", 300)]
    assert checkpoint(run) is None


def test_bf16_trains(run):
    assert run("precision=bf16-mixed").returncode == 0
    assert run.rows()[0].modified["precision"] == ["32-true", "bf16-mixed"]


@pytest.mark.parametrize("model", ["fourier", "transformer"])
def test_the_paper_presets_train(run, model):
    few = ["batch_size=2", "max_steps=2", "max_eval_examples=4", "model.seq_len=255"]
    result = run("protocol=paper", f"model={model}", *few)
    assert result.returncode == 0, result.stderr
    (row,) = run.rows()
    assert row.preset_source
    assert row.select == ("best_val" if model == "fourier" else "last")


def test_kernels_learn_at_a_rate_of_their_own_and_the_row_says_so(run):
    words = ["model=s4d", "model.block.mixer.kernel_lr=0.001", "model.norm=batch"]
    done = run(*words, "optim.weight_decay=0.05")
    assert done.returncode == 0, done.stderr
    (row,) = run.rows()
    assert [(g["lr"], g["weight_decay"]) for g in row.optimiser] == [
        (row.config["optim"]["lr"], 0.05),
        (0.001, 0.0),
    ]
    assert sum(group["parameters"] for group in row.optimiser) == row.parameters
    fits = run(*words, "trainer.micro_batch=auto", "rerun=true")
    assert fits.returncode == 0, fits.stderr
    refused = run(*words, "trainer.micro_batch=1", "rerun=true")
    assert refused.returncode == 1
    assert "model.norm=batch takes its statistics over the whole batch" in refused.stderr


def test_wandb_works_offline_without_an_account(run, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    result = run("logger=wandb", "max_steps=30", "val_every=30")
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    (offline,) = run.results.glob("work/*/logs/wandb/offline-run-*")
    (row,) = run.rows()
    logged = b"".join(path.read_bytes() for path in offline.rglob("*") if path.is_file())
    for words in (
        "listops-fourier-matched-",  # its name
        "listops/short/matched",  # its group
        "train/step_seconds",
        "val/best_accuracy",
        f"{row.cell}-0",  # its id
        "train/loss",
        "val/accuracy",
        "test/final_accuracy",
        row.test_outputs_sha256,  # the row
        f"row-{row.cell}",  # its artefact
        "optim.lr",
    ):
        assert words.encode() in logged, words


@pytest.mark.parametrize("logger", ["wandb", pytest.param("tensorboard", marks=pytest.mark.slow)])
def test_a_tracker_that_cannot_start_costs_nothing(run, tmp_path, monkeypatch, logger):
    """Hides the tracker's package: the curves go to CSV files."""
    package = tmp_path / "packages" / logger
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('not installed')")
    if logger == "tensorboard":
        (tmp_path / "packages" / "tensorboardX").mkdir()
        (tmp_path / "packages/tensorboardX/__init__.py").write_text("raise ImportError('neither')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    result = run(f"logger={logger}")
    assert result.returncode == 0, result.stderr
    assert "curves go to CSV files" in result.stderr
    assert ("pip install -e '.[tensorboard]'" in result.stderr) == (logger == "tensorboard")
    assert [row.status for row in run.rows()] == ["done"]
    assert list(run.results.glob("work/*/logs/csv/*/metrics.csv"))


@pytest.mark.parametrize("flag", [["--help"], ["--cfg", "job"]])
def test_help_and_the_configuration_need_no_torch(flag):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['run.py', *{flag}]\n"
        "try: runpy.run_path('run.py', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'pytorch_lightning', 'wandb', 'transformers', 'plotly', 'matplotlib',"
        " 'ray', 'pandas', 'numba'}\n"
        "print('imported:', sorted(heavy & set(sys.modules)))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "imported: []" in result.stdout


def test_the_configuration_says_where_the_preset_comes_from():
    command = [sys.executable, "run.py", *TINY, "protocol=paper", "--cfg", "job"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "LUMIA-Group/FourierTransformer@cba1dc2" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["validation", "test"])
@pytest.mark.parametrize(
    "number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 0)]
)
def test_a_signal_inside_an_evaluation_loses_one_step_at_most(run, tmp_path, number, code, phase):
    """Takes large splits and few steps, so that evaluation takes almost all of the time."""
    steps = 2 if phase == "validation" else 1
    settings = [
        "task.variants.short.counts.train=256",
        "task.variants.short.counts.val=10000",
        "task.variants.short.counts.test=10000",
        f"data.root={tmp_path}/large",
        "max_eval_examples=10000",
        f"max_steps={steps}",
        f"val_every={2 if phase == 'validation' else 9}",
    ]
    child = run.start(*settings)
    until_checkpoint(run, child)
    time.sleep(2.0)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == code, err
    (row,) = run.rows()
    assert row.status == "interrupted"
    step = torch.load(checkpoint(run), weights_only=True)["global_step"]
    assert step >= steps - 1
    assert run(*settings).returncode == 0
    assert [r.status for r in run.rows()] == ["interrupted", "done"]


@pytest.mark.slow
def test_two_ranks_train_and_score_every_example(run):
    """Runs on CPU; the code for GPUs differs in the device alone."""
    settings = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    result = run(*settings, "batch_size=4", "max_steps=6", "val_every=2")
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    (row,) = [r for r in runs.read_all(run.results.parent) if r.status == "done"]
    assert row.test_score.n == 50
    assert row.environment["devices"] == 2
    assert len(list(run.results.parent.glob("runs/**/*.json"))) == 1
    # One process scores the checkpoint equally, so no prediction occurs twice or is lost.
    (saved,) = run.results.parent.glob("work/*/selected.ckpt")
    again = run(f"evaluate={saved}", f"results.path={run.results.parent}")
    assert again.returncode == 0, again.stderr
    assert "Equal to" in again.stdout
    assert f"{row.test_score.count} of 50" in again.stdout


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"RANK": "1"}, marks=pytest.mark.slow),
        {"SLURM_PROCID": "1", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7", "SLURM_LOCALID": "1"},
        pytest.param(
            {"TORCHELASTIC_RUN_ID": "none", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_a_run_on_one_device_leaves_its_row_whatever_launched_it(run, monkeypatch, variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = run(cold=True)
    assert done.returncode == 0, done.stderr
    (row,) = run.rows()
    assert row.status == "done"
    assert "stored in:" in done.stdout


@pytest.mark.parametrize(
    "text, code", [pytest.param("", 0, marks=pytest.mark.slow), ("2,1", 0), ("two", 1)]
)
def test_any_number_of_threads_in_the_environment(run, monkeypatch, text, code):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    done = run("trainer.threads=null", cold=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code:
        assert "OMP_NUM_THREADS=two in the environment is not a number: unset it." in done.stderr


@pytest.mark.slow
def test_ranks_add_up_to_the_batch_of_one_process(run):
    """Two ranks, each in parts and without dropout, train to the weights of one process."""
    steps = ["model.dropout=0", "max_steps=6", "val_every=2"]
    assert run(*steps).returncode == 0
    ranks = ["trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2"]
    limits = ["batch_size=4", "max_eval_examples=8", "trainer.micro_batch=1"]
    assert run(*ranks, *steps, *limits).returncode == 0
    found = runs.read_all(run.results) + runs.read_all(run.results.parent)
    assert [row.environment["devices"] for row in found] == [1, 2]
    weights = [
        torch.load(path, weights_only=True)["state_dict"]
        for path in (
            *run.results.glob("work/*/selected.ckpt"),
            *run.results.parent.glob("work/*/selected.ckpt"),
        )
    ]
    for name, one in weights[0].items():
        torch.testing.assert_close(one, weights[1][name], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_short_variant_shows_that_structure_is_learned(run, tmp_path):
    """Scores above the rule that sees the root operator, within 1,500 steps."""
    command = [
        *run.command()[:2],
        "task.variant=short",
        f"data.root={tmp_path}/data",
        f"results.root={tmp_path}/results",
        "max_steps=1500",
        "val_every=500",
    ]
    subprocess.run(command, cwd=ROOT, check=True)
    (row,) = runs.read_all(tmp_path / "results")
    assert row.test_score.low > row.baselines["majority label | root operator"]["test"] + 0.05


@pytest.mark.parametrize("flags", [[], ["-m"]])
def test_a_group_of_one_s_own_and_another_working_folder_reach_the_cells(
    run, tmp_path, monkeypatch, flags
):
    own = tmp_path / "own" / "experiment"
    own.mkdir(parents=True)
    (own / "short.yaml").write_text("# @package _global_\nmax_steps: 2\n")
    monkeypatch.chdir(tmp_path)
    run.common[-1] = "results.root=here"
    run.results = tmp_path / "here" / "smoke"
    words = [*flags, f"--config-dir={tmp_path}/own", "+experiment=short", "hydra.job.chdir=true"]
    done = subprocess.run(run.command(*words), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = run.rows()
    assert row.last_step == 2
    assert "max_steps" in row.modified
