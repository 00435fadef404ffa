"""One worker at a time, also when one is stopped, killed or cut off."""

import json
import multiprocessing
import os
import signal
import time

import pytest

from lra.store import claim
from lra.store.claim import Busy, Claim, Lost

RENEW, EXPIRE = 0.1, 1.0


def take(folder, **settings):
    return Claim(folder, **{"renew": RENEW, "expire": EXPIRE} | settings)


def elsewhere(folder):
    """Moves the holder of the newest claim to another machine: only its file can be seen."""
    path = max(folder.glob("claim-*.json"), key=claim._number)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "another"}))


def hold(folder, seconds, then=None):
    with take(folder) as mine:
        (folder / "holds").touch()
        time.sleep(seconds)
        if then is not None:
            try:
                mine.check()
                then.put("mine")
            except Lost:
                then.put("lost")


@pytest.fixture
def holder(tmp_path):
    """A process that has the claim."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=hold, args=(tmp_path, 2.5, queue))
    process.start()
    while not (tmp_path / "holds").exists():
        time.sleep(0.01)
    yield process, queue
    process.kill()
    process.join()


def test_one_holder_then_the_next(tmp_path):
    with take(tmp_path) as first:
        first.check()
        assert claim.held(tmp_path)
        with pytest.raises(Busy, match="wait=true"), take(tmp_path):
            pass
    assert not claim.held(tmp_path)
    with take(tmp_path) as second:
        assert second.number == first.number + 1
        with pytest.raises(Lost):
            first.check()
    assert len(list(tmp_path.glob("claim-*.json"))) == 1  # older ones are cleared away


def test_waits_for_the_holder_if_asked(tmp_path, holder):
    start = time.monotonic()
    with take(tmp_path, wait=True):
        assert time.monotonic() - start > 1
        assert holder[1].get(timeout=1) == "mine"


def test_a_killed_holder_of_this_machine_is_known_at_once(tmp_path, holder):
    holder[0].kill()
    start = time.monotonic()
    with take(tmp_path, expire=60):
        assert time.monotonic() - start < 2


def test_a_killed_holder_elsewhere_expires(tmp_path, holder):
    holder[0].kill()
    elsewhere(tmp_path)
    start = time.monotonic()
    with take(tmp_path):
        assert EXPIRE <= time.monotonic() - start < EXPIRE + 2


def test_a_stopped_holder_loses_the_claim_and_finds_out(tmp_path, holder):
    process, queue = holder
    os.kill(process.pid, signal.SIGSTOP)
    with take(tmp_path) as mine:
        os.kill(process.pid, signal.SIGCONT)
        assert queue.get(timeout=10) == "lost"
        mine.check()


def race(folder, start, queue):
    start.wait()
    try:
        with take(folder):
            queue.put("took")
            time.sleep(1)
    except Busy:
        queue.put("busy")


def test_of_many_that_see_a_claim_expire_one_takes_it(tmp_path):
    with take(tmp_path):
        elsewhere(tmp_path)
        content = (tmp_path / "claim-1.json").read_text()
    (tmp_path / "claim-1.json").write_text(content)  # never renewed, never released
    context = multiprocessing.get_context("fork")
    start, queue = context.Event(), context.Queue()
    racers = [context.Process(target=race, args=(tmp_path, start, queue)) for _ in range(6)]
    for racer in racers:
        racer.start()
    start.set()
    assert sorted(queue.get(timeout=20) for _ in racers) == ["busy"] * 5 + ["took"]
    for racer in racers:
        racer.join()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_claim_that_cannot_be_read_expires(tmp_path, content):
    (tmp_path / "claim-3.json").write_bytes(content)
    assert claim.held(tmp_path)
    start = time.monotonic()
    with take(tmp_path) as mine:
        assert time.monotonic() - start > EXPIRE
        assert mine.number == 4
        mine.check()


@pytest.mark.parametrize(
    "name", ["claim-9 (conflicted copy 2026-01-01).json", "claim-x.json", "claim-1-2.json"]
)
def test_copies_that_a_synchronising_disk_makes_are_no_claims(tmp_path, name):
    (tmp_path / name).write_text("{}")
    assert not claim.held(tmp_path)
    with take(tmp_path) as mine:
        assert mine.number == 1
    assert (tmp_path / name).exists()
