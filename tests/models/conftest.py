"""Tells the certificate (lra/certificate.py) how closely a test's comparisons agreed."""

import pytest

from tests.models import agree


@pytest.fixture(autouse=True)
def largest_difference(record_property):
    agree.DIFFERENCES.clear()
    yield
    if agree.DIFFERENCES:
        record_property("difference", max(agree.DIFFERENCES))
