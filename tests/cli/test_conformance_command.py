"""``fssbench conformance`` as its users meet it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image

from fssbench.scoring.conformance.kit import CLASSES, PAIRS

PAGE = Path(__file__).parents[2] / "docs" / "background" / "conformance.md"


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """Where a tool's numbers are to lie."""
    return tmp_path / "numbers.json"


OURS = {"miou": None, "fb_iou": 54.46, "per_class": {"1": 50, "2": 27.78, "3": 26.32, "4": None}}


# --- the pairs and the answers --------------------------------------------------------------------------


def test_the_pairs_and_the_right_answers_are_printed(fssbench: Command) -> None:
    ran = fssbench("conformance")
    assert ran.code == 0
    assert ran.err == ""
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    for pair in PAIRS:
        at = next(i for i, line in enumerate(lines) if f" {pair.query} {pair.prediction[0]} {pair.truth[0]} " in line)
        for row, (predicted, true) in enumerate(zip(pair.prediction[1:], pair.truth[1:], strict=True), start=1):
            assert lines[at + row].startswith(f"{predicted} {true}")
    assert "boat 50.00 1/2 50.00 1/2" in lines
    assert "cup 27.78 5/18 27.78 5/18" in lines
    assert "bird 26.32 5/19 26.32 5/19" in lines
    assert "mIoU — 34.70 178/513" in lines
    assert "FB-IoU 54.46 995/1827 54.46 995/1827" in lines
    assert lines[-1] == "— undefined for dog (no episodes)"


def test_a_script_reads_the_pairs_and_the_answers(fssbench: Command) -> None:
    said = json.loads(fssbench("conformance", "--json").out)
    assert [tuple(pair["truth"]) for pair in said["pairs"]] == [pair.truth for pair in PAIRS]
    assert said["answers"]["all classes"]["miou"]["value"] is None
    assert said["answers"]["all classes"]["per_class"]["4"]["reason"] == "no episodes"
    assert said["answers"]["classes that occur"]["miou"]["value"] == pytest.approx(178 / 513)


# --- export ---------------------------------------------------------------------------------------------


def test_another_tool_gets_the_very_same_masks(fssbench: Command, tmp_path: Path) -> None:
    kit = tmp_path / "new" / "kit"
    ran = fssbench("conformance", "--export", kit)
    assert ran.code == 0
    assert str(kit / "numbers.json") in ran.out
    with (kit / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    for index, (row, pair) in enumerate(zip(rows, PAIRS, strict=True)):
        assert (row["index"], row["class_id"], row["class"]) == (str(index), str(pair.class_id), CLASSES[pair.class_id])
        assert row["query"] == pair.query
        for column, expected in (("prediction", pair.predicted), ("truth", pair.label)):
            with Image.open(kit / row[column]) as image:
                assert (image.mode, image.format) == ("L", "PNG")
                assert np.array_equal(np.asarray(image), expected)
    assert {path.name for path in kit.iterdir()} == {
        "README.txt",
        "episodes.csv",
        "numbers.json",
        "predictions",
        "truths",
    }
    assert "class 4 has no episode" in (kit / "README.txt").read_text().lower()


def test_the_template_wants_to_be_filled_in_and_then_does(fssbench: Command, tmp_path: Path) -> None:
    kit = tmp_path / "kit"
    fssbench("conformance", "--export", kit)
    ran = fssbench("conformance", "--check", kit / "numbers.json")
    assert ran.code == 2
    assert "miou: expected a number, or null for undefined, got '?'" in ran.error
    template = json.loads((kit / "numbers.json").read_text())
    assert template.keys() == OURS.keys()
    (kit / "numbers.json").write_text(json.dumps(template | OURS))
    assert fssbench("conformance", "--check", kit / "numbers.json").code == 0


def test_an_export_overwrites_nothing(fssbench: Command, tmp_path: Path) -> None:
    (tmp_path / "numbers.json").write_text("mine")
    ran = fssbench("conformance", "--export", tmp_path)
    assert ran.code == 2
    assert ran.error.endswith("exists and is not an empty folder; name a new one")
    assert fssbench("conformance", "--export", tmp_path / "numbers.json").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["numbers.json"]
    assert (tmp_path / "numbers.json").read_text() == "mine"


def test_export_and_check_do_not_go_together(fssbench: Command, tmp_path: Path) -> None:
    ran = fssbench("conformance", "--export", tmp_path / "kit", "--check", tmp_path / "numbers.json")
    assert ran.code == 2
    assert "--check and --export do not go together" in ran.error
    assert not (tmp_path / "kit").exists()


# --- check ----------------------------------------------------------------------------------------------


def test_a_tool_that_scores_as_we_do_is_told_so(fssbench: Command, numbers: Path) -> None:
    numbers.write_text(json.dumps(OURS))
    ran = fssbench("conformance", "--check", numbers)
    assert (ran.code, ran.out) == (0, f"{numbers}: the tool scores as fssbench does\n")
    said = json.loads(fssbench("conformance", "--check", numbers, "--json").out)
    assert said["ours"] is True
    assert said["definitions"][0]["differences"] == []
    assert said["nearest"] is None


@pytest.mark.parametrize(
    ("miou", "does"),
    [
        (34.70, ["leaves a class without episodes out of the mean, where fssbench calls mIoU undefined"]),
        (26.02, ["counts a class without episodes as 0, where fssbench calls mIoU undefined"]),
        (0.3651, ["sums the pixels of all episodes at once, where fssbench averages classes"]),
        (
            24.17,
            [
                "averages the IoU of all episodes at once, where fssbench averages classes",
                "takes ignored pixels for background, where fssbench leaves them out",
                "leaves out the IoU of an episode whose union is empty",
            ],
        ),
    ],
)
def test_another_tool_is_told_what_it_does_otherwise(
    fssbench: Command, numbers: Path, miou: float, does: list[str]
) -> None:
    numbers.write_text(json.dumps({"miou": miou}))
    ran = fssbench("conformance", "--check", numbers)
    assert ran.code == 0
    assert ran.out.splitlines()[0] == f"{numbers}: the tool does not score as fssbench does; it"
    assert ran.out.splitlines()[1:] == [f"  - {clause}" for clause in does]
    said = json.loads(fssbench("conformance", "--check", numbers, "--json").out)
    assert said["ours"] is False
    assert [one["differences"] for one in said["definitions"]] == [does]


def test_the_answer_on_the_page_is_what_is_printed(
    fssbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("kit").mkdir()
    Path("kit/numbers.json").write_text('{"miou": 24.17}')
    assert f"```\n{fssbench('conformance', '--check', 'kit/numbers.json').out}```" in PAGE.read_text()


def test_of_several_definitions_all_are_listed(fssbench: Command, numbers: Path) -> None:
    numbers.write_text('{"miou": null}')
    ran = fssbench("conformance", "--check", numbers)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].endswith("8 definitions give these numbers; fb_iou and per_class would tell more of them apart")
    assert lines[1] == "1. the tool scores as fssbench does"
    assert sum(line.split(".")[0].isdigit() for line in lines) == 8
    numbers.write_text('{"miou": null, "fb_iou": 0.5446}')
    assert "give these numbers; per_class would tell" in fssbench("conformance", "--check", numbers).out


def test_numbers_of_no_definition_are_refused_with_the_nearest(fssbench: Command, numbers: Path) -> None:
    numbers.write_text(json.dumps(OURS | {"miou": 34.7, "fb_iou": 54.5}))
    ran = fssbench("conformance", "--check", numbers)
    assert ran.code == 2
    assert "nearest is that of a tool that\n  - leaves a class without episodes out of the mean" in ran.out
    assert "read as percent; the nearest differs: fb_iou is 54.50 %, there 54.46 %; if the tool" in ran.error
    said = fssbench("conformance", "--check", numbers, "--json")
    assert said.code == 2
    nearest = json.loads(said.out)["nearest"]
    assert (nearest["aggregation"], nearest["absent"]) == ("class-pooled", "skipped")
    assert json.loads(said.out)["definitions"] == []


def test_a_tool_that_rounds_coarsely_is_known_with_a_tolerance(fssbench: Command, numbers: Path) -> None:
    numbers.write_text('{"miou": 26, "fb_iou": 54.5, "per_class": {"1": 50, "2": 27.8, "3": 26.3, "4": 0}}')
    assert fssbench("conformance", "--check", numbers).code == 2
    ran = fssbench("conformance", "--check", numbers, "--tolerance", "0.05")
    assert ran.code == 0
    assert "counts a class without episodes as 0" in ran.out


@pytest.mark.parametrize("tolerance", ["-1", "1.1", "nan", "wide"])
def test_a_tolerance_that_is_none_is_refused(fssbench: Command, numbers: Path, tolerance: str) -> None:
    numbers.write_text('{"miou": 26}')
    ran = fssbench("conformance", "--check", numbers, "--tolerance", tolerance)
    assert ran.code == 2
    assert "Invalid value for '--tolerance'" in ran.error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Invalid JSON"),
        (b"\xff\xfe", "Invalid JSON"),
        (b'{"miou": NaN}', "miou: Input should be a finite number"),
        (b'{"mIoU": 1}', "Field required"),
        (b'{"miou": 1, "per_class": {"7": 1}}', "there is no class '7'"),
    ],
)
def test_a_bad_file_gets_one_line(fssbench: Command, numbers: Path, content: bytes, message: str) -> None:
    numbers.write_bytes(content)
    ran = fssbench("conformance", "--check", numbers)
    assert ran.code == 2
    assert message in ran.error
    assert ran.out == ""


def test_a_file_that_cannot_be_read_gets_one_line(fssbench: Command, tmp_path: Path) -> None:
    assert "cannot be read: No such file" in fssbench("conformance", "--check", tmp_path / "none.json").error
    assert "cannot be read: Is a directory" in fssbench("conformance", "--check", tmp_path).error
