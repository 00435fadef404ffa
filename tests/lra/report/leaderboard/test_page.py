"""The page in a real browser: sort, filter, click through, narrow, dark, without JavaScript."""

import base64
import gzip
import json
import re
import shutil

import pandas as pd
import pytest

from lra.report.groups import newest
from lra.report.inherited import belongs
from lra.report.leaderboard.lines import EMPTY, charts, grids, links, measured
from lra.report.leaderboard.page import FEW
from lra.report.leaderboard.page import page as make_page
from lra.report.style import style
from tests.conftest import ROOT

NASTY = '<script>window.hit=1</script><img src=x onerror="window.hit=1">"\'&amp;'
CHROMIUM = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)


def line(model="fourier", accuracy=40.0, **changes):
    values = {
        "rank": "1",
        "model": model,
        "task": "listops",
        "variant": "standard",
        "protocol": "lite",
        "score": accuracy,
        "shown": accuracy and f"{accuracy:.2f}",
        "interval": accuracy and f"{accuracy - 2:.2f}-{accuracy + 2:.2f}",
        "order": 1.0 if accuracy is None else -accuracy,
        "metric": "accuracy %",
        "low": accuracy and accuracy - 2,
        "high": accuracy and accuracy + 2,
        "seeds": 1,
        "parameters": 157_570,
        "speed": 100.0,
        "memory": 300.0,
        "device": "a machine x 2 threads, 32-true",
        "origin": "measured",
        "matched": "yes",
        "badges": ["size-matched", "certificate"],
        "provenance": {
            "facts": [["data", "fingerprint f00d"], ["commit", "abc"]],
            "seeds": [
                {
                    "seed": 0,
                    "test": "40.00 % (800 of 2,000)",
                    "val": "41.00 %",
                    "row": "listops/fourier/x-1.json",
                    "command": f"python run.py model={model}",
                    "metric": "accuracy %",
                    "curve": [[250, 2.0, 30.0], [500, 1.9, 40.0]],
                    "confusion": [[30, 10], [20, 40]],
                }
            ],
            "config": {"optim.lr": "0.001"},
            "links": [["paper: x", "https://arxiv.org/abs/1"], ["row", "runs/x.json"]],
            "against": {"b": 0.01, "d": 0.5},
            "cite": ["@misc{x}"],
        },
    }
    return EMPTY | values | changes


def some_charts():
    series = [
        {
            "model": m,
            "name": f"{m} (N^1.0)",
            "points": [[1024, 1.0], [2048, 2.0]],
            "style": style("fourier"),
        }
        for m in ("a", NASTY)
    ]
    point = {"speed": 10.0, "score": 40.0, "metric": "accuracy %", "error": [1, 1], "memory": 300.0}
    point |= {"line": ["listops", "standard", "lite"], "style": style("fourier")}
    return {
        "trade_off": {"lite · listops": [{"model": m} | point for m in ("a", "d", NASTY)]},
        "lengths": {"training: ms a step": series},
        "longest": 2048,
        "conditions": NASTY,
    }


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (Debian: apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Opened:
    def __init__(self, browser, path, **context):
        self.context = browser.new_context(**context)
        self.tab = self.context.new_page()
        self.errors, self.requests = [], []
        self.tab.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("request", lambda request: self.requests.append(request.url))
        self.tab.goto(path.as_uri())

    def models(self) -> list[str]:
        shown = "#board tbody tr:not([hidden], .later) th > :first-child"
        return self.tab.locator(shown).all_inner_texts()

    def everything(self) -> "Opened":
        """Shows all lines, not the first view."""
        self.tab.get_by_role("button", name="all lines", exact=True).click()
        return self


@pytest.fixture
def opened(browser, tmp_path):
    contexts = []

    def visit(lines, charts=None, **context):
        path = tmp_path / "leaderboard.html"
        path.write_text(make_page(lines, charts or some_charts()))
        contexts.append(Opened(browser, path, **context))
        return contexts[-1]

    yield visit
    for found in contexts:
        found.context.close()
        assert not found.errors
        assert all(url.startswith(("file:", "data:", "blob:")) for url in found.requests)


THREE = [
    line("a", 30.0, parameters=2_000_000),
    line("b", 50.0, task="text", variant="bytes_1000", matched="no", parameters=900),
    line("c", None, origin="published", protocol="as published"),
]


def test_sorts_by_any_column_and_what_is_missing_comes_last(opened):
    found = opened(THREE).everything()
    head = found.tab.get_by_role("columnheader", name="accuracy %")
    head.get_by_role("button").click()
    assert found.models() == ["b", "a", "c"]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert found.models() == ["a", "b", "c"]
    assert head.get_attribute("aria-sort") == "ascending"
    found.tab.get_by_role("button", name="parameters").click()
    assert found.models()[0] == "a"


def test_sorts_and_opens_with_the_keyboard_alone(opened):
    found = opened(THREE).everything()
    found.tab.get_by_role("button", name="accuracy %").focus()
    found.tab.keyboard.press("Enter")
    assert found.models()[0] == "b"
    found.tab.get_by_role("button", name="b", exact=True).focus()
    found.tab.keyboard.press("Enter")
    dialog = found.tab.get_by_role("dialog")
    dialog.wait_for()
    found.tab.keyboard.press("Escape")
    dialog.wait_for(state="hidden")


def test_filters_and_says_how_many_are_left(opened):
    found = opened(THREE).everything()
    found.tab.locator("select[data-key=task]").select_option("text")
    assert found.models() == ["b"]
    assert "1 of 3 lines" in found.tab.locator("#count").inner_text()
    found.tab.reload()  # the address keeps it
    assert found.models() == ["b"]
    found.everything()
    assert found.models() == ["a", "b", "c"]
    found.tab.locator("select[data-key=matched]").select_option("no")
    assert found.models() == ["b"]
    found.everything()
    found.tab.locator("#search").fill("C")
    assert found.models() == ["c"]


def test_every_choice_of_every_filter_finds_its_lines(opened):
    device = "a machine  with two spaces"
    found = opened([*THREE, line("d", device=device, origin="submitted")]).everything()
    selects = found.tab.locator("#filters select")
    assert selects.count() == 6
    for i in range(selects.count()):
        values = selects.nth(i).locator("option").evaluate_all("all => all.map((o) => o.value)")
        assert len(values) > 1
        for value in filter(None, values):
            selects.nth(i).select_option(value)
            assert found.models(), value
        selects.nth(i).select_option("")
    assert len(found.models()) == 4


def test_a_click_shows_where_a_line_comes_from(opened):
    found = opened(THREE)
    found.tab.locator("#board tbody tr").first.click()
    dialog = found.tab.get_by_role("dialog")
    dialog.wait_for()
    text = dialog.inner_text()
    for part in ("fingerprint f00d", "abc", "seed 0: test 40.00 %", "python run.py model=a"):
        assert part in text
    dialog.get_by_text("configuration").click()
    assert "optim.lr: 0.001" in dialog.inner_text()
    dialog.locator(".chart svg").first.wait_for()
    addresses = dialog.locator("a").evaluate_all("all => all.map((a) => a.getAttribute('href'))")
    assert addresses == ["https://arxiv.org/abs/1", "runs/x.json"]
    dialog.get_by_text("confusion matrix").click()
    assert dialog.locator(".confusion td").all_inner_texts() == ["30", "10", "20", "40"]
    dialog.get_by_text("against the other lines").click()
    assert "p = 0.01: differ" in dialog.inner_text()
    dialog.get_by_text("BibTeX").click()
    dialog.get_by_role("button", name="copy").click()
    dialog.get_by_role("button", name="copied").wait_for()
    assert found.tab.evaluate("getSelection().toString()").strip() == "@misc{x}"


def test_first_it_shows_the_measured_lines_of_one_protocol(opened):
    more = [line("d", task="image"), line("e", protocol="matched"), line("f", origin="withdrawn")]
    found = opened([*THREE, *more])
    assert found.models() == ["d", "a", "b"]
    found.tab.locator("select[data-key=origin]").select_option("withdrawn")
    assert found.models() == ["f"]
    found.tab.get_by_role("button", name="accuracy %").click()
    found.tab.get_by_role("button", name="reset").click()
    found.tab.wait_for_function("document.querySelectorAll('#board [aria-sort]').length === 0")
    assert found.models() == ["d", "a", "b"]


def test_the_address_keeps_the_sorting_and_that_all_are_shown(opened):
    found = opened(THREE).everything()
    found.tab.get_by_role("button", name="accuracy %").click()
    assert found.models() == ["b", "a", "c"]
    found.tab.reload()
    assert found.models() == ["b", "a", "c"]
    head = found.tab.get_by_role("columnheader", name="accuracy %")
    assert head.get_attribute("aria-sort") == "descending"


def arena(model, protocol="lite", **scores):
    """Returns a line for each task."""
    return [line(model, score, task=task, protocol=protocol) for task, score in scores.items()]


TASKS = ["listops", "text", "retrieval", "image", "pathfinder"]


def test_models_by_tasks_have_a_mean_where_none_is_missing(opened):
    whole = arena("whole", **dict.fromkeys(TASKS, 50.0))
    part = arena("part", listops=90.0, text=80.0)
    found = opened([*whole, *part, *arena("other", protocol="matched", listops=10.0)])
    grid = found.tab.locator(".grid:not(.other)")
    rows = [row.split("\t") for row in grid.locator("tbody tr").all_inner_texts()]
    assert [row[0] for row in rows] == ["whole", "part"]
    assert rows[0][1:] == ["50.00"] * 6
    assert rows[1][1:] == ["90.00", "80.00", "\u2013", "\u2013", "\u2013", "\u2013"]
    missing = grid.locator("tbody tr").nth(1).locator("td").last.get_attribute("title")
    assert missing == "missing: Retrieval, Image, Pathfinder"
    found.tab.locator("#grid_choice").select_option("matched")
    assert grid.locator("tbody th").all_inner_texts() == ["other"]


def test_a_protocol_without_rows_of_the_arena_has_no_table():
    lines = [line("a"), line("bart", task="scitldr", protocol="paper"), line("w", seeds=None)]
    assert [grid["protocol"] for grid in grids(lines)] == ["lite"]
    assert [row["model"] for row in grids(lines)[0]["rows"]] == ["a"]


def test_a_task_with_two_data_sets_has_two_columns_and_no_mean():
    lines = arena("a", **dict.fromkeys(TASKS, 50.0)) + [line("a", variant="short")]
    (grid,) = grids(lines)
    assert [column[1] for column in grid["columns"]][:2] == ["short", "standard"]
    assert grid["rows"][0]["mean"] is None


def test_charts_follow_the_filters(opened):
    lines = [line("a"), line("d"), line("e", task="text")]
    found = opened(lines)
    found.tab.wait_for_selector("#trade_off svg .trace")
    assert found.tab.locator("#trade_off .scatterlayer .trace").count() == 2
    found.tab.locator("#search").fill("a")
    found.tab.wait_for_function(
        "document.querySelectorAll('#trade_off .scatterlayer .trace').length === 1"
    )
    assert found.tab.locator("#lengths .scatterlayer .trace").count() == 1
    found.tab.locator("#search").fill("e")  # which the lab has not measured
    found.tab.locator("#trade_off").wait_for(state="hidden")


def test_columns_can_be_chosen(opened):
    found = opened(THREE, viewport={"width": 700, "height": 800})
    assert not found.tab.get_by_role("columnheader", name="parameters").is_visible()
    found.tab.get_by_text("columns", exact=True).click()
    found.tab.get_by_label("parameters").check()
    assert found.tab.get_by_role("columnheader", name="parameters").is_visible()
    found.tab.get_by_label("rank").uncheck()
    assert not found.tab.get_by_role("columnheader", name="rank").is_visible()
    found.tab.get_by_role("button", name="reset").click()  # the columns, too, and their boxes
    found.tab.get_by_role("columnheader", name="rank").wait_for()
    assert not found.tab.get_by_role("columnheader", name="parameters").is_visible()
    assert found.tab.get_by_label("rank").is_checked()
    assert not found.tab.get_by_label("parameters").is_checked()


def test_the_lines_that_are_shown_are_saved_as_csv(opened):
    found = opened([line('a "1"', badges=["size-matched", "at chance"]), *THREE[1:]])
    with found.tab.expect_download() as download:
        found.tab.get_by_role("button", name="CSV").click()
    frame = pd.read_csv(download.value.path())
    assert frame.model.tolist() == ['a "1"', "b"]
    assert frame["accuracy %"].tolist() == [40.0, 50.0]
    assert frame.badges.tolist() == ["size-matched; at chance", "size-matched; certificate"]
    assert frame.parameters.tolist() == ["157,570", "900"]


def test_two_lines_stand_side_by_side_with_the_test_between_them(opened):
    found = opened([line("a"), line("b", 50.0), line("e", task="text")])
    dialog = found.tab.get_by_role("dialog")
    for name in ("a", "b", "e"):
        found.tab.get_by_role("button", name=name, exact=True).click()
        dialog.get_by_role("button", name="add to comparison").click()
        dialog.wait_for(state="hidden")
    found.tab.get_by_role("button", name="compare", exact=True).click()
    dialog.wait_for()
    rows = dict(row.split("\t", 1) for row in dialog.locator("tr").all_inner_texts())
    assert rows["model"].split("\t") == ["a", "b", "e"]
    assert rows["accuracy %"].split("\t") == ["40.00", "50.00", "40.00"]
    text = dialog.inner_text()
    assert "p = 0.01: differ" in text
    assert "lines of different tables do not compare" in text
    found.tab.keyboard.press("Escape")
    found.tab.get_by_role("button", name="forget the comparison").click()
    assert not found.tab.get_by_role("button", name="compare", exact=True).is_visible()


def test_the_head_of_the_table_stays_in_sight(opened):
    found = opened(
        [line(f"m{i}", i / 10) for i in range(100)], viewport={"width": 1400, "height": 800}
    )
    found.tab.locator("#board tbody tr").last.scroll_into_view_if_needed()
    box = found.tab.get_by_role("columnheader", name="accuracy %").bounding_box()
    assert 0 <= box["y"] < 40


@pytest.mark.parametrize("width", [360, 800])
def test_a_narrow_page_says_where_a_line_belongs(opened, width):
    found = opened(THREE, viewport={"width": width, "height": 800})
    assert "standard · lite · measured" in found.tab.locator("#board").inner_text()
    assert not found.tab.locator("select[data-key=protocol]").is_visible()  # the filters are closed
    found.tab.get_by_text("filters", exact=True).click()
    found.tab.locator("select[data-key=task]").select_option("text")
    assert found.models() == ["b"]


def test_paper_has_all_lines_and_says_where_they_belong(opened):
    found = opened([line(f"model_{i}", i / 10) for i in range(FEW + 20)])
    found.tab.emulate_media(media="print")
    rows = found.tab.locator("#board tbody tr")
    assert rows.count() == FEW + 20
    assert rows.last.is_visible()
    assert "standard · lite · measured" in rows.last.inner_text()
    assert not found.tab.locator("#filters").is_visible()


def test_long_values_are_said_whole_when_pointed_at(opened):
    found = opened([line("a", variant="curv_contour_length_14")])
    assert found.tab.get_by_title("curv_contour_length_14").count() == 1


def test_the_charts_are_drawn(opened):
    found = opened([line("x")])  # the lab has not measured it: all that it has are drawn
    found.tab.wait_for_selector("#lengths svg .trace")
    assert found.tab.locator("#lengths svg .scatterlayer .trace").count() == 2


def test_what_comes_from_a_row_is_text(opened):
    nasty = line(
        NASTY,
        task=NASTY,
        variant=NASTY,
        protocol=NASTY,
        device=NASTY,
        badges=[NASTY],
        metric=NASTY,
        provenance={
            "facts": [[NASTY, NASTY]],
            "seeds": [
                {k: NASTY for k in ("seed", "test", "val", "row", "command")}
                | {"curve": [[1, 1, 0.5]], "metric": NASTY, "confusion": [[1]]}
            ],
            "config": {NASTY: NASTY},
            "links": [[NASTY, f"javascript:{NASTY}"], [NASTY, NASTY]],
            "against": {NASTY: 0.5},
            "cite": [NASTY],
        },
    )
    found = opened([nasty])
    assert found.models() == [NASTY]
    found.tab.wait_for_selector("#lengths svg .trace")
    found.tab.locator("#board tbody th button").click()
    found.tab.get_by_role("dialog").locator(".chart svg").first.wait_for()
    assert found.tab.evaluate("window.hit") is None
    assert found.tab.locator("img").count() == 0


def test_without_javascript_the_table_stands(opened):
    found = opened(THREE, java_script_enabled=False)
    assert found.models() == ["a", "b", "c"]
    assert not found.tab.locator("select[data-key=task]").is_visible()
    assert "Without JavaScript" in found.tab.locator("body").inner_text()


def test_a_phone_sees_no_sideways_scrolling_page(opened):
    found = opened(THREE, viewport={"width": 360, "height": 740})
    found.tab.wait_for_selector("#trade_off svg .trace")
    assert found.tab.evaluate("document.documentElement.scrollWidth") <= 360
    box = found.tab.get_by_role("columnheader", name="accuracy %").bounding_box()
    assert box["x"] + box["width"] <= 360
    assert found.tab.get_by_role("columnheader", name="rank").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_paper_differ_in_both_schemes(opened, scheme):
    found = opened(THREE, color_scheme=scheme)
    style = "getComputedStyle(document.body)"
    light = [
        sum(map(int, re.findall(r"\d+", found.tab.evaluate(f"{style}.{what}"))[:3])) / 3
        for what in ("color", "backgroundColor")
    ]
    assert abs(light[0] - light[1]) > 180
    assert (light[1] > 128) == (scheme == "light")


@pytest.mark.slow
@pytest.mark.quiet
def test_five_thousand_lines_load_in_two_seconds_and_8_mb(browser, tmp_path):
    lines = [
        line(f"model_{i}", 20 + i % 60, badges=["size-matched"], device=f"machine {i % 7}")
        for i in range(5000)
    ]
    for i, entry in enumerate(lines):
        entry["provenance"]["config"] = {f"key.{k}": f"{i}-{k}" for k in range(60)}
    path = tmp_path / "large.html"
    path.write_text(make_page(lines, some_charts()))
    assert path.stat().st_size < 8e6
    seconds = []
    for _ in range(3):
        found = Opened(browser, path)
        loaded = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        found.tab.wait_for_function(f"{loaded} > 0")
        seconds.append(found.tab.evaluate(loaded) / 1000)
        found.tab.wait_for_selector("html[data-ready=charts]")
        assert len(found.models()) == FEW
        found.context.close()
        assert not found.errors
    assert min(seconds) < 2, seconds


def test_many_lines_are_laid_out_at_the_press_of_a_button(opened):
    found = opened([line(f"model_{i}", i / 10) for i in range(FEW + 20)])
    assert len(found.models()) == FEW
    found.tab.get_by_role("button", name="accuracy %").click()
    assert found.models()[0] == f"model_{FEW + 19}"
    assert len(found.models()) == FEW
    found.tab.get_by_role("button", name=f"show all {FEW + 20} lines").click()
    assert len(found.models()) == FEW + 20


def unpacked(page: str) -> list[str]:
    """With what is compressed in clear: another zlib compresses to other bytes."""
    parts = re.split(r'(<script type="application/gzip" id="\w+">)', page)
    for i in range(2, len(parts), 2):
        packed, rest = parts[i].split("</script>", 1)
        parts[i] = gzip.decompress(base64.b64decode(packed)).decode() + rest
    return parts


@pytest.fixture(scope="module")
def committed():
    from lra.store import runs

    rows = newest(runs.read_all(ROOT / "results/board"))
    return measured([row for row in rows if not row.modified or belongs(row)])


def test_the_committed_page_is_that_of_the_committed_rows(committed):
    from lra.efficiency import records
    from lra.report.leaderboard.lines import figures

    measurements = records.read_all(ROOT / "results/board")
    made = make_page(committed + figures(), charts(committed, measurements))
    stored = (ROOT / "results/board/leaderboard.html").read_text()
    assert unpacked(stored) == unpacked(made)


def test_lines_hold_plain_values_only(committed):
    assert json.loads(json.dumps(committed)) == committed
    assert {"certificate"} <= {badge for entry in committed for badge in entry["badges"]}


@pytest.mark.parametrize("folder", ["results/board", "results", "elsewhere/of/mine"])
def test_links_count_from_the_page_wherever_it_lies(tmp_path, folder):
    from lra.store import runs

    home = ROOT / folder if folder.startswith("results") else tmp_path / folder
    row = next(row for row in runs.read_all(ROOT / "results/board") if row.label == "fourier")
    found = dict(links([row], home / "leaderboard.html"))
    assert found.pop("paper: fourier_transformer").startswith("https://arxiv.org/abs/")
    assert found.keys() == {"model", "code", f"row of seed {row.seed}"}
    files = [(home / address).resolve() for address in found.values()]
    assert files == [
        ROOT / "conf/model/fourier.yaml",
        ROOT / "models/fourier.py",
        row.path.resolve(),
    ]


def test_a_model_that_is_not_here_has_no_links_to_files(tmp_path):
    from lra.store import runs

    row = next(row for row in runs.read_all(ROOT / "results/board") if row.label == "fourier")
    foreign = row.model_copy(update={"model": "a_model_of_somebodys"})
    assert links([foreign], tmp_path / "x.html") == []
