"""COCO's masks by every policy: crowds left out, painted or not scored; ready-made PNGs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from hypothesis import given
from raw_coco import HEIGHT, WIDTH, content, polygon, write_coco
from raw_voc_fss import Array, png
from strategies import Mask, mask_groups

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, COCO_20I_CONTIGUOUS, PASCAL_5I, TOY_20I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats.shards import read_images
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.schemas.manifest import MaskPolicy

FIRST, FOURTH = "000000000001", "000000000004"


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """Image 1: a person of columns 0–9 and a crowd of columns 5–14. Image 4: a crowd alone."""
    data = content()
    data["annotations"][0]["segmentation"] = [polygon(0, 0, 10, HEIGHT)]
    data["annotations"].append({"id": 99, "image_id": 1, "category_id": 1} | crowd(5, 10))
    data["annotations"][3] |= crowd(0, WIDTH)
    return write_coco(tmp_path / "coco", data)


def crowd(first: int, columns: int) -> dict[str, Any]:
    """A crowd over whole columns, as uncompressed run lengths."""
    runs = [first * HEIGHT, columns * HEIGHT, (WIDTH - first - columns) * HEIGHT]
    return {"iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs}}


def columns(first: int, last: int) -> Mask:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[:, first : last + 1] = True
    return mask


def test_crowds_are_left_out_unless_asked_for(crowded: Path) -> None:
    source = CocoSource(crowded)
    sample = source.read(FIRST, 0)
    assert (masks.decode(sample.mask) == columns(0, 9)).all()
    assert sample.ignore is None
    assert FOURTH not in source.pools([0], min_pixels=1)[0]
    assert (source.ignore_label, source.mask_policy) == (None, MaskPolicy())


def test_painted_crowds_are_part_of_the_mask_and_serve_alone(crowded: Path) -> None:
    source = CocoSource(crowded, crowds="paint")
    sample = source.read(FIRST, 0)
    assert (masks.decode(sample.mask) == columns(0, 14)).all()
    assert sample.ignore is None
    assert FOURTH in source.pools([0], min_pixels=WIDTH * HEIGHT)[0]
    assert source.read(FOURTH, 0).n_classes == 1
    assert source.unofficial()[-1] == "crowd regions are part of the masks, the benchmark leaves them out of the masks"


def test_ignored_crowds_are_not_scored_outside_the_mask(crowded: Path) -> None:
    source = CocoSource(crowded, crowds="ignore")
    sample = source.read(FIRST, 0)
    assert (masks.decode(sample.mask) == columns(0, 9)).all()
    assert sample.ignore is not None
    assert (masks.decode(sample.ignore) == columns(10, 14)).all()
    assert FOURTH not in source.pools([0], min_pixels=1)[0]
    assert source.ignore_label == 255
    assert "crowd regions are not scored, the benchmark leaves" in source.unofficial()[-1]


def test_a_crowd_under_its_own_instances_leaves_nothing_to_ignore(crowded: Path) -> None:
    source = CocoSource(crowded, crowds="ignore")
    source.annotations.crowds[0, FIRST][0] |= crowd(2, 3)
    assert source.read(FIRST, 0).ignore is None


@given(mask_groups(2))
def test_what_is_left_of_a_mask_is_in_it_and_never_in_the_other(pair: tuple[Mask, Mask]) -> None:
    """The difference of two masks is that of the sets of their pixels."""
    a, b = pair
    assert (masks.decode(masks.difference(masks.encode(a), masks.encode(b))) == (a & ~b)).all()


def test_the_policy_travels_with_the_set_and_another_one_is_not_mixed_in(
    fssbench: Command, toy_raw: Path, tmp_path: Path
) -> None:
    arguments = ("prepare", "toy", "--source", toy_raw, "--output", tmp_path, "-f", 0, "-n", 20)
    assert fssbench(*arguments, "--crowds", "ignore").code == 0
    found = EpisodeSet.open(tmp_path / "toy-20i/strict/fold0")
    assert found.manifest.mask_policy.crowds == "ignore"
    assert found.manifest.ignore_label == 255
    assert any("crowd regions are not scored" in reason for reason in found.manifest.unofficial)
    assert fssbench("verify", tmp_path).code == 0
    ran = fssbench(*arguments)
    assert ran.code == 2
    assert "was built with another ignore label (255, not None)" in ran.error


def test_policies_differ_in_the_masks_that_get_into_a_set(fssbench: Command, toy_raw: Path, tmp_path: Path) -> None:
    pixels = {}
    for crowds in ("exclude", "paint", "ignore"):
        output = tmp_path / crowds
        arguments = ("prepare", "toy", "-s", toy_raw, "-o", output, "-n", 100, "--min-pixels", 1, "--crowds", crowds)
        assert fssbench(*arguments).code == 0
        assert fssbench("verify", output).code == 0
        sets = [EpisodeSet.open(output / f"toy-20i/strict/fold{fold}") for fold in range(4)]
        samples = [s.meta for one in sets for shard in one.shards("images") for s in read_images(one.path, shard)]
        pixels[crowds] = {(m.class_id, m.image_id): (masks.area(m.mask), m.ignore is not None) for m in samples}
    assert not any(ignored for _, ignored in (pixels["exclude"] | pixels["paint"]).values())
    assert any(ignored for _, ignored in pixels["ignore"].values())
    assert pixels["paint"].keys() - pixels["exclude"].keys()  # images with nothing but a crowd


# --- ready-made masks -----------------------------------------------------------------------------------


def ready(folder: Path, values: dict[int, Array], *, name: str = "COCO_val2014_{:012d}.png") -> Path:
    for image_id, indices in values.items():
        png(folder / name.format(image_id), indices)
    return folder


def half(value: int, other: int = 0) -> Array:
    """The upper half of one value, the lower of another."""
    indices: Array = np.full((HEIGHT, WIDTH), other, np.uint8)
    indices[: HEIGHT // 2] = value
    return indices


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("val2014", "COCO_val2014_{:012d}.png"),
        ("annotations/val2014", "COCO_val2014_{:012d}.png"),
        (".", "{:012d}.png"),
        ("masks/val2017", "{:012d}.png"),
    ],
)
def test_ready_made_masks_are_found_where_people_have_them(tmp_path: Path, place: str, name: str) -> None:
    raw = write_coco(tmp_path / "coco")
    ready(tmp_path / "masks" / place, {1: half(1, 255), 4: half(9)}, name=name)
    source = CocoSource(raw, masks=tmp_path / "masks")
    assert source.pools([0, 8], min_pixels=600) == {0: (FIRST,), 8: (FOURTH,)}
    sample = source.read(FIRST, 0)
    assert (masks.decode(sample.mask) == (half(1) == 1)).all()
    assert sample.ignore is not None
    assert (masks.decode(sample.ignore) == (half(0, 1) == 1)).all()
    assert sample.n_classes == 1
    assert source.read(FOURTH, 8).ignore is None


def test_the_splits_own_folder_of_masks_wins(tmp_path: Path) -> None:
    raw = write_coco(tmp_path / "coco")
    ready(tmp_path / "masks/another", {1: half(9)})
    ready(tmp_path / "masks/val2014", {1: half(1)})
    assert CocoSource(raw, masks=tmp_path / "masks").pools([0, 8], min_pixels=1) == {0: (FIRST,), 8: ()}


def test_ready_made_masks_are_recorded_and_never_official(tmp_path: Path) -> None:
    raw = write_coco(tmp_path / "coco")
    folder = ready(tmp_path / "masks", {n: half(1) for n in range(1, 12)})
    source = CocoSource(raw, masks=folder)
    assert source.mask_policy.origin == "ready-made"
    assert source.mask_policy.crowds == "as drawn"
    first, left_out = source.unofficial()[-2:]
    assert first == "masks are ready-made, the benchmark's are drawn from the annotations"
    assert left_out == "annotated images without a ready-made mask, left out: 1 (000000000012)"
    before = source.record()
    assert [file.name for file in before.files] == ["instances_val2014.json", "ready-made masks"]
    png(folder / "COCO_val2014_000000000002.png", half(2))
    assert CocoSource(raw, masks=folder).record().files[1] != before.files[1]


def test_category_ids_instead_of_class_indices_are_refused(tmp_path: Path) -> None:
    folder = ready(tmp_path / "masks", {1: half(90)})
    with pytest.raises(
        SourceError, match=r"0001\.png has pixels of value 90, expected 0 to 80 and 255; use masks of c"
    ):
        CocoSource(write_coco(tmp_path / "coco"), masks=folder).pools([0], min_pixels=1)


def test_a_folder_without_masks_of_these_images_is_refused(tmp_path: Path) -> None:
    raw = write_coco(tmp_path / "coco")
    with pytest.raises(SourceError, match=r"there is no folder .*nowhere"):
        CocoSource(raw, masks=tmp_path / "nowhere")
    folder = ready(tmp_path / "masks", {581_929: half(1)})
    with pytest.raises(SourceError, match=r"holds no mask of an image of val2014 \(it has 1 of other images\)"):
        CocoSource(raw, masks=folder).pools([0], min_pixels=1)


def test_a_ready_made_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = ready(tmp_path / "masks", {1: half(1)[:, :-2]})
    with pytest.raises(SourceError, match=r"000000000001\.jpg is 40×30 pixels, its annotation says 38×30"):
        CocoSource(write_coco(tmp_path / "coco"), masks=folder).read(FIRST, 0)


def test_sets_of_ready_made_masks_are_built_and_sound(fssbench: Command, toy_raw: Path, tmp_path: Path) -> None:
    """Masks drawn from the annotations and stored as PNGs where no classes overlap give the same episodes."""
    source = CocoSource(toy_raw, benchmark=TOY_20I)
    indices: dict[str, Array] = {}
    for class_id, ids in source.pools(range(80), min_pixels=1).items():
        for image_id in ids:
            mask = masks.decode(source.read(image_id, class_id).mask)
            indices.setdefault(image_id, np.zeros(mask.shape, np.uint8))[mask] = class_id + 1
    for image_id, values in indices.items():
        png(tmp_path / f"masks/{image_id}.png", values)
    arguments = ("episodes", "toy", "-s", toy_raw, "-n", 60, "--digest")
    digest = fssbench(*arguments).out
    assert fssbench(*arguments, "--masks", tmp_path / "masks").out == digest
    asked = ("prepare", "toy", "-s", toy_raw, "-o", tmp_path / "sets", "-f", 0, "-n", 60)
    ran = fssbench(*asked, "--masks", tmp_path / "masks")
    assert ran.code == 0
    assert "masks are ready-made" in ran.err
    assert fssbench("verify", tmp_path / "sets").code == 0


def test_mask_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="leave out --crowds, --masks and --mask-rule, which are for COCO"):
        open_source(PASCAL_5I, tmp_path, crowds="paint")
    with pytest.raises(UsageError, match="pass either --masks or --crowds"):
        open_source(COCO_20I, tmp_path, crowds="paint", masks=tmp_path)


def test_contiguous_folds_take_the_options_of_coco(crowded: Path) -> None:
    source = open_source(COCO_20I_CONTIGUOUS, crowded, crowds="paint")
    assert source.mask_policy.crowds == "paint"
    assert source.unofficial() == CocoSource(crowded, crowds="paint").unofficial()
