import re

import numpy as np
import pytest

from lra.errors import UserError
from lra.objective import share_score
from lra.report import statistics
from lra.report.groups import newest
from lra.report.tables import scores
from lra.store import runs
from lra.store.row import Memory, Speed
from tests.lra.store.test_row import row


def only_table(chosen):
    (table,) = scores.tables(chosen)
    return table.frame


def markdown(chosen):
    return scores.document(chosen).markdown()


def notes(chosen):
    return scores.document(chosen).notes


def column(chosen, name):
    return dict(zip(*(only_table(chosen)[c] for c in ("model", name)), strict=True))


def test_seeds_give_mean_spread_and_list():
    correct = [720, 740, 760]
    chosen = [row(cell=f"c{s}", seed=s, test=share_score(n, 2000)) for s, n in enumerate(correct)]
    line = only_table(chosen).iloc[0]
    assert line["test accuracy %"] == "37.00"
    assert line["sd"] == "1.00"
    low, high = statistics.interval([r.test_score for r in chosen], chosen[0].headline)
    assert line["95 % interval"] == f"{100 * low:.2f}-{100 * high:.2f}"
    assert line["seeds"] == "3 (0, 1, 2)"
    assert not any("test set only" in note for note in notes(chosen))


def test_one_seed_gives_its_interval():
    line = only_table([row(test=share_score(740, 2000))]).iloc[0]
    assert line["95 % interval"] == "34.91-39.14"
    assert line["sd"] == "test set only"
    assert any("test set only: one seed" in note for note in notes([row()]))


def test_what_memory_means_on_a_cpu_is_said():
    on_cpu, on_gpu = (
        row(memory=Memory(peak_bytes=10**6, kind=kind)) for kind in ("RssAnon", "cuda allocator")
    )
    assert any("C library keeps" in note for note in notes([on_cpu, on_gpu]))
    assert not any("C library keeps" in note for note in notes([on_gpu]))


def test_speeds_of_several_machines_under_one_heading_are_said_not_to_compare():
    there = row().environment | {"threads": 7}
    same = row(seed=1, cell="c1", environment=there)
    config = {"m": 1, "model": {"seq_len": 5}}
    other = row(model="fnet", cell="c2", environment=there, config=config)
    assert any("threads do not compare" in note for note in notes([row(), same]))
    assert any("threads do not compare" in note for note in notes([row(), other]))
    assert not any("threads do not compare" in note for note in notes([row()]))


def test_the_trivial_baselines_stand_among_the_models():
    table = only_table(
        [
            row(),
            row(
                model="other",
                cell="c1",
                test=share_score(1, 100),
                config={"m": 1, "model": {"seq_len": 5}},
            ),
        ]
    )
    assert table.model.tolist() == ["fourier", "[majority label]", "other"]


def test_a_rerun_is_not_another_seed():
    first, second = row(attempt=1), row(attempt=2, test=share_score(100, 200))
    failed = row(attempt=3, status="failed", test=None)
    assert newest([first, second, failed]) == [second]


def test_what_was_submitted_takes_no_row_of_ours_away_and_joins_no_line():
    ours, theirs = row(attempt=1), row(attempt=2, origin="A. Person")
    chosen = newest([ours, theirs])
    assert chosen == [ours, theirs]
    names = only_table(chosen).model.tolist()
    assert {"fourier", "fourier (submitted by A. Person)"} <= set(names)


def test_no_machine_has_the_mean_speed_of_two():
    there = row().environment | {"device": "another machine"}
    line = only_table([row(), row(seed=1, cell="c1", environment=there)]).iloc[0]
    assert line["train examples/s"] == line["peak memory MB"] == "-"


def test_protocols_variants_and_data_never_share_a_table():
    chosen = [row(), row(protocol="lite"), row(variant="short"), row(fingerprint="e" * 64)]
    chosen.append(row(objective="distance"))
    made = scores.tables(chosen)
    assert len(made) == len({table.title for table in made}) == 5


def test_modified_rows_stand_apart_from_conforming_ones():
    chosen = [
        row(),
        row(
            cell="c1",
            modified={"optim.lr": [0.001, 0.002]},
            config={"lr": 2, "model": {"seq_len": 5}},
        ),
    ]
    assert column(chosen, "seeds") == {
        "fourier": "1 (0)",
        "fourier (modified: optim.lr=0.002)": "1 (0)",
        "[majority label]": "-",
    }


def test_settings_that_changed_between_two_rows_are_not_averaged():
    chosen = [
        row(
            cell=f"c{i}",
            seed=i,
            config={"optim": {"warmup": w}, "model": {"name": "fourier", "seq_len": 5}},
        )
        for i, w in enumerate((0.05, 0.05, 0.1))
    ]
    assert column(chosen, "seeds") == {
        "fourier [optim.warmup=0.05]": "2 (0, 1)",
        "fourier [optim.warmup=0.1]": "1 (2)",
        "[majority label]": "-",
    }


def test_a_missing_measurement_is_a_dash():
    line = only_table([row(speed=Speed(), memory=None)]).iloc[0]
    assert line["train examples/s"] == line["peak memory MB"] == "-"


def test_the_source_is_printed_and_null_is_a_shared_setting():
    assert column([row()], "preset")["fourier"] == "shared setting"
    assert column([row(preset_source="paper, table 1")], "preset")["fourier"] == "paper, table 1"
    assert "a paper" in markdown([row()])


def test_every_line_of_the_markdown_has_every_column():
    chosen = [row(baselines={"majority label | root operator": {"val": 0.3, "test": 0.4}})]
    lines = [ln for ln in markdown(chosen).splitlines() if ln.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {
        len(only_table([row()]).columns) + 1
    }


def test_rows_in_any_order_give_the_same_text():
    chosen = [
        row(cell=f"c{s}{m}", seed=s, model=m, config={"name": m, "model": {"seq_len": 5}})
        for s in range(3)
        for m in "abc"
    ]
    assert markdown(chosen) == markdown(chosen[::-1])


def test_a_row_at_chance_is_flagged_and_not_hidden():
    assert column([row(test=share_score(350, 2000))], "test accuracy %")["fourier"] == (
        "17.50 (at chance)"
    )
    assert column([row()], "test accuracy %")["fourier"] == "37.00"


def test_a_table_states_the_length():
    assert column([row()], "length") == {"fourier": "2,000", "[majority label]": "-"}


def test_what_is_not_size_matched_and_what_is_dense_says_so():
    near, far = (row(parameters=n, transformer_parameters=1000, cost="N") for n in (1099, 900))
    assert column([near], "parameters")["fourier"] == "1,099"
    assert not any("not size-matched" in note for note in notes([near, far]))
    far = row(parameters=1250, transformer_parameters=1000, cost="N^2")
    assert column([far], "parameters")["fourier"] == "1,250 (+25%)"
    assert any("not size-matched" in note for note in notes([near, far]))
    assert column([near], "cost")["fourier"] == "N"
    assert column([far], "cost")["fourier"] == "N^2 (dense)"
    assert column([row(model="performer")], "cost")["performer"] == "N"  # older than the field


def stored(root, model, right, **changes):
    """A row of 200 test examples with its predictions, of which `right` are right."""
    right = np.array(right, bool)
    runs.write_targets(root, "f" * 64, np.ones(200, np.uint8))
    entry = row(
        cell=f"{model}{changes.get('seed', 0)}",
        model=model,
        test=share_score(int(right.sum()), 200),
        config={"name": model, "model": {"seq_len": 5}},
        **changes,
    )
    return runs.read(runs.write(root / "runs/listops" / model, entry, right.astype(np.uint8)))


def test_models_that_the_data_cannot_tell_apart_share_a_rank(tmp_path):
    best, close, far = np.arange(200) < 150, np.arange(200) < 148, np.arange(200) >= 150
    chosen = [
        stored(tmp_path, name, right)
        for name, right in {"far": far, "close": close, "best": best}.items()
    ]
    table = only_table(chosen)
    assert table[["model", "rank"]].values.tolist() == [
        ["best", "1-2"],
        ["close", "1-2"],
        ["far", "3"],
        ["[majority label]", "-"],
    ]
    assert any("cannot tell these models apart" in note for note in notes(chosen))
    assert not any("cannot tell these models apart" in note for note in notes(chosen[::2]))


def test_a_model_without_stored_predictions_has_no_rank(tmp_path):
    chosen = [
        stored(tmp_path, "a", np.arange(200) < 150),
        stored(tmp_path, "b", np.arange(200) >= 150),
        row(model="c", cell="c", config={"name": "c", "model": {"seq_len": 5}}),
    ]
    table = only_table(chosen)
    ranks = dict(zip(table["model"], table["rank"], strict=True))
    assert ranks == {"a": "1", "b": "2", "c": "-", "[majority label]": "-"}


def test_predictions_that_contradict_their_row_are_refused(tmp_path):
    entry = stored(tmp_path, "a", np.arange(200) < 150)
    np.save(tmp_path / "runs/listops/a/a0-1.npy", np.zeros(200, np.uint8))
    with pytest.raises(
        UserError, match="says accuracy 75.00 % .* but its predictions give accuracy 0.00 %"
    ):
        runs.values(entry)
