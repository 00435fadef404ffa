"""The build backend: setuptools, for an editable install alone.

The commands read conf/, data_prep/, models/ and results/ of the checkout, which an installed copy
would lack.
"""

from setuptools.build_meta import *  # noqa: F403

REFUSAL = (
    "The LRA harness runs from its checkout and cannot be installed as a copy: clone the "
    "repository, and there type: pip install -e ."
)


def get_requires_for_build_wheel(*arguments, **settings):
    """Raises SystemExit: pip asks this first, before it downloads the dependencies."""
    raise SystemExit(REFUSAL)


get_requires_for_build_sdist = get_requires_for_build_wheel
