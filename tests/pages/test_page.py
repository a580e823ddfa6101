"""The site and the report as files: complete, self-contained, escaped, and the same every time."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from command import Command

from fssbench.base.errors import ResultError, StorageError, UsageError
from fssbench.leaderboard.board import Leaderboard
from fssbench.pages.examples import INDEX
from fssbench.pages.pairs import compare_views
from fssbench.pages.report import choose_results, write_report
from fssbench.pages.site import write_site
from fssbench.pages.sources import Source, from_file
from fssbench.scoring.comparison import Comparison, Pair, compare

LINK = r"https://(arxiv\.org/abs/[\d.]+|github\.com/[\w-]+/[\w-]+)"
"""To papers and their code, which a reader may follow and a page does not load."""


class Elements(HTMLParser):
    """Every tag of a page with its attributes, and all its text."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def addresses(self) -> list[str]:
        return [attrs[name] for _, attrs in self.found for name in ("href", "src") if name in attrs]


def pages(site: Path) -> list[Path]:
    return sorted(site.rglob("*.html"))


# --- the site -------------------------------------------------------------------------------------------


def test_the_site_has_a_page_for_every_entry(site: Path, shown_source: Source) -> None:
    board, _ = shown_source
    models = {f"{entry.id}.html" for entry in board.entries}
    assert {page.name for page in pages(site)} == models | {"index.html", "compare.html"}
    assert Leaderboard.model_validate_json((site / "leaderboard.json").read_bytes()) == board


def test_every_address_on_the_site_is_a_file_of_the_site(site: Path) -> None:
    """Or a link to a paper or its code; an address within a page names something that is there."""
    for page in pages(site):
        elements = Elements(page)
        ids = {attrs["id"] for _, attrs in elements.found if "id" in attrs}
        assert len(ids) == sum("id" in attrs for _, attrs in elements.found)
        for address in elements.addresses():
            path, _, anchor = address.partition("#")
            if re.fullmatch(LINK, address):
                continue
            assert not re.match(r"[a-z]+:|//|/", address)
            assert (page.parent / path).is_file() if path else anchor in ids


def test_pages_may_load_nothing_from_elsewhere(site: Path) -> None:
    for page in pages(site):
        (policy,) = [attrs["content"] for tag, attrs in Elements(page).found if attrs.get("http-equiv")]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        text = re.sub(f'<a href="{LINK}"', "", page.read_text())
        assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org/2000/svg", "")


def test_names_are_text_and_never_markup(site: Path, shown_source: Source) -> None:
    """A model called like a script is spelled out wherever it is named, also in the data for the script."""
    hostile = shown_source[0].entries[-1].label
    for page in pages(site):
        elements = Elements(page)
        assert hostile not in page.read_text()
        assert not any("onerror" in attrs for _, attrs in elements.found)
        scripts = [attrs for tag, attrs in elements.found if tag == "script"]
        assert all(attrs.get("src", "").endswith("page.js") or attrs["type"] == "application/json" for attrs in scripts)
    assert hostile in Elements(site / "index.html").text
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', (site / "compare.html").read_text())
    assert data is not None
    assert json.loads(data[1])["entries"][-1]["label"] == hostile


def test_the_index_shows_the_leaderboards_figures(site: Path, shown_source: Source) -> None:
    text = " ".join(Elements(site / "index.html").text.split())
    for entry in shown_source[0].entries:
        assert entry.miou.value is not None
        between = entry.miou.other_images or entry.miou.other_episodes
        assert between is not None
        assert f"{100 * entry.miou.value:.1f} {100 * between.low:.1f}–{100 * between.high:.1f}" in text.replace(
            "</", ""
        )
    reported = shown_source[0].reported
    assert text.count(" Table ") >= len(reported)
    links = Elements(site / "index.html").addresses()
    assert "https://arxiv.org/abs/2104.01538" in links
    assert "https://github.com/juhongm999/hsnet" in links
    assert "hsnet 2021" in text
    assert (site / "references.bib").read_text().startswith("@misc{fssbench,")
    assert f"{len(shown_source[0].entries)} measured, {len(reported)} reported in papers" in text


def test_the_same_results_give_the_same_site(site: Path, shown_source: Source, tmp_path: Path) -> None:
    """Written over an earlier one, of which nothing is left."""
    again = Path(shutil.copytree(site, tmp_path / "site"))
    (again / "models" / "gone.html").write_text("an entry that is no more")
    write_site(again, *shown_source)
    files = {path.relative_to(site): path.read_bytes() for path in site.rglob("*") if path.is_file()}
    assert {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()} == files
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_what_is_no_site_is_not_replaced(site: Path, shown_source: Source, tmp_path: Path) -> None:
    """Nor a site in which somebody keeps something else, such as the repository it is published from."""
    (tmp_path / "thesis.tex").touch()
    refused = r"{} is not part of an earlier page; choose another --output"
    for folder in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(StorageError, match=refused.format("thesis.tex")):
            write_site(folder, *shown_source)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    published = Path(shutil.copytree(site, tmp_path / "site"))
    (published / ".git").mkdir()
    with pytest.raises(StorageError, match=refused.format(".git")):
        write_site(published, *shown_source)
    assert (published / ".git").is_dir()


def test_a_page_of_a_leaderboard_file_is_that_of_its_results(
    fssbench: Command, shown_results: Path, tmp_path: Path
) -> None:
    """The results are found beside the file; where they are not, the pages say less and a note says why."""
    board = shown_results.parent / "leaderboard.json"
    assert fssbench("leaderboard", "build", shown_results, "-o", board).code == 0
    assert "3 entries" in fssbench("leaderboard", "page", shown_results, "-o", tmp_path / "a").out
    assert fssbench("leaderboard", "page", board, "-o", tmp_path / "b").err == ""
    for path in (tmp_path / "a").rglob("*.html"):
        assert (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_text() == path.read_text()
    ran = fssbench("leaderboard", "page", board, "-o", tmp_path / "c", "--results", tmp_path, "--no-reported")
    assert "note: the results of 3 entries were not found" in ran.err
    text = (tmp_path / "c" / "index.html").read_text()
    assert "3 measured, 0 reported" in text
    (page, *_) = (tmp_path / "c" / "models").iterdir()
    assert "were not at hand" in page.read_text()
    assert "No two models" in (tmp_path / "c" / "compare.html").read_text()


def test_results_that_changed_since_are_not_shown(shown_results: Path, tmp_path: Path, fssbench: Command) -> None:
    results = Path(shutil.copytree(shown_results, tmp_path / "results"))
    assert fssbench("leaderboard", "build", results, "-o", tmp_path / "board.json").code == 0
    changed = next(results.rglob("fold0*.json"))
    changed.write_text(changed.read_text() + "\n")
    board, views = from_file(tmp_path / "board.json", None, reported=False)
    assert len(views) == len(board.entries) - 1


# --- what pages say -------------------------------------------------------------------------------------


def numbers(comparison: Comparison) -> list[float]:
    """Every number of a comparison."""
    return [float(text) for text in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", repr(comparison))]


def test_a_page_compares_as_the_command_does(shown_source: Source) -> None:
    """The paired differences are those of `compare` on the same tables."""
    first, second = list(shown_source[1].values())[:2]
    pairs = [
        Pair(first=a.table, second=b.table, classes={c.id: c.name for c in a.result.score.per_class})
        for a, b in zip(first.runs, second.runs, strict=True)
    ]
    found, expected = compare_views(first, second), compare(pairs, policy=first.first.headline)
    assert numbers(found) == pytest.approx(numbers(expected))
    assert [one.name for one in found.per_class] == [one.name for one in expected.per_class]


def test_a_difference_turned_round_is_that_of_the_others(shown_source: Source) -> None:
    first, second = list(shown_source[1].values())[:2]
    there, back = compare_views(first, second).miou, compare_views(second, first).miou
    assert there is not None
    assert back is not None
    turned = there.reversed()
    assert turned.value == back.value
    assert turned.between.images == back.between.images
    assert turned.reversed() == there


def test_a_view_has_the_leaderboards_figures(shown_source: Source) -> None:
    board, views = shown_source
    for entry in board.entries:
        row = views[entry.id].headline
        assert row.policy == entry.policy
        assert (row.miou.value, row.fb_iou.value) == (entry.miou.value, entry.fb_iou.value)
        assert (row.miou.other_episodes, row.fb_iou.other_images) == (
            entry.miou.other_episodes,
            entry.fb_iou.other_images,
        )


def test_examples_are_shown_the_worst_first(shown_source: Source) -> None:
    (shown,) = filter(None, (view.examples(lambda run, file: file) for view in shown_source[1].values()))
    assert [one.example.choice for one in shown] == ["worst", "median", "best"]
    assert all("prediction" in one.pictures for one in shown)


# --- the report -----------------------------------------------------------------------------------------


def with_examples(results: Path) -> Path:
    """The folder of the model that has examples."""
    return next(results.rglob(INDEX)).parent.parent


def test_a_report_is_one_file_with_everything_in_it(fssbench: Command, shown_results: Path, tmp_path: Path) -> None:
    report = tmp_path / "new" / "report.html"
    ran = fssbench("report", with_examples(shown_results), "-o", report)
    assert ran.code == 0, ran.err
    assert "copy-support (size=32), toy-20i 1-shot, fold 0, 1, 2, 3, mIoU" in ran.out
    elements = Elements(report)
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in elements.addresses())
    assert sum(tag == "img" for tag, _ in elements.found) == 3 * 4
    text = " ".join(elements.text.split())
    for said in (
        "Not official",
        "Toy-20i is drawn",
        "IoU by object size",
        "IoU by classes",
        "size=32",
        "Worst",
    ):
        assert said in text
    assert [path.name for path in report.parent.iterdir()] == ["report.html"]
    again = report.read_bytes()
    fssbench("report", with_examples(shown_results), "-o", report)
    assert report.read_bytes() == again


def test_a_report_of_one_fold_says_so(shown_results: Path, tmp_path: Path) -> None:
    (result,) = with_examples(shown_results).glob("fold1*.json")
    entry = write_report(tmp_path / "report.html", [result])
    text = " ".join(Elements(tmp_path / "report.html").text.split())
    assert entry.miou.value is None
    assert f"mIoU, fold 1 {100 * (entry.folds[0].miou.value or 0):.2f}" in text
    assert "no result on fold 0, 2, 3" in text


def test_a_report_is_on_one_model(shown_results: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"are of 3 entries, such as .*fssbench leaderboard page"):
        write_report(tmp_path / "report.html", choose_results(shown_results))
    assert not (tmp_path / "report.html").exists()
    assert len(choose_results(with_examples(shown_results), shot=1)) == 4
    with pytest.raises(UsageError, match="holds no 5-shot results"):
        choose_results(shown_results, shot=5)


def test_of_several_shots_one_must_be_chosen(shown_results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(with_examples(shown_results), tmp_path / "model"))
    (one,) = folder.glob("fold3*.json")
    content = json.loads(one.read_text())
    content["episodes"]["shot"] = 5
    one.write_text(json.dumps(content, indent=1))
    with pytest.raises(UsageError, match="holds 1-shot, 5-shot results; choose with --shot"):
        choose_results(folder)
    assert choose_results(folder, shot=5) == [one]


def test_examples_that_are_damaged_are_named(shown_results: Path, tmp_path: Path) -> None:
    """A picture that is gone, or one that lies somewhere else."""
    folder = Path(shutil.copytree(with_examples(shown_results), tmp_path / "model"))
    (index,) = folder.rglob(INDEX)
    content = json.loads(index.read_text())
    picture = content["examples"][0]["pictures"]["truth"]
    (index.parent / picture).rename(folder / "elsewhere.jpg")
    with pytest.raises(ResultError, match=f"{picture} cannot be read: No such file.*draw the episodes again"):
        write_report(tmp_path / "report.html", choose_results(folder))
    content["examples"][0]["pictures"]["truth"] = "../elsewhere.jpg"
    index.write_text(json.dumps(content))
    with pytest.raises(ResultError, match="it is not a file's name"):
        write_report(tmp_path / "report.html", choose_results(folder))


def test_a_result_that_is_not_sound_has_no_report(fssbench: Command, shown_results: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(with_examples(shown_results), tmp_path / "model"))
    (result,) = folder.glob("fold0*.json")
    content = json.loads(result.read_text())
    content["policies"][0]["miou"]["value"] = 0.99
    result.write_text(json.dumps(content, indent=1))
    ran = fssbench("report", result, "-o", tmp_path / "report.html")
    assert ran.code == 2
    assert "see everything that is wrong with fssbench score --check" in ran.error
