import numpy as np

from lra.efficiency.records import Cost, Measurement, Timing
from lra.objective.generation import LOSS, ROUGE_L
from lra.objective.metric import Score, bootstrap_score
from lra.report.tables import summarization
from lra.store.row import Inherited, Memory, Row, Speed
from tests.lra.store.test_row import row


def summary(rouge: float = 20.0, model: str = "fourier_bart", **changes) -> Row:
    """A row of task=scitldr, whose filter and first weights the changes may name."""
    settings = changes.pop("settings", {"keep_ratio": 0.5, "restore": "nearest"})
    config = {"model": {"name": model, **settings}, **changes.pop("identity", {})}
    values = np.array([rouge - 5, rouge + 5])
    facts = {
        "task": "scitldr",
        "variant": "abstracts",
        "model": model,
        "objective": "generation",
        "headline": ROUGE_L,
        "selection": LOSS,
        "protocol": "lite",
        "val": {LOSS.name: Score(value=3.25, n=9, low=3.0, high=3.5)},
        "test": {
            metric: bootstrap_score(values + 1 - n)
            for n, metric in enumerate(summarization.METRICS)
        },
        "speed": Speed(train_examples_per_second=12.0, test_examples_per_second=3.0),
        "baselines": {},
        "trivial": {"lead-1": {"ROUGE-1": 31.0, "ROUGE-2": 11.0, "ROUGE-L": 24.0}},
        "config": config,
    }
    return row(**facts | changes)


def frame(rows, verified_only=False):
    (table,) = summarization.document(rows, [], verified_only).tables
    return table.frame


def test_a_line_says_filter_weights_scores_and_cost():
    inherited = Inherited(init="results/work/x/pretrained", sha256="0123456789abcdef")
    line = frame([summary(inherited=inherited)]).set_index("model").loc["fourier_bart"]
    assert line["keep"] == "0.5"
    assert line["restore"] == "nearest"
    assert line["begins with"] == "pretrained 01234567"
    assert line["ROUGE-1"] == "21.00"
    assert line["ROUGE-L"] == "19.00"
    assert line["val loss a token"] == "3.25"
    assert line["train examples/s"] == "12.0"
    assert line["test examples/s"] == "3.0"


def test_lines_are_settings_and_the_best_is_first():
    rows = [
        summary(20, cell="a"),
        summary(22, cell="b", seed=1, settings={"keep_ratio": 0.5, "restore": "nearest"}),
        summary(30, cell="c", model="bart", settings={}),
        summary(10, cell="d", settings={"keep_ratio": 0.2, "restore": "none"}),
        summary(26, cell="e", identity={"init": "w"}),
    ]
    found = frame(rows)
    assert list(found.model) == ["bart", "fourier_bart", "[lead-1]", "fourier_bart", "fourier_bart"]
    assert list(found["keep"]) == ["-", "0.5", "-", "0.5", "0.2"]
    assert found["seeds"].iloc[3] == "2 (0, 1)"
    assert found["ROUGE-L"].iloc[3] == "20.00"


def test_names_tell_what_no_column_tells():
    rows = [
        summary(cell="a", modified={"model.keep_ratio": [0.5, 0.2]}, settings={"keep_ratio": 0.2}),
        summary(cell="b", modified={"optim.lr": [1, 2]}, origin="A. Person"),
        summary(cell="c", identity={"init": "w"}),
    ]
    assert sorted(set(frame(rows).model)) == [
        "[lead-1]",
        "fourier_bart",
        "fourier_bart (submitted by A. Person) (modified: optim.lr=2)",
    ]


def test_other_data_have_a_table_of_their_own():
    rows = [summary(), summary(fingerprint="e" * 64), summary(protocol="paper")]
    assert len(summarization.document(rows, []).tables) == 3


def test_published_figures_stand_beside_the_whole_test_set_alone():
    whole = {"task": "cnn_dailymail", "variant": "full"}
    names = list(frame([summary(**whole)]).model)
    assert "FourierBART-large (best reported) (published)" in names
    assert "FourierBART-large, 400-state variant (published)" in names
    (table,) = summarization.document([summary(**whole)], []).tables
    recalled = table.styles.index[table.styles["model"] == "recalled"]
    assert list(table.frame.model[recalled]) == ["FourierBART-large, 400-state variant (published)"]
    verified = list(frame([summary(**whole)], verified_only=True).model)
    assert "FourierBART-large, 400-state variant (published)" not in verified
    part = frame([summary(task="cnn_dailymail", variant="sample")])
    assert not part.model.str.contains("published").any()


def test_pretraining_is_scored_by_its_loss():
    score = {LOSS.name: Score(value=2.5, n=9, low=2.4, high=2.6)}
    pretraining = {"task": "denoising", "objective": "denoising", "headline": LOSS, "test": score}
    found = frame([summary(**pretraining, trivial={}, model="bart", settings={})])
    assert found["loss a token"].iloc[0] == "2.5"
    assert "ROUGE-L" not in found


def test_a_pretrained_encoder_is_scored_by_its_accuracy():
    encoders = [
        row(cell="a", model="encoder", config={"model": {"name": "encoder"}}),
        row(
            cell="b",
            model="fourier_encoder",
            modified={"model.keep_ratio": [0.5, 0.25]},
            config={"model": {"name": "fourier_encoder", "keep_ratio": 0.25}},
        ),
    ]
    found = frame(encoders).set_index("model")
    assert found["accuracy %"].tolist() == ["37.00", "37.00"]
    assert found["keep"].tolist() == ["-", "0.25"]
    assert found["val accuracy %"].iloc[0] == "38.00"


def test_every_form_can_be_written(tmp_path):
    document = summarization.document([summary(), summary(task="eli5", variant="full")], [])
    for path in document.write(tmp_path):
        assert path.stat().st_size > 100
    document.show()


def measured(model: str, settings: dict, seconds: float, bytes_: int, **changes) -> Measurement:
    timing = Timing(
        first_seconds=9.0, step_seconds=[seconds] * 3, data_seconds=[0.1], optimiser_seconds=[]
    )
    cost = Cost(memory=Memory(peak_bytes=bytes_, kind="RssAnon"), flops=10**9, attention=[])
    facts = {
        "cell": f"{model}{settings}",
        "round": 0,
        "model": model,
        "cost": "N^2",
        "protocol": "matched",
        "length": 1024,
        "batch_size": 4,
        "compile": False,
        "status": "done",
        "encoding": timing,
        "generation": timing,
        "training": timing,
        "encoding_cost": cost,
        "training_cost": cost,
        "wall_seconds": 9.0,
        "limit_seconds": 180,
        "limit_bytes": 10**10,
        "overrides": [],
        "environment": {"device": "cpu", "threads": 2, "precision": "32-true", "torch": "2"},
        "commit": None,
        "dirty": None,
        "started": "2026-01-01T00:00:00+00:00",
        "config": {"model": {"name": model} | settings},
    }
    return Measurement(**facts | changes)


def test_the_lab_s_phases_stand_beside_the_plain_model():
    found = [
        measured("fourier_bart", {"keep_ratio": 0.2, "restore": "none"}, 0.5, 10 * 10**6),
        measured("bart", {}, 1.0, 40 * 10**6),
        measured("transformer", {}, 1.0, 40 * 10**6),
    ]
    (table,) = summarization.document([], found).tables
    assert "bart at 1,024, batch 4" in table.title
    plain, ours = (table.frame.iloc[i] for i in range(2))
    assert (plain["model"], ours["model"]) == ("bart", "fourier_bart")
    assert ours["keep"] == "0.2"
    assert ours["encoding, s"] == "0.500 (2.00 x)"
    assert ours["generation, s"] == "0.500 (2.00 x)"
    assert ours["training, MB"] == "10 (0.25)"
    assert plain["training, MB"] == "40 (1.00)"
