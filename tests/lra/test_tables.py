import re

from lra import rows, tables
from tests.conftest import ROOT
from tests.lra.test_rows import row


def only_table(chosen):
    (table,) = tables.tables(chosen).values()
    return table


def column(chosen, name):
    return dict(zip(*(only_table(chosen)[c] for c in ("model", name)), strict=True))


def test_seeds_give_mean_spread_and_list():
    scores = [720, 740, 760]
    chosen = [
        row(cell=f"c{s}", seed=s, test=rows.score(correct, 2000))
        for s, correct in enumerate(scores)
    ]
    line = only_table(chosen).iloc[0]
    assert line["test accuracy %"] == "37.00"
    assert line["95 % interval / sd"] == "± 1.00 sd"
    assert line["seeds"] == "0, 1, 2"


def test_one_seed_gives_its_interval():
    line = only_table([row(test=rows.score(740, 2000))]).iloc[0]
    assert line["95 % interval / sd"] == "34.91 - 39.14"


def test_the_trivial_baselines_stand_among_the_models():
    table = only_table(
        [
            row(),
            row(
                model="other",
                cell="c1",
                test=rows.score(1, 100),
                config={"m": 1, "model": {"seq_len": 5}},
            ),
        ]
    )
    assert table.model.tolist() == ["fourier", "[majority label]", "other"]


def test_a_rerun_is_not_another_seed():
    first, second = row(attempt=1), row(attempt=2, test=rows.score(100, 200))
    failed = row(attempt=3, status="failed", test=None)
    assert tables.newest([first, second, failed]) == [second]


def test_protocols_variants_and_data_never_share_a_table():
    chosen = [row(), row(protocol="lite"), row(variant="short"), row(fingerprint="e" * 64)]
    assert len(tables.tables(chosen)) == 4


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
        "fourier": "0",
        "fourier (modified: optim.lr=0.002)": "0",
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
        "fourier [optim.warmup=0.05]": "0, 1",
        "fourier [optim.warmup=0.1]": "2",
        "[majority label]": "-",
    }


def test_a_missing_measurement_is_a_dash():
    line = only_table([row(speed=rows.Speed(), memory=None)]).iloc[0]
    assert line["train examples/s"] == line["peak memory MB"] == "-"


def test_the_source_is_printed_and_null_is_a_shared_setting():
    assert column([row()], "preset")["fourier"] == "shared setting"
    assert column([row(preset_source="paper, table 1")], "preset")["fourier"] == "paper, table 1"
    assert "a paper" in tables.markdown([row()])


def test_the_committed_tables_are_those_of_the_committed_rows():
    every = rows.read_all(ROOT / "results")
    chosen = [r for r in tables.newest(every) if not r.modified]
    assert chosen, "the committed rows are gone"
    assert (ROOT / "results/tables/accuracy.md").read_text() == tables.markdown(chosen)


def test_every_line_of_the_markdown_has_every_column():
    chosen = [row(baselines={"majority label | root operator": {"val": 0.3, "test": 0.4}})]
    lines = [ln for ln in tables.markdown(chosen).splitlines() if ln.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(tables.COLUMNS) + 1}


def test_rows_in_any_order_give_the_same_text():
    chosen = [
        row(cell=f"c{s}{m}", seed=s, model=m, config={"name": m, "model": {"seq_len": 5}})
        for s in range(3)
        for m in "abc"
    ]
    assert tables.markdown(chosen) == tables.markdown(chosen[::-1])


def test_a_row_at_chance_is_flagged_and_not_hidden():
    assert column([row(test=rows.score(350, 2000))], "test accuracy %")["fourier"] == (
        "17.50 (at chance)"
    )
    assert column([row()], "test accuracy %")["fourier"] == "37.00"


def test_a_table_states_the_length():
    assert column([row()], "length") == {"fourier": "2,000", "[majority label]": "-"}


def test_what_is_not_size_matched_and_what_is_dense_says_so():
    near, far = (row(parameters=n, transformer_parameters=1000, cost="N") for n in (1099, 900))
    assert column([near], "parameters")["fourier"] == "1,099"
    assert not any("not size-matched" in note for note in tables.notes([near, far]))
    far = row(parameters=1250, transformer_parameters=1000, cost="N^2")
    assert column([far], "parameters")["fourier"] == "1,250 (+25%)"
    assert any("not size-matched" in note for note in tables.notes([near, far]))
    assert column([near], "cost")["fourier"] == "N"
    assert column([far], "cost")["fourier"] == "N^2 (dense)"
    assert column([row(model="performer")], "cost")["performer"] == "N"  # older than the field
