"""The site as a reader has it: in a browser, opened as files, with mouse, keyboard, phone and without scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fssbench.pages.report import choose_results, write_report
from fssbench.pages.sources import Source

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")

DESK: ViewportSize = {"width": 1200, "height": 900}
PHONE: ViewportSize = {"width": 375, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The first that is on the path, or else playwright's own."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as started:
        try:
            # As root, which containers often are, Chromium runs only without its sandbox.
            browser = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except playwright.Error as error:
            if path is None and "Executable doesn't exist" in error.message:
                pytest.skip("there is no Chromium or Chrome: install one, or run .venv/bin/playwright install chromium")
            raise
        yield browser
        browser.close()


class Reader:
    """Somebody with a browser, who notes what it complains about and what it asks other hosts for."""

    def __init__(self, context: BrowserContext, site: Path) -> None:
        self.context, self.site = context, site
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self._asked(request.url))

    def _asked(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.complaints.append(url)

    def open(self, path: str) -> Page:
        self.page.goto("about:blank")  # a change of what follows the # alone would load nothing
        self.page.goto(f"{self.site.as_uri()}/{path}")
        return self.page


@pytest.fixture
def reader(browser: Browser, site: Path) -> Iterator[Reader]:
    context = browser.new_context(viewport=DESK, color_scheme="light")
    reader = Reader(context, site)
    yield reader
    context.close()
    assert reader.complaints == []


def test_every_page_opens_on_a_desk_and_on_a_phone(reader: Reader) -> None:
    """Without complaints, and nothing has to be scrolled sideways but tables."""
    for viewport in (DESK, PHONE):
        reader.page.set_viewport_size(viewport)
        for path in sorted(reader.site.rglob("*.html")):
            page = reader.open(path.relative_to(reader.site).as_posix())
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path.name
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)"), path.name


def test_a_table_is_sorted_by_mouse_and_by_keyboard(reader: Reader) -> None:
    """First the highest, then the lowest, what has no value last; what it is sorted by is said."""
    page = reader.open("index.html")
    table = ".group[data-numbers=reported][data-benchmark=coco-20i][data-shot='1'] >> nth=0"
    page.locator(table).locator("summary").click()
    header = page.locator(table).locator("th", has_text="FB-IoU")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "descending"

    def values() -> list[float | None]:
        n = header.evaluate("cell => cell.cellIndex + 1")
        texts = page.locator(table).locator(f"tbody tr > :nth-child({n})").all_inner_texts()
        return [None if text == "—" else float(text) for text in texts]

    there = [value for value in values() if value is not None]
    assert there == sorted(there, reverse=True)
    assert values() == [*there, *[None] * (len(values()) - len(there))]
    assert None in values()
    header.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert header.get_attribute("aria-sort") == "ascending"
    assert values()[: len(there)] == sorted(there)
    page.locator(table).locator("th", has_text="Method").get_by_role("button").press("Space")
    assert header.get_attribute("aria-sort") is None


def test_filters_leave_what_was_asked_for(reader: Reader) -> None:
    """And stand in the address, so that the choice can be passed on."""
    page = reader.open("index.html")
    total = page.locator(".group tbody tr").count()
    assert page.locator("#found").inner_text() == f"{total} of {total} rows"
    for name, wanted in (("benchmark", "coco-20i"), ("shot", "5"), ("backbone", "resnet101")):
        page.locator(f"select[name={name}]").select_option(wanted)
    page.get_by_label("Model").fill("hsnet")
    visible = page.locator(".group tbody tr:visible")
    assert 0 < visible.count() < total
    for row in visible.all():
        assert row.get_attribute("data-backbone") == "resnet101"
        assert "HSNet" in row.inner_text()
    assert page.locator(".question h2:visible").all_inner_texts() == ["COCO-20i, 5-shot"]
    assert page.locator("#found").inner_text() == f"{visible.count()} of {total} rows"
    address = page.url.partition("#")[2]
    passed_on = reader.open(f"index.html#{address}")
    assert passed_on.locator(".group tbody tr:visible").count() == visible.count()
    passed_on.get_by_label("Model").fill("no such model")
    assert passed_on.locator(".group:visible").count() == 0
    assert passed_on.locator("#none").inner_text() == "No row fits these filters."


def test_what_papers_report_is_folded_until_it_is_asked_for(reader: Reader) -> None:
    """What is measured stands open, and the page of a leaderboard fits on few screens."""
    page = reader.open("index.html")
    assert page.locator("[data-numbers=measured] tbody tr:visible").count() > 0
    assert page.locator("[data-numbers=reported] tbody tr:visible").count() == 0
    page.locator("select[name=numbers]").select_option("reported")
    assert page.locator("[data-numbers=reported] tbody tr:visible").count() > 200


def test_a_link_to_a_benchmark_is_kept(reader: Reader) -> None:
    """Only a reader who filters changes the address."""
    page = reader.open("index.html")
    page.locator(".jump a").last.click()
    assert page.evaluate("document.querySelector(location.hash).getBoundingClientRect().top < innerHeight")
    address = page.url
    page.reload()
    assert page.url == address


def test_a_hostile_name_is_only_a_name(reader: Reader, shown_source: Source) -> None:
    hostile = shown_source[0].entries[-1]
    page = reader.open("index.html")
    page.get_by_role("link", name=hostile.label).click()
    assert page.locator("h1").inner_text() == hostile.label
    assert page.title().startswith(hostile.label)
    page.locator("td a", has_text="compare").first.click()
    assert hostile.label in page.locator("#side").inner_text()
    assert page.title() != "taken"


def test_two_models_are_compared_either_way_round(reader: Reader, shown_source: Source) -> None:
    first, second = shown_source[0].entries[:2]
    page = reader.open(f"compare.html#{first.id}/{second.id}")
    assert first.miou.value is not None
    assert second.miou.value is not None
    name, *scores = page.locator("#side tbody tr").first.locator("th, td").all_inner_texts()[:3]
    assert (name, scores) == ("mIoU", [f"{100 * first.miou.value:.1f}", f"{100 * second.miou.value:.1f}"])
    sentence = page.locator(".verdict").inner_text()
    assert sentence.startswith(
        f"{first.label} is {100 * (first.miou.value - second.miou.value):.2f} points of mIoU better"
    )

    def differences() -> list[str]:
        return [row.locator("th, td").nth(3).inner_text() for row in page.locator("#side tbody tr").all()]

    there = differences()
    assert len(there) > len(first.per_class)
    page.get_by_label("First").select_option(second.id)
    page.get_by_label("Second").select_option(first.id)
    assert page.locator(".verdict").inner_text() == sentence
    swap = str.maketrans("+−", "−+")
    assert [one.translate(swap).replace("−0.0", "+0.0") for one in differences()] == [
        one.replace("−0.0", "+0.0") for one in there
    ]
    assert page.url.endswith(f"#{second.id}/{first.id}")


def test_light_and_dark_follow_the_system_and_the_reader(reader: Reader) -> None:
    """What the reader chose stays chosen."""

    def brightness() -> int:
        colour = reader.page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.strip("rgb()").split(","))

    page = reader.open("index.html")
    assert brightness() > 600
    page.emulate_media(color_scheme="dark")
    assert brightness() < 150
    page.get_by_role("button", name="Switch between light and dark").click()
    assert brightness() > 600
    reader.open("compare.html")
    assert brightness() > 600


def test_the_keyboard_reaches_everything(reader: Reader) -> None:
    """The first stop skips to the content; whatever has the focus shows it; every control has a name."""
    page = reader.open("index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    stops = []
    jumps = page.locator(".jump a").all_inner_texts()
    controls = ["benchmark", "protocol", "shot", "backbone", "numbers", "model"]
    way = ["fssbench", "Leaderboard", "Compare", "Dark", *jumps, *controls]
    for _ in way:
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    assert stops == way
    named = "e => e.labels?.length || e.textContent.trim()"
    assert page.evaluate(f"[...document.querySelectorAll('button, a, select, input')].every({named})")


def test_without_scripts_the_tables_are_all_there(browser: Browser, site: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.as_uri()}/index.html")
    folded = page.locator("details.group")
    for one in folded.all():
        one.locator("summary").click()
    assert page.locator(".group tbody tr:visible").count() == page.locator(".group tbody tr").count() > 200
    assert not page.locator("#filters").is_visible()
    page.goto(f"{site.as_uri()}/compare.html")
    assert page.locator("tbody tr:visible").count() == 3
    context.close()


def test_a_report_shows_its_pictures_and_can_be_sorted(reader: Reader, shown_results: Path, tmp_path: Path) -> None:
    folder = next(shown_results.rglob("examples.json")).parent.parent
    write_report(tmp_path / "report.html", choose_results(folder))
    page = reader.page
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.images.length") == 12
    assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
    page.get_by_role("button", name="IoU, %").first.click()
    shown = page.locator("table.sortable").first.locator("tbody tr > :nth-child(2)").all_inner_texts()
    assert [float(text) for text in shown] == sorted(map(float, shown), reverse=True)
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
