import ast
import re

import pytest

from lra import config
from lra.certificate import mechanism
from lra.report.references import harness, papers, references
from tests.conftest import ROOT

ON_THE_TRUNK = [
    model
    for model in config.choices_of("model")
    if model not in ("bart", "fourier_bart", "encoder", "fourier_encoder")
    and model != "rotary_transformer"  # a setting of the file's mechanism, with a paper of its own
]


def test_every_model_has_a_paper():
    assert references().keys() == set(config.choices_of("model"))


@pytest.mark.parametrize("model", ON_THE_TRUNK)
def test_the_paper_is_the_one_that_the_models_file_names(model):
    source = ROOT / "models" / f"{mechanism(model)}.py"
    named = re.search(r"arXiv\s(\d{4}\.\d{5})", ast.get_docstring(ast.parse(source.read_text())))
    assert references()[model].eprint == named[1]


def test_an_entry_can_be_copied():
    entry = references()["fourier_bart"]
    assert entry == references()["fourier"]
    assert entry.url == "https://arxiv.org/abs/2305.15099"
    assert entry.bibtex.startswith("@misc{fourier_transformer,\n")
    assert entry.bibtex.endswith("archivePrefix = {arXiv}\n}")
    assert entry.bibtex.count("{") == entry.bibtex.count("}")


def test_a_filter_brings_its_paper():
    assert [paper.key for paper in papers("performer", "fourier")] == [
        "performer",
        "fourier_transformer",
    ]
    assert [paper.key for paper in papers("fourier", "fourier")] == ["fourier_transformer"]
    assert papers("a model of one's own", None) == []


def test_the_harness_is_cited_as_its_citation_file_says():
    assert "Long Range Arena harness" in harness()
    assert harness().count("{") == harness().count("}")
