"""Annotations that are not what the format says: every fault by every reader, in one line that says which and where."""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from raw_coco import HEIGHT, WIDTH, content, polygon, write_coco
from toys import strangers_model

from fssbench.base.errors import EpisodeSetError, MaskShapeError, MetricError, SourceError, TrainingSetError
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.stream import truth_of
from fssbench.pipelines.episode_sets.summary import ImageFacts
from fssbench.pipelines.formats import images, masks, regions
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.sources.doctor.examine import examine
from fssbench.pipelines.sources.mask_png import MaskValues, decode_indices
from fssbench.pipelines.training_sets.decode import LabelledImage
from fssbench.results.foreign import read_foreign
from fssbench.results.rescore import recount
from fssbench.schemas.samples import ImageMeta, PredictionSample, TrainingMeta

SIZE = (HEIGHT, WIDTH)
PIXELS = HEIGHT * WIDTH
NAN, INFINITE = float("nan"), float("inf")
GOOD = polygon(5, 5, 20, 15)

POLYGONS: dict[str, Any] = {
    "null": None,
    "text": "polygon",
    "a number": 7,
    "true": True,
    "no polygon": [],
    "a polygon of nothing": [[]],
    "two numbers": [[5, 5]],
    "three numbers": [[1, 2, 3]],
    "four numbers, which pycocotools takes for a box": [[4, 4, 24, 20]],
    "seven numbers": [[5, 5, 20, 5, 20, 20, 5]],
    "numbers without a polygon": GOOD,
    "corners as lists": [[[5, 5], [20, 5], [20, 20]]],
    "corners as objects": [[{"x": 5, "y": 5}] * 6],
    "coordinates as text": [["5", "5", "20", "5", "20", "20"]],
    "a coordinate that is null": [[5, None, 20, 5, 20, 20]],
    "a coordinate that is true": [[5, True, 20, 5, 20, 20]],
    "a corner that is not a number": [[5, NAN, 20, 5, 20, 20]],
    "a corner at infinity": [[5, 5, INFINITE, 5, 20, 20]],
    "a corner at minus infinity": [[5, 5, 20, -INFINITE, 20, 20]],
    "a corner far to the right": [[5, 5, 1e9, 5, 20, 20]],
    "a corner far above": [[5, 5, 20, -(10**5), 20, 20]],
    "a corner at a number of 400 digits": [[5, 5, 10**400, 5, 20, 20]],
    "an outline that takes all memory": [[0, 0, WIDTH, HEIGHT] * 5_000],
    "a good polygon and another of seven numbers": [GOOD, [5, 5, 20, 5, 20, 20, 5]],
    "a good polygon and a corner at infinity": [GOOD, [5, 5, INFINITE, 5, 20, 20]],
}
RUNS: dict[str, Any] = {
    "neither size nor counts": {},
    "no counts": {"size": [*SIZE]},
    "no size": {"counts": [PIXELS]},
    "counts null": {"size": [*SIZE], "counts": None},
    "counts a number": {"size": [*SIZE], "counts": PIXELS},
    "no run": {"size": [*SIZE], "counts": []},
    "no text": {"size": [*SIZE], "counts": ""},
    "too short": {"size": [*SIZE], "counts": [100, 50, 20]},
    "one too short": {"size": [*SIZE], "counts": [100, PIXELS - 101]},
    "too long": {"size": [*SIZE], "counts": [100, 50, 50_000]},
    "far too long": {"size": [*SIZE], "counts": [0, 10**30]},
    "runs below zero that add up": {"size": [*SIZE], "counts": [-5, PIXELS + 5]},
    "runs with a point": {"size": [*SIZE], "counts": [600.0, 600.0]},
    "runs as text": {"size": [*SIZE], "counts": ["600", "600"]},
    "runs that are true": {"size": [*SIZE], "counts": [True, PIXELS - 1]},
    "nested runs": {"size": [*SIZE], "counts": [[PIXELS]]},
    "text cut in a number": {"size": [*SIZE], "counts": "Ti"},
    "text too short": {"size": [*SIZE], "counts": "0"},
    "text of other letters": {"size": [*SIZE], "counts": "!"},
    "text of another language": {"size": [*SIZE], "counts": "é三"},
    "a number without end": {"size": [*SIZE], "counts": "o" * 100_000 + "0"},
    "size the other way round": {"size": [WIDTH, HEIGHT], "counts": [PIXELS]},
    "size of another image": {"size": [3, 3], "counts": [0, 9]},
    "size of three": {"size": [*SIZE, 1], "counts": [PIXELS]},
    "size with a point": {"size": [30.0, 40.0], "counts": [PIXELS]},
    "size as text": {"size": ["30", "40"], "counts": [PIXELS]},
    "size null": {"size": None, "counts": [PIXELS]},
    "size of nothing": {"size": [0, 40], "counts": [0]},
    "size that takes all memory": {"size": [10**6, 10**6], "counts": [10**12]},
}
REGIONS = POLYGONS | RUNS


def write(folder: Path, data: object) -> Path:
    """Annotations alone: what is refused is refused before an image is looked for."""
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_val2014.json").write_text(json.dumps(data))
    return folder


def broken(folder: Path, region: object, *, beside: bool) -> Path:
    """Annotation 1 of image 1 has that region, alone or beside a good one of its class."""
    data = content()
    data["annotations"][0]["segmentation"] = region
    if beside:
        data["annotations"].append(data["annotations"][1] | {"id": 99, "image_id": 1, "category_id": 1})
    return write(folder, data)


def pools(folder: Path, **options: Any) -> str:
    with pytest.raises(SourceError) as refused:
        CocoSource(folder, **options).pools(range(80), min_pixels=1)
    return str(refused.value)


def findings(folder: Path) -> list[str]:
    return [
        example
        for finding in examine(CocoSource(folder), min_pixels=1).findings
        if finding.gravity == "error"
        for example in finding.examples
    ]


READERS: dict[str, Callable[[Path], str]] = {
    "unions": pools,
    "label maps": lambda folder: pools(folder, mask_rule="label-map"),
    "crowds painted": lambda folder: pools(folder, crowds="paint"),
    "the doctor": lambda folder: "\n".join(findings(folder)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", REGIONS)
def test_a_region_that_cannot_be_drawn_is_named_with_its_image(tmp_path: Path, name: str, reader: str) -> None:
    """Alone in its image, and beside a good one of the same class."""
    for beside in (False, True):
        (tmp_path / str(beside)).mkdir()
        said = READERS[reader](broken(tmp_path / str(beside), REGIONS[name], beside=beside))
        assert "annotation 1 of image 000000000001: " in said
        assert len(said) < 600


Change = Callable[[dict[str, Any]], object]


def first(section: str, **fields: Any) -> Change:
    return lambda data: data[section][0].update(fields)


def without(section: str, field: str) -> Change:
    return lambda data: data[section][0].pop(field)


FIELDS: dict[str, tuple[Change, str]] = {
    "an annotation without id": (without("annotations", "id"), r"annotations[0] of image 000000000001: its id must be"),
    "annotation ids as text": (first("annotations", id="1"), "its id must be a whole number, got '1'"),
    "annotations of one id": (
        lambda d: d["annotations"][1].update(id=1),
        "its id must be unique, and an annotation before",
    ),
    "an annotation of no image": (without("annotations", "image_id"), "annotation 1 of image None: its image_id must"),
    "an annotation of an image as text": (first("annotations", image_id="1"), "its image_id must be a whole number"),
    "an annotation of true": (first("annotations", image_id=True), "its image_id must be a whole number, got True"),
    "an annotation of a fraction": (first("annotations", image_id=1.0), "its image_id must be a whole number, got 1.0"),
    "an annotation of two images": (first("annotations", image_id=[1]), "its image_id must be a whole number, got [1]"),
    "an annotation of another image": (first("annotations", image_id=999), "it names image 999, which is not listed"),
    "an annotation of image -1": (first("annotations", image_id=-1), "of image -1: it names image -1, which is not"),
    "an annotation of another category": (first("annotations", category_id=12), "it names category 12, which is not"),
    "an annotation of category null": (first("annotations", category_id=None), "its category_id must be a whole"),
    "an annotation without a region": (without("annotations", "segmentation"), "it has no segmentation"),
    "iscrowd as text": (first("annotations", iscrowd="0"), "its iscrowd must be 0 or 1, got '0'"),
    "iscrowd null": (first("annotations", iscrowd=None), "its iscrowd must be 0 or 1, got None"),
    "iscrowd 2": (first("annotations", iscrowd=2), "its iscrowd must be 0 or 1, got 2"),
    "iscrowd a list": (first("annotations", iscrowd=[1]), "its iscrowd must be 0 or 1, got [1]"),
    "an annotation that is null": (lambda d: d["annotations"].insert(0, None), "annotations[0]: it must be an object"),
    "an image without id": (without("images", "id"), "images[0]: its id must be a whole number of up to 12 digits"),
    "an image id as text": (first("images", id="1"), "images[0]: its id must be a whole number of up to 12 digits"),
    "an image id with a point": (first("images", id=1.5), "images[0]: its id must be a whole number"),
    "an image id that is true": (first("images", id=True), "images[0]: its id must be a whole number"),
    "an image id below zero": (first("images", id=-1), "images[0]: its id must be a whole number of up to 12 digits"),
    "an image id that is huge": (first("images", id=10**300), "images[0]: its id must be a whole number of up to"),
    "an image listed twice": (lambda d: d["images"].append(d["images"][0]), "image 000000000001: it is listed more"),
    "an image without width": (without("images", "width"), "image 000000000001: its size must be [height, width] of 1"),
    "width null": (first("images", width=None), "image 000000000001: its size must be [height, width] of 1 or more"),
    "width as text": (first("images", width="40"), "image 000000000001: its size must be [height, width] of 1 or more"),
    "width with a point": (first("images", width=40.0), "image 000000000001: its size must be [height, width] of 1"),
    "width of nothing": (first("images", width=0), "image 000000000001: its size must be [height, width] of 1 or more"),
    "height below zero": (first("images", height=-30), "image 000000000001: its size must be [height, width] of 1"),
    "an enormous image": (first("images", width=10**9), "its size is [30, 1000000000], more than 178,956,970 pixels"),
    "an image that is a list": (lambda d: d["images"].insert(0, [1]), "images[0]: its id must be a whole number"),
    "a category id as text": (first("categories", id="1"), "categories[0]: its id must be a whole number, got '1'"),
    "two categories of one id": (first("categories", id=2), "category 2: it is listed more than once"),
    "two categories of one name": (first("categories", name="car"), "category 3: its name is 'car', which another"),
    "a category without a name": (without("categories", "name"), "category 1: its name must be text, got None"),
    "a category of no name": (first("categories", name=" "), "category 1: its name must be text, got ' '"),
    "a category that is null": (lambda d: d["categories"].insert(0, None), "categories[0]: its id must be a whole"),
    "one category only": (lambda d: d.update(categories=d["categories"][:1]), "it has 1 categories, expected 80"),
    "annotations that are an object": (lambda d: d.update(annotations={}), "'annotations' must be a list of objects"),
    "images that are null": (lambda d: d.update(images=None), "'images' must be a list of objects"),
    "no categories": (lambda d: d.pop("categories"), "'categories' must be a list of objects"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_another_kind_is_named(tmp_path: Path, name: str, reader: str) -> None:
    change, message = FIELDS[name]
    change(data := content())
    folder = write(tmp_path, data)
    if "must be a list of objects" in message and reader == "the doctor":
        said = "\n".join(finding.what for finding in examine(CocoSource(folder), min_pixels=1).findings)
    else:
        said = READERS[reader](folder)
    assert message in said


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xfe",
        b'{"images": [], "annotations": [], "categories": [{"name": "\xff"}]}',
        json.dumps(content()).encode()[:-9],
        b'{"images": ' * 5_000,
        b'{"images": ' + b"[" * 100_000,
        b'{"images": ' + b"9" * 10_000 + b"}",
    ],
    ids=["no text", "another encoding", "cut", "objects without end", "lists without end", "a number without end"],
)
def test_a_file_that_is_not_json_is_refused(fssbench: Command, tmp_path: Path, raw: bytes) -> None:
    write(tmp_path, {})
    (tmp_path / "annotations/instances_val2014.json").write_bytes(raw)
    ran = fssbench("prepare", "coco", "-s", tmp_path, "-f", 0)
    assert ran.code == 2
    assert "instances_val2014.json is not JSON: " in ran.error
    ran = fssbench("doctor", tmp_path)
    assert (ran.code, "instances_val2014.json is not JSON: " in ran.out) == (0, True)


def test_numbers_that_are_none_do_no_harm_where_nobody_reads_them(tmp_path: Path) -> None:
    data = content()
    data["annotations"][0] |= {"area": NAN, "bbox": [INFINITE] * 4}
    data["images"][0] |= {"file_name": None, "license": [[]]}
    data["images"][1]["file_name"] = "../../etc/passwd"
    assert CocoSource(write(tmp_path, data)).pools([0], min_pixels=1)[0][0] == "000000000001"


def test_the_command_refuses_in_one_line_and_the_doctor_lists_every_fault_and_goes_on(
    fssbench: Command, tmp_path: Path
) -> None:
    data = content()
    folder = write_coco(tmp_path / "coco", data)
    data["annotations"][0]["segmentation"] = POLYGONS["a corner at infinity"]
    data["annotations"][1]["segmentation"] = RUNS["too short"]
    data["annotations"][2]["image_id"] = [3]
    data["images"][3]["width"] = None
    (folder / "annotations/instances_val2014.json").write_text(json.dumps(data))
    ran = fssbench("prepare", "coco", "-s", folder, "-f", 0, "-o", tmp_path / "sets")
    assert ran.code == 2
    assert "image 000000000004: its size must be [height, width] of 1 or more, got [30, None]; use the " in ran.error
    assert ran.error.endswith("; fssbench doctor lists all 4 such faults")
    assert not (tmp_path / "sets").exists()
    ran = fssbench("doctor", folder)
    assert ran.code == 0
    for said in (
        "annotation 1 of image 000000000001: a polygon has a corner at inf, 5, far outside the image of 40×30 pixels",
        "annotation 2 of image 000000000002: a mask's runs cover 170 pixels, its size 30×40 has 1200",
        "annotation 3 of image [3]: its image_id must be a whole number, got [3]",
        "image 000000000004: its size must be [height, width] of 1 or more, got [30, None]",
    ):
        assert said in ran.out
    assert "test images" in ran.out


# --- what is good ---------------------------------------------------------------------------------------


KNOWN: dict[str, list[list[float]]] = {
    "corners somewhat outside": [[-0.5, -3, WIDTH + 0.01, 5, 20, HEIGHT + 8]],
    "no height, as COCO's annotation 918": [[26.65, 8.33, 26.65, 8.33, 27.68, 8.33, 27.68, 8.33]],
    "whole numbers": [[5, 5, 20, 5, 20, 20]],
    "two corners beside a polygon": [GOOD, [1, 1, 30, 20]],
    "many corners": [[5, 5, 20, 5, 20, 20] * 500],
}


@pytest.mark.parametrize("name", KNOWN)
def test_what_published_annotations_have_is_drawn_as_pycocotools_draws_it(name: str) -> None:
    region = KNOWN[name]
    assert regions.fault(region, SIZE) == ""
    theirs = coco_mask.merge(coco_mask.frPyObjects(region, *SIZE))
    assert regions.draw(region, SIZE) == {"size": [*SIZE], "counts": theirs["counts"].decode()}


def test_runs_of_no_pixel_are_drawn_as_what_they_mean(tmp_path: Path) -> None:
    """pycocotools ends a union where two masks have such a run in one place."""
    data = content()
    odd = {"size": [*SIZE], "counts": [100, 0, 100, 50, PIXELS - 250]}
    data["annotations"][0]["segmentation"] = odd
    data["annotations"].append(data["annotations"][0] | {"id": 99})
    mask, _ = CocoSource(write(tmp_path, data)).mask(0, "000000000001")
    assert masks.area(mask) == 50
    assert mask == masks.encode(masks.decode(mask))


border = st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 7, NAN, INFINITE, -INFINITE, 1e307])
some_regions = st.lists(st.lists(border.map(lambda x: x * 10), max_size=9) | st.none(), max_size=3)
run_lengths = st.sampled_from([RUNS["too short"], RUNS["text cut in a number"], {"size": [10, 10], "counts": [100]}])


@given(st.lists(some_regions | st.none() | run_lengths, max_size=6))
def test_many_regions_at_once_are_judged_as_each_alone(some: list[object]) -> None:
    alone = [(n, said) for n, region in enumerate(some) if (said := regions.fault(region, (10, 10)))]
    assert list(regions.faults(some, [(10, 10)] * len(some))) == alone


# --- run lengths of others ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RUNS)
def test_a_prediction_of_such_runs_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    value = RUNS[name]
    (tmp_path / "masks.jsonl").write_text(json.dumps({"index": 0, "mask": value}))
    if name in ("size the other way round", "size of another image"):  # good masks, of no query here
        assert read_foreign(tmp_path / "masks.jsonl", n_episodes=1, advance=lambda _: None)
        return
    with pytest.raises(MetricError, match=r"masks.jsonl line 1: "):
        read_foreign(tmp_path / "masks.jsonl", n_episodes=1, advance=lambda _: None)


STORED = {name: value for name, value in RUNS.items() if isinstance(value.get("counts"), str)} | {
    "size of another image": masks.encode(np.ones((3, 3), bool)),
    "size of nothing": {"size": [0, 40], "counts": ""},
    "size of three": {"size": [*SIZE, 1], "counts": "0"},
}


def image_meta(rle: Any) -> ImageMeta:
    return ImageMeta(
        image_id="plot", class_id=0, height=HEIGHT, width=WIDTH, orientation=1, mask=rle, ignore=None, n_classes=1
    )


def as_truth(rle: Any) -> None:
    truth_of(image_meta(rle), where="image plot")


def as_labels(rle: Any) -> None:
    meta = TrainingMeta(image_id="plot", height=HEIGHT, width=WIDTH, orientation=1, masks={0: rle}, ignore=None)
    LabelledImage(np.zeros((*SIZE, 3), np.uint8), meta).target(0)


def as_prediction(rle: Any) -> None:
    query = image_meta(masks.encode(np.ones(SIZE, bool)))
    policy = replace(STRICT.headline, size="original")
    list(recount([PredictionSample(index=0, masks={"original": rle})], {0: query}, [policy], model=strangers_model()))


@pytest.mark.parametrize("name", STORED)
def test_a_stored_mask_of_such_runs_is_refused_by_whoever_reads_it(name: str) -> None:
    rle = STORED[name]
    with pytest.raises(EpisodeSetError, match=r"^image plot: a mask.*; prepare the set again"):
        as_truth(rle)
    with pytest.raises(TrainingSetError, match=r"^image plot: a mask.*; prepare the set again"):
        as_labels(rle)
    with pytest.raises(MaskShapeError, match=r"^the mask of episode 0 at original size is"):
        as_prediction(rle)
    if name != "size of another image":
        with pytest.raises(EpisodeSetError, match=r"^image plot: a mask"):
            ImageFacts.of(image_meta(rle))


# --- images too large -----------------------------------------------------------------------------------


def huge_png() -> bytes:
    """A PNG of a few bytes that says it has 200 million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20_000, 10_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "read",
    [
        lambda data: images.inspect(data, where="it", formats=images.FORMATS),
        lambda data: images.decode(data, where="it"),
        lambda data: decode_indices(data, where="it", meant=MaskValues.of_classes(20, ignore_label=255)),
    ],
    ids=["an image prepared", "an image streamed", "a mask"],
)
def test_an_image_larger_than_any_is_refused_before_it_takes_memory(read: Callable[[bytes], object]) -> None:
    with pytest.raises(SourceError, match=r"^it (has more than 178,956,970 pixels; make it smaller|cannot be decoded)"):
        read(huge_png())


@pytest.mark.parametrize("what", ["images", "masks"])
def test_a_benchmark_of_ones_own_with_such_an_image_is_refused_in_one_line(
    fssbench: Command, tmp_path: Path, what: str
) -> None:
    for n in range(4):
        for folder, pixels in (("images", np.zeros((8, 9, 3), np.uint8)), ("masks", np.full((8, 9), 1, np.uint8))):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{n}.png")
    (tmp_path / "benchmark.toml").write_text('name = "plots"\n[classes]\nplot = 1\n')
    (tmp_path / what / "1.png").write_bytes(huge_png())
    ran = fssbench("prepare", "folder", "-s", tmp_path, "-n", 9, "-o", tmp_path / "sets")
    assert ran.code == 2
    assert f"{what}/1.png has more than 178,956,970 pixels; make it smaller, or cut it into tiles" in ran.error
    ran = fssbench("doctor", tmp_path)
    assert ran.code == 0
    assert re.search(r"1(\.png)? has more than 178,956,970 pixels", ran.out)
