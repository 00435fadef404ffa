"""The build backend: setuptools, for an editable install alone.

The commands read conf/, data_prep/, models/ and results/ of the checkout, which an installed copy
would lack.
"""

from setuptools.build_meta import *  # noqa: F403

REFUSAL = (
    "The LRA harness runs from its checkout and cannot be installed as a copy: clone the "
    "repository, and there type: pip install -e ."
)


def _refuse(*arguments, **settings):
    """Raises SystemExit."""
    raise SystemExit(REFUSAL)


# pip asks for the requirements first, before it downloads the dependencies; without build isolation
# it goes on to the others at once
get_requires_for_build_wheel = get_requires_for_build_sdist = _refuse
prepare_metadata_for_build_wheel = build_wheel = build_sdist = _refuse
