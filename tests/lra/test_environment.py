from types import SimpleNamespace

import pytest

from lra.environment import (
    forget_ranks,
    is_main_process,
    local_rank,
    thread_count,
    whole_number,
)
from lra.errors import UserError
from lra.machine import cores

ONE, TWO = (SimpleNamespace(devices=devices, num_nodes=1) for devices in (1, 2))


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    ranks = ("RANK", "LOCAL_RANK", "SLURM_LOCALID", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE")
    for name in (*ranks, "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "variables, rank",
    [
        ({}, 0),
        ({"LOCAL_RANK": "3", "WORLD_SIZE": "4"}, 3),
        ({"LOCAL_RANK": "3", "WORLD_SIZE": "1"}, 0),
        ({"SLURM_LOCALID": "2", "SLURM_NTASKS": "8"}, 2),
        ({"SLURM_LOCALID": "2"}, 0),  # a leftover
        ({"LOCAL_RANK": "0", "SLURM_LOCALID": "2", "SLURM_NTASKS": "8"}, 0),
    ],
)
def test_a_rank_has_a_place_on_its_machine(monkeypatch, variables, rank):
    put(monkeypatch, **variables)
    assert local_rank() == rank


def put(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    "text, value",
    [("", None), (" ", None), ("0", 0), ("3", 3), ("2,1", 2), (" 4 ", 4), (",2", None)],
)
def test_a_variable_is_a_whole_number_or_not_there(monkeypatch, text, value):
    put(monkeypatch, RANK=text)
    assert whole_number("RANK") == value


@pytest.mark.parametrize("text", ["x", "-1", "1.5", "0x2", "one,2"])
def test_anything_else_is_refused_in_a_sentence(monkeypatch, text):
    put(monkeypatch, OMP_NUM_THREADS=text)
    with pytest.raises(UserError, match=f"OMP_NUM_THREADS={text}.*unset it"):
        thread_count(None)


@pytest.mark.parametrize("text, threads", [("2", 2), ("3,1", 3), ("", cores()), ("0", cores())])
def test_threads_come_from_the_setting_then_the_variable_then_the_cores(monkeypatch, text, threads):
    put(monkeypatch, OMP_NUM_THREADS=text)
    assert thread_count(None) == threads
    assert thread_count(7) == 7


@pytest.mark.parametrize(
    "variables, main",
    [
        ({}, True),
        ({"RANK": "1"}, True),  # of a world of one
        ({"SLURM_PROCID": "1"}, True),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "1"}, True),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}, False),
        ({"NODE_RANK": "1"}, False),  # Lightning's way to begin on a second machine
    ],
)
def test_a_process_is_a_rank_where_the_world_is_larger_than_one(monkeypatch, variables, main):
    put(monkeypatch, **variables)
    assert is_main_process() is main


def test_a_run_on_one_device_is_nobody_s_rank(monkeypatch):
    put(monkeypatch, SLURM_PROCID="3", SLURM_NTASKS="4", LOCAL_RANK="1", WORLD_SIZE="2")
    forget_ranks(TWO)
    assert not is_main_process()
    forget_ranks(ONE)
    assert is_main_process()
    assert whole_number("SLURM_NTASKS") is None
