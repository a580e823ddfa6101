"""The doctor finds what was broken on purpose, names it, and goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from raw_coco import CATEGORY_IDS, HEIGHT, WIDTH, content, file_name, jpeg, polygon, write_coco
from raw_voc_fss import Array, fss, indices, png, sbd, voc
from raw_voc_fss import jpeg as plain_jpeg

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I, Benchmark
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.doctor.examine import examine, guess_benchmark
from fssbench.pipelines.sources.doctor.findings import Finding, Report

A, B, C = "2007_000033", "2007_000061", "2011_003276"


def report_on(folder: Path, benchmark: Benchmark = COCO_20I, **options: Any) -> Report:
    return examine(open_source(benchmark, folder), min_pixels=100, **options)


def finding(report: Report, what: str) -> Finding:
    (one,) = (f for f in report.findings if what in f.what)
    return one


def findings(report: Report) -> list[str]:
    return [f.what for f in report.findings]


def test_counts_and_pools_are_those_of_the_data(tmp_path: Path) -> None:
    data = content()
    data["annotations"][3]["segmentation"] = [polygon(0, 0, 9, 11)]  # 99 pixels
    report = report_on(write_coco(tmp_path / "coco", data))
    assert (report.title, report.layout, report.split) == ("COCO-20i", "coco-2014", "val2014")
    assert report.counts["annotations"] == report.counts["test images"] == report.counts["listed images"] == 12
    person, cat = report.classes[0], report.classes[15]
    assert (person.name, person.fold, person.images, person.eligible) == ("person", 0, 4, 3)
    assert (cat.images, cat.eligible) == (0, 0)
    assert finding(report, "fewer than the 2 eligible images").count == 77


NAME = "1 of image 000000000001"
ANNOTATION_ODDITIES: list[tuple[Callable[[dict[str, Any]], object], str, str, str]] = [
    (
        lambda d: d["annotations"][0].update(
            iscrowd=1, segmentation={"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
        ),
        "note",
        "crowds, left out",
        NAME,
    ),
    (
        lambda d: d["annotations"][0].update(
            iscrowd=1, segmentation={"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}
        ),
        "note",
        "a category as crowds alone",
        "000000000001 category 1",
    ),
    (
        lambda d: d["annotations"][0].update(segmentation=[polygon(1, 1, 5, 5), polygon(9, 9, 5, 5)]),
        "note",
        "several polygons",
        NAME,
    ),
    (
        lambda d: d["annotations"][0].update(segmentation=[polygon(5, 5, 9, 9), [1, 2, 3, 4]]),
        "warning",
        "polygons of two corners",
        NAME,
    ),
    (
        lambda d: d["annotations"][0].update(segmentation=[polygon(30, 5, 11, 5)]),
        "warning",
        "polygons that leave their image",
        NAME,
    ),
    (
        lambda d: d["annotations"][0].update(segmentation=[polygon(3.2, 3.2, 0.1, 0.1)]),
        "warning",
        "covers no pixel",
        NAME,
    ),
    (lambda d: d["annotations"].pop(0), "note", "without any annotation", "000000000001"),
]


@pytest.mark.parametrize(("change", "gravity", "what", "where"), ANNOTATION_ODDITIES)
def test_whatever_is_odd_about_annotations_is_found_and_named(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], gravity: str, what: str, where: str
) -> None:
    data = content()
    folder = write_coco(tmp_path / "coco", data)
    before = findings(report_on(folder))
    assert not any(what in one for one in before)
    change(data)
    (folder / "annotations/instances_val2014.json").write_text(json.dumps(data))
    found = finding(report_on(folder), what)
    assert (found.gravity, found.count, found.examples) == (gravity, 1, (where,))


def test_what_prepare_would_refuse_does_not_end_the_examination(tmp_path: Path) -> None:
    data = content()
    folder = write_coco(tmp_path / "coco", data)
    data["annotations"][0]["category_id"] = 12
    (folder / "annotations/instances_val2014.json").write_text(json.dumps(data))
    report = report_on(folder)
    assert "it names category 12, which is not listed" in finding(report, "prepare would refuse").what
    assert report.classes == []
    assert report.counts["test images"] == 12


def test_odd_images_are_found(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco")
    for n, data in enumerate([jpeg(mode="L"), jpeg(mode="CMYK"), jpeg(orientation=6), jpeg(9, 9), b"", jpeg()[:-99]]):
        (folder / "val2014" / file_name(n + 1)).write_bytes(data)
    (folder / "val2014" / file_name(7)).unlink()
    report = report_on(folder)
    assert finding(report, "grey images").examples == ("000000000001",)
    assert finding(report, "CMYK images").examples == ("000000000002",)
    assert finding(report, "EXIF asks").examples == ("000000000003 (6)",)
    damaged = finding(report, "damaged or do not fit")
    assert damaged.gravity == "error"
    assert [text.split(" ")[0] for text in damaged.examples] == [f"{n:012d}" for n in (4, 5, 6)]
    assert "is 9×9 pixels, its annotation says 40×30" in damaged.examples[0]
    assert finding(report, "no image file").examples == ("000000000007",)


def test_images_are_not_read_where_that_is_not_wanted(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco")
    (folder / "val2014" / file_name(1)).write_bytes(b"")
    assert not any("damaged" in what for what in findings(report_on(folder, look=False)))


def test_duplicates_are_found_across_and_within_parts(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco")
    (folder / "train2014").mkdir()
    shutil.copy(folder / "val2014" / file_name(1), folder / "train2014" / "COCO_train2014_000000000900.jpg")
    shutil.copy(folder / "val2014" / file_name(2), folder / "val2014" / file_name(3))
    report = report_on(folder)
    assert report.counts["training images"] == 1
    across = finding(report, "same bytes among both test and training")
    assert across.examples == ("test 000000000001 = training 000000000900",)
    assert finding(report, "same bytes among test images").examples == ("000000000002 = 000000000003",)


def test_pixels_find_what_bytes_do_not(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco")
    path = folder / "val2014" / file_name(2)
    path.write_bytes((folder / "val2014" / file_name(1)).read_bytes() + b"\0")
    assert not any("same" in what for what in findings(report_on(folder)))
    same = finding(report_on(folder, pixels=True), "same pixels among test images")
    assert same.examples == ("000000000001 = 000000000002",)


def test_an_image_in_two_folders_is_no_duplicate_but_told(tmp_path: Path) -> None:
    folder = write_coco(tmp_path / "coco")
    (folder / "val2017").mkdir()
    shutil.copy(folder / "val2014" / file_name(1), folder / "val2017" / file_name(1, 2017))
    report = report_on(folder)
    assert finding(report, "lie in several folders").examples == ("000000000001",)
    assert not any("same bytes" in what for what in findings(report))


def test_voc_is_examined_with_sbd(tmp_path: Path) -> None:
    folder = voc(tmp_path / "VOC2012", {A: indices({12: 200, 255: 1}), B: indices({12: 200, 255: 1})})
    extra = "2008_000002"
    sbd(folder / f"SBD/cls/{extra}.mat", indices({12: 9}))
    sbd(folder / "SBD/cls/2008_000003.mat", indices({12: 9}))
    plain_jpeg(folder / f"JPEGImages/{extra}.jpg", 24, 33)
    (folder / "ImageSets/Segmentation/train.txt").write_text(f"{A}\n{extra}\n")
    report = report_on(folder, PASCAL_5I)
    assert report.counts["masks in SBD cls"] == 2
    assert report.counts["training images"] == 1
    assert finding(report, "both training and validation").examples == (A,)
    assert finding(report, "without an image file, not listed").examples == ("2008_000003",)
    assert "2008_000002 is 33×24 pixels, its annotation says 32×24" in finding(report, "do not fit").examples[0]
    assert (report.classes[11].images, report.classes[11].eligible) == (2, 2)


def test_fss_is_examined_with_its_faults(tmp_path: Path) -> None:
    folder = fss(tmp_path / "fss", ["abacus", "bolt"])
    (folder / "abacus/3.png").unlink()
    shutil.copy(folder / "bolt/1.png", folder / "bolt/2.png")
    (tmp_path / "test.txt").write_text("abacus\n")
    source = open_source(FSS_1000, folder, splits=tmp_path / "test.txt")
    report = examine(source, min_pixels=1)
    assert report.counts["test images"] == report.counts["training images"] == 10
    assert [(row.name, row.images) for row in report.classes] == [("abacus", 9)]
    assert finding(report, "images without a mask, left out: 1 (abacus/3)").gravity == "warning"
    assert finding(report, "same bytes among both test and training").count == 1  # all drawn alike


# --- ready-made masks -----------------------------------------------------------------------------------


@pytest.fixture
def masked(tmp_path: Path) -> tuple[Path, Path]:
    """COCO with a person of 20×15 pixels in image 1, and PNGs: image 1 lacks a row, image 4 is the same."""
    folder, ready = write_coco(tmp_path / "coco"), tmp_path / "ready"
    same: Array = np.zeros((HEIGHT, WIDTH), np.uint8)
    same[5:20, 5:25] = 1
    less = same.copy()
    less[5] = 0
    png(ready / "COCO_val2014_000000000004.png", same)
    png(ready / "val2014/000000000001.png", less)
    return folder, ready


def test_ready_made_masks_are_compared_by_class_and_image(masked: tuple[Path, Path]) -> None:
    report = report_on(masked[0], masks=masked[1])
    assert report.comparison is not None
    assert (report.comparison.images, report.comparison.equal) == (2, 1)
    (person,) = report.comparison.classes
    assert (person.where, person.images, person.differing, person.iou) == ("person", 1, 20, 580 / 600)
    (worst,) = report.comparison.worst
    assert (worst.where, worst.differing, worst.iou) == ("000000000001 person", 20, 280 / 300)
    assert finding(report, "without a ready-made mask").count == 10


def test_pixels_that_either_side_does_not_score_do_not_differ(masked: tuple[Path, Path]) -> None:
    values: Array = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[5:20, 5:25] = 1
    values[5] = 255
    png(masked[1] / "val2014/000000000001.png", values)
    comparison = report_on(masked[0], masks=masked[1]).comparison
    assert comparison is not None
    assert comparison.equal == 2


def test_a_class_that_only_one_side_has_differs_wholly(masked: tuple[Path, Path]) -> None:
    png(masked[1] / "val2014/000000000001.png", np.full((HEIGHT, WIDTH), 9, np.uint8))
    comparison = report_on(masked[0], masks=masked[1]).comparison
    assert comparison is not None
    assert [(c.where, c.inter, c.union) for c in comparison.classes] == [("person", 300, 600), ("boat", 0, 1200)]


def test_ready_made_masks_that_cannot_be_compared_are_named(masked: tuple[Path, Path]) -> None:
    png(masked[1] / "val2014/000000000001.png", np.full((HEIGHT, WIDTH), CATEGORY_IDS[-1], np.uint8))
    png(masked[1] / "000000000002.png", np.zeros((HEIGHT, 3), np.uint8))
    report = report_on(masked[0], masks=masked[1])
    (value,) = finding(report, "ready-made masks with values that mean nothing").examples
    assert "pixels of value 90, expected 0 to 80 and 255" in value
    (size,) = finding(report, "ready-made masks of another size than their image").examples
    assert "000000000002.png is 3×30 pixels, its image 40×30" in size


def test_vocs_masks_are_compared_too_and_fss_have_no_classes(tmp_path: Path) -> None:
    folder = voc(tmp_path / "VOC2012", {A: indices({12: 200, 255: 10}), B: indices({12: 200, 255: 1})})
    png(tmp_path / f"ready/{A}.png", indices({12: 210}))
    png(tmp_path / f"ready/{B}.png", indices({12: 190}))
    comparison = report_on(folder, PASCAL_5I, masks=tmp_path / "ready").comparison
    assert comparison is not None
    assert (comparison.images, comparison.equal) == (2, 1)  # the border of A is not compared
    with pytest.raises(UsageError, match="FSS-1000 has no masks of class indices; leave out --masks"):
        report_on(fss(tmp_path / "fss", ["abacus"]), FSS_1000, masks=tmp_path / "ready")


# --- the command ----------------------------------------------------------------------------------------


def test_the_layout_says_whose_data_it_is(tmp_path: Path) -> None:
    assert guess_benchmark(write_coco(tmp_path / "a")) is COCO_20I
    assert guess_benchmark(voc(tmp_path / "b/VOC2012", {A: indices({1: 1})}).parent) is PASCAL_5I
    assert guess_benchmark(fss(tmp_path / "c/fewshot_data", ["abacus"]).parent) is FSS_1000
    with pytest.raises(SourceError, match=r"is laid out as none of COCO .*; pass --benchmark to hear what is missing"):
        guess_benchmark(tmp_path)


def test_the_command_prints_a_report_and_exits_with_0(fssbench: Command, masked: tuple[Path, Path]) -> None:
    ran = fssbench("doctor", masked[0], "--masks", masked[1])
    assert ran.code == 0
    assert ran.out.startswith(f"COCO-20i in {masked[0]}: coco-2014, val2014\n")
    assert "2 images compared, 1 equal in every pixel" in ran.out
    assert "96.67" in ran.out
    assert "error: classes with fewer than the 2 eligible images of a 1-shot episode: 80 (person (0), " in ran.out
    ran = fssbench("doctor", masked[0], "--masks", masked[1], "--json")
    report = json.loads(ran.out)
    assert report["comparison"]["classes"][0]["iou"] == 580 / 600
    assert report["classes"][0]["images"] == 4
    assert {f["gravity"] for f in report["findings"]} == {"error", "warning"}


def test_a_source_that_cannot_be_opened_exits_with_2(fssbench: Command, tmp_path: Path) -> None:
    assert "there is no folder" in fssbench("doctor", tmp_path / "nowhere").error
    ran = fssbench("doctor", tmp_path, "-b", "coco")
    assert ran.code == 2
    assert "holds neither annotations/instances_val2014.json" in ran.error
    arguments = ("doctor", write_coco(tmp_path / "coco"), "--masks", tmp_path / "ready")
    assert "ready holds no mask of an image of the source; expected PNGs" in fssbench(*arguments).error
    png(tmp_path / "ready/000000000099.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    assert "of the source (it has 1 of other images)" in fssbench(*arguments).error


@pytest.mark.real
def test_the_real_samples_have_what_is_known_of_them(real_data: Path) -> None:
    report = report_on(real_data / "coco")
    assert report.counts["test images"] == 197
    assert finding(report, "crowds, left out").count == 22
    assert finding(report, "several polygons").count == 142
    assert not any(f.gravity == "error" and "eligible" not in f.what for f in report.findings)
