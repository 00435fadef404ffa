"""The lists of differences from released code: each names the repository, commit and file."""

import ast
import re

import pytest

from tests.conftest import ROOT

SOURCE = r"[\w.-]+/[\w.-]+@[0-9a-f]{7}, [\w/.]+"
LISTS = {
    path.stem: text
    for path in sorted((ROOT / "models").glob("*.py"))
    if "ifference" in (text := ast.get_docstring(ast.parse(path.read_text())) or "")
}


def test_most_models_have_a_list():
    assert len(LISTS) >= 18


@pytest.mark.parametrize(
    "model", sorted(LISTS.keys() - {"lru"})
)  # no code was released with the paper
def test_a_list_of_differences_says_what_it_compares_with(model):
    text = " ".join(LISTS[model].replace("/\n", "/").split())
    assert re.search(SOURCE, text), text
