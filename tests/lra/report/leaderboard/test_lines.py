from lra.report.leaderboard.lines import measured
from lra.store.row import Inherited
from tests.lra.report.tables.test_summarization import summary as plain_summary

WEIGHTS = Inherited(init="results/work/x/pretrained", sha256="0123456789abcdef")


def summary(*values, **changes):
    environment = plain_summary().environment | {"python": "3.12", "torch": "2.13"}
    return plain_summary(*values, environment=environment, **changes)


def test_a_line_of_texts_names_its_filter_and_its_first_weights():
    rules = {"lead-1": {"test": 24.0}}
    lines = measured(
        [
            summary(30, cell="a", model="bart", settings={}, inherited=WEIGHTS, baselines=rules),
            summary(
                20,
                cell="b",
                settings={"keep_ratio": 0.2, "restore": "none"},
                modified={"model.keep_ratio": [0.5, 0.2], "model.restore": ["nearest", "none"]},
                baselines=rules,
            ),
            summary(10, cell="c", modified={"optim.lr": [1, 2]}, identity={"optim": {"lr": 2}}),
        ]
    )
    found = {line["model"]: line for line in lines}
    assert set(found) == {
        "bart, pretrained 01234567",
        "fourier_bart, keep 0.2, restore none, random weights",
        "fourier_bart (modified: optim.lr=2), keep 0.5, restore nearest, random weights",
        "[lead-1]",
    }
    assert {line["metric"] for line in lines} == {"ROUGE-L"}
    assert found["[lead-1]"]["shown"] == "24"
    modified = {name for name, line in found.items() if "modified" in line["badges"]}
    assert modified == {
        "fourier_bart (modified: optim.lr=2), keep 0.5, restore nearest, random weights"
    }
