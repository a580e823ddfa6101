"""Label maps, the masks of COCO by the published protocols: what is painted, in which order, and who has them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_coco import CATEGORY_IDS, HEIGHT, WIDTH, content, polygon, write_coco

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I
from fssbench.episodes.protocols import HDMNET, HSNET
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats.shards import read_images
from fssbench.pipelines.sources import label_maps, open_source
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.sources.coco_annotations import Annotations
from fssbench.pipelines.sources.label_maps import LabelMaps
from fssbench.schemas.manifest import MaskPolicy

IMAGE = "000000000001"
Row = tuple[int, int, Any]
"""An annotation's id, its class index, and its segmentation."""


def painted(folder: Path, rows: list[Row], *, crowds: tuple[int, ...] = ()) -> npt.NDArray[np.uint8]:
    """The label map of an image with these annotations."""
    data = content()
    data["annotations"] = [
        {"id": n, "image_id": 1, "category_id": CATEGORY_IDS[c], "iscrowd": int(n in crowds), "segmentation": shape}
        for n, c, shape in rows
    ]
    path = folder / "instances_val2014.json"
    path.write_text(json.dumps(data))
    return LabelMaps(Annotations(path, n_classes=80)).paint(IMAGE)


def box(first: int, last: int, value: int, *, into: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
    """Whole columns of one value."""
    labels = np.zeros((HEIGHT, WIDTH), np.uint8) if into is None else into.copy()
    labels[:, first : last + 1] = value
    return labels


def columns(first: float, last: float) -> list[float]:
    """A polygon whose corners lie in the first and the last of some columns, from the top row to the bottom one."""
    return polygon(first, 0, last - first, HEIGHT - 1)


def test_a_higher_id_is_painted_over_a_lower_one_whatever_the_files_order(tmp_path: Path) -> None:
    rows = [(9, 0, [columns(5, 9)]), (3, 4, [columns(0, 20)])]
    expected = box(5, 9, 1, into=box(0, 20, 5))
    assert (painted(tmp_path, rows) == expected).all()
    assert (painted(tmp_path, rows[::-1]) == expected).all()


def test_every_polygon_is_filled_on_its_own(tmp_path: Path) -> None:
    """Filled together, a polygon within another would leave a hole."""
    assert (painted(tmp_path, [(1, 0, [columns(0, 20), columns(5, 9)])]) == box(0, 20, 1)).all()


def test_coordinates_are_truncated_and_outlines_belong_to_the_mask(tmp_path: Path) -> None:
    assert (painted(tmp_path, [(1, 0, [columns(5.99, 9.99)])]) == box(5, 9, 1)).all()


def test_crowds_are_left_out_and_whole_run_lengths_are_not(tmp_path: Path) -> None:
    runs = {"size": [HEIGHT, WIDTH], "counts": [5 * HEIGHT, 3 * HEIGHT, (WIDTH - 8) * HEIGHT]}
    rows = [(1, 0, [columns(0, 3)]), (2, 4, runs)]
    assert (painted(tmp_path, rows, crowds=(2,)) == box(0, 3, 1)).all()
    assert (painted(tmp_path, rows) == box(5, 7, 5, into=box(0, 3, 1))).all()


def test_a_corner_beyond_what_opencv_can_place_is_refused(tmp_path: Path) -> None:
    data = content()
    data["images"][0] |= {"width": 40_000, "height": 1}
    data["annotations"][0]["segmentation"] = [[0, 0, 39_999, 0, 0, 1]]
    (tmp_path / "instances_val2014.json").write_text(json.dumps(data))
    with pytest.raises(SourceError, match="a polygon of image 000000000001 reaches beyond 32,768 pixels"):
        LabelMaps(Annotations(tmp_path / "instances_val2014.json", n_classes=80)).paint(IMAGE)


def test_an_opencv_that_fills_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_maps, "PROBE_PIXELS", 62)
    label_maps._opencv.cache_clear()
    with pytest.raises(SourceError, match="fills 57 pixels of a polygon of which"):
        painted(tmp_path, [(1, 0, [columns(0, 3)])])


corner = st.floats(0, WIDTH - 1)
shapes = st.lists(st.lists(st.tuples(corner, corner), min_size=3, max_size=6), min_size=1, max_size=3)


@settings(max_examples=50)
@given(rows=st.lists(st.tuples(st.sampled_from((0, 4, 8)), shapes), min_size=1, max_size=5))
def test_no_pixel_is_of_two_classes_and_every_class_shown_was_annotated(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, list[list[tuple[float, float]]]]]
) -> None:
    """The masks of an image's classes are disjoint, and their areas are those that pools are made of."""
    folder = tmp_path_factory.mktemp("coco")
    data = content()
    data["annotations"] = [
        {
            "id": n,
            "image_id": 1,
            "category_id": CATEGORY_IDS[c],
            "segmentation": [[x for p in s for x in p] for s in ss],
        }
        for n, (c, ss) in enumerate(rows, 1)
    ]
    (folder / "instances_val2014.json").write_text(json.dumps(data))
    source = CocoSource(folder, mask_rule="label-map")
    areas = {c: area for c, _, area in source.masks.areas({0, 4, 8}, advance=lambda _: None)}
    read = {c: masks.decode(source.mask(c, IMAGE)[0]) for c in (0, 4, 8)}
    assert {c: int(mask.sum()) for c, mask in read.items() if mask.any()} == areas
    assert np.sum(list(read.values()), axis=0).max() == 1
    assert areas.keys() <= {c for c, _ in rows}
    assert source.masks.n_classes(IMAGE) == len(areas)


# --- protocols ------------------------------------------------------------------------------------------


@pytest.fixture
def covered(tmp_path: Path) -> Path:
    """Every class of fold 0 in four images; in image 1 the second class lies over the whole of the first."""
    data = content(COCO_20I.novel_classes(0))
    data["annotations"].append(data["annotations"][0] | {"id": 999, "category_id": CATEGORY_IDS[4]})
    return write_coco(tmp_path / "coco", data)


ASKED = ("-f", 0, "-n", 40, "--min-pixels", 1, "--seeds")


@pytest.mark.parametrize(("protocol", "seed"), [("hsnet", 0), ("hdmnet", 510)])
def test_published_protocols_have_label_maps_and_strict_the_union(
    fssbench: Command, covered: Path, tmp_path: Path, protocol: str, seed: int
) -> None:
    arguments = ("prepare", "coco", "-s", covered, *ASKED, seed, "-o", tmp_path / "sets", "--splits", "derive")
    for name in ("strict", protocol):
        ran = fssbench(*arguments, "-p", name)
        assert ran.code == 0, ran.err
        assert "masks are" not in ran.err
    strict, published = (EpisodeSet.open(tmp_path / f"sets/coco-20i/{name}/fold0") for name in ("strict", protocol))
    assert strict.manifest.mask_policy == MaskPolicy()
    assert published.manifest.mask_policy == MaskPolicy(instances="painted over", polygons="truncated")
    assert published.manifest.protocol.label == f"{protocol}/2"
    assert [s.manifest.classes[0].images for s in (strict, published)] == [4, 3]
    assert [s.manifest.classes[1].images for s in (strict, published)] == [5, 5]
    sizes = {
        one.manifest.protocol.name: {
            masks.area(sample.meta.mask) for shard in one.shards("images") for sample in read_images(one.place, shard)
        }
        for one in (strict, published)
    }
    assert sizes == {"strict": {20 * 15}, protocol: {21 * 16}}  # fillPoly paints the outline too
    assert fssbench("verify", tmp_path / "sets").code == 0
    assert "label maps, crowds: exclude" in fssbench("info", published.place).out


def test_another_rule_than_the_protocols_is_not_official(fssbench: Command, covered: Path, tmp_path: Path) -> None:
    arguments = ("episodes", "coco", "-s", covered, "-f", 0, "-n", 40, "--min-pixels", 1, "--splits", "derive")
    ran = fssbench(*arguments, "-p", "hdmnet", "--mask-rule", "union")
    assert "masks are unions of instances, the protocol's are label maps" in ran.err
    assert ran.out != fssbench(*arguments, "-p", "hdmnet").out
    ran = fssbench(*arguments, "--mask-rule", "label-map")
    assert "masks are label maps, the protocol's are unions of instances" in ran.err
    assert "masks are" not in fssbench(*arguments, "--mask-rule", "union").err


def test_what_label_maps_cannot_have_is_refused(fssbench: Command, covered: Path, tmp_path: Path) -> None:
    arguments = ("episodes", "coco", "-s", covered, "-p", "hdmnet", "--splits", "derive")
    ran = fssbench(*arguments, "--crowds", "paint")
    assert (ran.code, "label maps leave crowds out, so --crowds paint cannot be had with them" in ran.error) == (
        2,
        True,
    )
    assert "crowd regions are part" in fssbench(
        *arguments, "--crowds", "paint", "--mask-rule", "union", "--min-pixels", 1, "-n", 40
    ).err  # fmt: skip
    assert "pass either --masks or --mask-rule" in fssbench(
        *arguments, "--masks", tmp_path, "--mask-rule", "label-map"
    ).error  # fmt: skip
    with pytest.raises(UsageError, match="PASCAL-5i comes with masks, not with annotations"):
        open_source(PASCAL_5I, tmp_path, mask_rule="label-map")


def test_the_doctor_compares_ready_made_masks_with_either_rule(
    fssbench: Command, covered: Path, tmp_path: Path
) -> None:
    from PIL import Image

    source = CocoSource(covered, mask_rule="label-map")
    assert isinstance(source.masks, LabelMaps)
    for image_id in source.shown():
        path = tmp_path / f"png/{image_id}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(source.masks.paint(image_id)).save(path)
    arguments = ("doctor", covered, "-b", "coco", "--masks", tmp_path / "png", "--no-images")
    assert "80 images compared, 80 equal in every pixel" in fssbench(*arguments, "--mask-rule", "label-map").out
    assert "80 images compared, 0 equal in every pixel" in fssbench(*arguments).out


@pytest.mark.parametrize(
    ("protocol", "seed"), [(HSNET, 0), (HDMNET, 510)], ids=lambda value: getattr(value, "name", "")
)
def test_sets_of_version_1_stay_what_they_are(
    fssbench: Command, covered: Path, tmp_path: Path, protocol: Any, seed: int
) -> None:
    """Verified, evaluated and ranked under their own version, never extended with other masks."""
    first = replace(protocol, version=1, masks={})
    source = CocoSource(covered)
    request = Request(benchmark=COCO_20I, protocol=first, folds=(0,), seeds=(seed,), episodes=40, min_pixels=1)
    (plan,) = plan_folds(source, request, tmp_path / "sets")
    assert build(plan, source).manifest.protocol.version == 1
    assert fssbench("verify", tmp_path / "sets").code == 0
    asked = ("-p", protocol.name, "-f", 0)
    ran = fssbench("eval", "-m", "all-foreground", "-b", "coco", *asked, "--seed", seed, "-d", tmp_path / "sets",
                   "-o", tmp_path / "results")  # fmt: skip
    assert ran.code == 0, ran.err
    ran = fssbench("leaderboard", "build", tmp_path / "results", "-o", tmp_path / "board.json")
    assert f"coco-20i · {protocol.name}/1 · 1-shot" in " ".join(ran.out.split())
    assert fssbench("leaderboard", "verify", tmp_path / "board.json").code == 0
    ran = fssbench("prepare", "coco", "-s", covered, *asked, *ASKED[2:], seed, "-o", tmp_path / "sets", "--shots", 2,
                   "--splits", "derive")  # fmt: skip
    assert (ran.code, "was built with another protocol" in ran.error) == (2, True)
