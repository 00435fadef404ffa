"""The papers of the models: results/published/references.bib, an entry a paper."""

import re
from functools import cache
from typing import NamedTuple

from lra.machine import ROOT

FILE = ROOT / "results" / "published" / "references.bib"


class Reference(NamedTuple):
    """An entry of the file. bibtex: the entry without the keywords, to be copied."""

    key: str
    eprint: str
    bibtex: str

    @property
    def url(self) -> str:
        return f"https://arxiv.org/abs/{self.eprint}"


@cache
def references() -> dict[str, Reference]:
    """Returns model -> the paper that it follows; the models are the keywords of the entries."""
    found: dict[str, Reference] = {}
    for entry in re.findall(r"^@misc\{.*?^\}", FILE.read_text(encoding="utf-8"), re.M | re.S):
        key, eprint, models = (
            re.search(pattern, entry)[1]
            for pattern in (r"\{(\w+),", r"eprint = \{([\d.]+)\}", r"keywords = \{(.*?)\}")
        )
        bibtex = re.sub(r",\n  keywords = \{.*?\}", "", entry)
        found |= dict.fromkeys(models.split(", "), Reference(key, eprint, bibtex))
    return found


def papers(model: str, filter_: str | None) -> list[Reference]:
    """Returns the papers of a model, and of the Fourier filter before it."""
    names = [model, *(["fourier"] if filter_ else [])]
    found = [references()[name] for name in names if name in references()]
    return list(dict.fromkeys(found))


def harness() -> str:
    """Returns the BibTeX entry of this project, by CITATION.cff."""
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    title, version = (
        re.search(rf'^{key}: "?(.*?)"?$', text, re.M)[1] for key in ("title", "version")
    )
    authors = " and ".join(re.findall(r"^  - name: (.*)$", text, re.M))
    return (
        f"@misc{{lra_harness,\n  title = {{{title}}},\n  author = {{{{{authors}}}}},\n"
        f"  note = {{Version {version}}}\n}}"
    )
