import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "users, expected",
    [({}, "4000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "None")],
)
def test_waiting_threads_sleep_soon_unless_the_user_decides(users, expected):
    theirs = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {k: v for k, v in os.environ.items() if k not in theirs} | users
    command = [sys.executable, "-c", "import lra, os; print(os.environ.get('GOMP_SPINCOUNT'))"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == expected
