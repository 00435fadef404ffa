"""The page in a real browser: sort, filter, click through, narrow, dark, without JavaScript."""

import base64
import gzip
import json
import re
import shutil

import pytest

from lra.report.groups import newest
from lra.report.inherited import belongs
from lra.report.leaderboard.lines import EMPTY, charts, measured
from lra.report.leaderboard.page import FEW
from lra.report.leaderboard.page import page as make_page
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
                }
            ],
            "config": {"optim.lr": "0.001"},
        },
    }
    return EMPTY | values | changes


def some_charts():
    series = [{"name": f"{m} (N^1.0)", "points": [[1024, 1.0], [2048, 2.0]]} for m in ("a", NASTY)]
    point = {"speed": 10.0, "score": 40.0, "metric": "accuracy %", "error": [1, 1], "memory": 300.0}
    return {
        "trade_off": {"lite · listops": [{"model": "a"} | point, {"model": NASTY} | point]},
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
        return self.tab.locator("tbody tr:not([hidden]) th").all_inner_texts()


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
    found = opened(THREE)
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
    found = opened(THREE)
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
    found = opened(THREE)
    found.tab.get_by_label("task").select_option("text")
    assert found.models() == ["b"]
    assert "1 of 3 lines" in found.tab.locator("#count").inner_text()
    found.tab.reload()  # the address keeps it
    assert found.models() == ["b"]
    found.tab.get_by_role("button", name="reset").click()
    found.tab.wait_for_function("document.querySelectorAll('tbody tr:not([hidden])').length === 3")
    found.tab.get_by_label("size-matched").select_option("no")
    assert found.models() == ["b"]
    found.tab.get_by_role("button", name="reset").click()
    found.tab.get_by_label("model", exact=True).fill("C")
    assert found.models() == ["c"]


def test_every_choice_of_every_filter_finds_its_lines(opened):
    device = "a machine  with two spaces"
    found = opened([*THREE, line("d", device=device, origin="submitted")])
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
    found.tab.locator("tbody tr").first.click()
    dialog = found.tab.get_by_role("dialog")
    dialog.wait_for()
    text = dialog.inner_text()
    for part in ("fingerprint f00d", "abc", "seed 0: test 40.00 %", "python run.py model=a"):
        assert part in text
    dialog.get_by_text("configuration").click()
    assert "optim.lr: 0.001" in dialog.inner_text()
    dialog.locator(".chart svg").first.wait_for()


def test_the_charts_are_drawn(opened):
    found = opened(THREE)
    found.tab.wait_for_selector("#trade_off svg .trace")
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
                | {"curve": [[1, 1, 0.5]], "metric": NASTY}
            ],
            "config": {NASTY: NASTY},
        },
    )
    found = opened([nasty])
    assert found.models() == [NASTY]
    found.tab.wait_for_selector("#lengths svg .trace")
    found.tab.locator("tbody th button").click()
    found.tab.get_by_role("dialog").locator(".chart svg").first.wait_for()
    assert found.tab.evaluate("window.hit") is None
    assert found.tab.locator("img").count() == 0


def test_without_javascript_the_table_stands(opened):
    found = opened(THREE, java_script_enabled=False)
    assert found.models() == ["a", "b", "c"]
    assert not found.tab.get_by_label("task").is_visible()
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
