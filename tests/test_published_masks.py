"""Real COCO, real lists: which masks the publications must have had, and the lists that follow from them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image

from fssbench.base.files import sha256_file
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I
from fssbench.episodes.lists import FoldLists
from fssbench.episodes.training import TrainingPolicy, derive_training
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.sources.hdmnet_splits import HdmnetSplits, list_files
from fssbench.pipelines.sources.hsnet_splits import HsnetSplits
from fssbench.pipelines.sources.label_maps import LabelMaps
from fssbench.pipelines.sources.mask_png import MaskValues, read_indices
from fssbench.pipelines.sources.published_files import published_digests, record
from fssbench.pipelines.training_sets.epoch import EpochPlan
from fssbench.pipelines.training_sets.hsnet_lists import read_hsnet_lists
from fssbench.pipelines.training_sets.published import published, published_as

pytestmark = pytest.mark.real

ANNOTATIONS = "d7beb9471e44ad0f97d9a4661e8f97d25dc68cc957e7e44be188e7f00ff922c0"
FOLDS = range(4)
LEAST = 2_048
Shown = Mapping[str, set[int]]
"""The classes that an image serves, by image id."""


@pytest.fixture(scope="module")
def large(real_data: Path) -> Path:
    """The sample whose answers are known; what is said of it is true of no other selection of images."""
    folder = real_data / "coco-large"
    if (found := sha256_file(folder / "annotations" / "instances_val2017.json")) != ANNOTATIONS:
        pytest.skip(
            f"coco-large's annotations are not those whose answers are known: {found[:12]}, not {ANNOTATIONS[:12]}"
        )
    return folder


@pytest.fixture(scope="module")
def parts(large: Path) -> dict[str, dict[str, Path]]:
    """Label maps by part of COCO 2014 and image id."""
    return {
        part: {path.stem[-12:]: path for path in (large / "masks-as-published" / part).iterdir()}
        for part in ("val2014", "train2014")
    }


@pytest.fixture(scope="module")
def label_maps(large: Path) -> CocoSource:
    return CocoSource(large, mask_rule="label-map")


@pytest.fixture(scope="module")
def unions(large: Path) -> CocoSource:
    return CocoSource(large)


def serving(source: CocoSource, least: int = LEAST) -> Callable[[str], set[int]]:
    pools = {c: set(ids) for c, ids in source.pools(range(80), min_pixels=least).items()}
    return lambda image: {c for c, ids in pools.items() if image in ids}


def test_label_maps_are_the_known_ones_in_every_pixel(
    label_maps: CocoSource, parts: dict[str, dict[str, Path]]
) -> None:
    assert isinstance(label_maps.masks, LabelMaps)
    known = parts["val2014"] | parts["train2014"]
    meant = MaskValues.of_classes(80, ignore_label=255)
    equal = [np.array_equal(label_maps.masks.paint(i), read_indices(path, meant)[0]) for i, path in known.items()]
    assert (sum(equal), len(equal)) == (421, 421)


def test_label_maps_tell_which_image_serves_which_class_and_unions_do_not(
    label_maps: CocoSource, unions: CocoSource, parts: dict[str, dict[str, Path]], real_splits: Path
) -> None:
    val, train = parts["val2014"], parts["train2014"]
    tested: dict[str, set[int]] = {image: set() for image in val}
    for fold in FOLDS:
        for c, ids in HsnetSplits(real_splits, COCO_20I).lists(fold).pools.items():
            for image in tested.keys() & set(ids):
                tested[image].add(c)
    trained = {fold: read_hsnet_lists(real_splits, COCO_20I, fold) for fold in FOLDS}
    counts = {}
    for name, source in (("label maps", label_maps), ("unions", unions)):
        serves = serving(source)
        as_tested = [serves(image) == tested[image] for image in val]
        as_trained = [
            all(
                {c for c in serves(i) if c % 4 != fold} == {c for c in range(80) if (i, c) in trained[fold]}
                for fold in FOLDS
            )
            for i in train
        ]
        counts[name] = (sum(as_tested), len(as_tested), sum(as_trained), len(as_trained))
    assert counts == {"label maps": (299, 299, 122, 122), "unions": (272, 299, 110, 122)}


def test_hdmnets_lists_agree_and_leave_out_training_images_with_any_pixel_of_a_novel_class(
    label_maps: CocoSource, parts: dict[str, dict[str, Path]], real_splits: Path
) -> None:
    folder, serves, shows = real_splits.parent / "hdmnet", serving(label_maps), serving(label_maps, least=1)
    for fold in (0, 1):
        novel = set(COCO_20I.novel_classes(fold))
        tested = HdmnetSplits(folder, COCO_20I).lists(fold)
        trained = HdmnetSplits(folder, COCO_20I, part="training").lists(fold)
        for image in parts["val2014"]:
            assert {c for c, ids in tested.pools.items() if image in ids} == serves(image) & novel
        for image in parts["train2014"]:
            expected = set() if shows(image) & novel else serves(image)
            assert {c for c, ids in trained.pools.items() if image in ids} == expected


def test_the_two_rules_differ_by_what_the_documentation_says(label_maps: CocoSource, unions: CocoSource) -> None:
    ious = []
    for image, classes in unions.shown().items():
        for c in classes:
            pair = [source.mask(c, image)[0] for source in (unions, label_maps)]
            if max(masks.area(mask) for mask in pair) >= LEAST:
                ious.append(masks.area(masks.intersection(pair)) / masks.area(masks.union(pair)))
    found = np.array(ious)
    assert (len(found), round(float(found.mean()), 3)) == (1_098, 0.895)
    assert ((found < 0.9).sum(), (found == 0).sum()) == (193, 24)
    bowl = COCO_20I.class_names.index("bowl")  # type: ignore[union-attr]
    assert masks.area(unions.mask(bowl, "000000099053")[0]) == 206_373
    assert bowl not in label_maps.shown()["000000099053"]


def test_cocos_lists_follow_from_annotations_and_the_order(
    fssbench: Command, real_splits: Path, tmp_path: Path
) -> None:
    """From lists, and from drawn annotations of the images they name, in the order of the published file."""
    folder = real_splits.parent / "hdmnet"
    order = (folder / "coco/val.txt").read_text()
    (tmp_path / "order/coco").mkdir(parents=True)
    (tmp_path / "order/coco/val.txt").write_text(order)
    for fold, digest in ((0, "e4a38caa5d06c1ff"), (1, "62e268ae55fc383c")):
        asked = ("episodes", "coco", "-p", "hdmnet", "-f", fold, "--digest")
        listed = fssbench(*asked, "--splits", folder)
        assert listed.out.startswith(digest)
        raw = annotated(HdmnetSplits(folder, COCO_20I).lists(fold), tmp_path / f"raw{fold}")
        seen = fssbench(*asked, "--splits", folder, "-s", raw)
        derived = fssbench(*asked, "--splits", "derive:" + str(tmp_path / "order"), "-s", raw)
        assert listed.out == seen.out == derived.out
        for ran in (seen, derived):
            assert ran.err == (
                "note: results on this would not be official: val2014 has 40,504 images, this annotation file "
                f"{26_052 if fold == 0 else 15_305:,}\n"
            )


def annotated(lists: FoldLists, folder: Path) -> Path:
    """COCO's annotations of the images in some lists, a strip of 2,048 pixels for each class they serve."""
    category = [i for i in range(1, 91) if i not in {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}]
    strips = [(image, n, c) for image, classes in lists.queries for n, c in enumerate(classes)]
    data = {
        "images": [{"id": int(image), "width": 512, "height": 80} for image, _ in lists.queries],
        "categories": [{"id": i, "name": name} for i, name in zip(category, COCO_20I.class_names or (), strict=True)],
        "annotations": [
            {"id": number, "image_id": int(image), "category_id": category[c], "iscrowd": 0,
             "segmentation": [[0, 4 * n, 511, 4 * n, 511, 4 * n + 3, 0, 4 * n + 3]]}
            for number, (image, n, c) in enumerate(strips, 1)
        ],
    }  # fmt: skip
    (folder / "annotations").mkdir(parents=True)
    (folder / "annotations/instances_val2014.json").write_text(json.dumps(data))
    return folder


@pytest.fixture(scope="module")
def pascal_areas(real_data: Path) -> dict[str, dict[int, int]]:
    """What the published masks of PASCAL show, in pixels."""
    areas = {}
    with tarfile.open(real_data / "pascal/SegmentationClassAug.tar") as tar:
        for member in tar:
            if member.name.endswith(".png"):
                extracted = tar.extractfile(member)
                assert extracted is not None
                histogram = np.bincount(np.array(Image.open(io.BytesIO(extracted.read()))).ravel(), minlength=256)
                areas[Path(member.name).stem] = files.areas(histogram, n_classes=20)
    return areas


def voc_and_sbd(splits: Path) -> list[str]:
    lines = (splits.parent / "hdmnet/pascal/voc_sbd_merge_noduplicate.txt").read_text().splitlines()
    return [files.image_name(line).rpartition("/")[2] for line in lines]


def test_pascals_training_lists_follow_from_its_masks_to_the_byte(
    real_data: Path, real_splits: Path, pascal_areas: dict[str, dict[int, int]]
) -> None:
    """An image is left out if it shows a novel class; the others in the order of the list of VOC's and SBD's images."""
    order = voc_and_sbd(real_splits)
    assert order == (real_data / "pascal/lists/voc_sbd_merge_noduplicate.txt").read_text().split()
    policy = TrainingPolicy(drop_novel=True, min_pixels=LEAST)
    numbers = []
    for fold in FOLDS:
        trained = derive_training(pascal_areas, benchmark=PASCAL_5I, fold=fold, policy=policy, images=order)
        lists = FoldLists(pools=trained.pools, queries=tuple(trained.shown.items())).in_order(order)
        for name, data in list_files(lists, PASCAL_5I, fold, part="training").items():
            assert record(name, data).sha256 == published_digests("hdmnet")[name]
        numbers.append(len(lists.queries))
    assert numbers == [4_208, 3_726, 2_752, 4_510]


def test_a_training_query_is_asked_about_whatever_base_class_it_shows(
    real_splits: Path, pascal_areas: dict[str, dict[int, int]]
) -> None:
    """As HDMNet's code has it. Of fold 0's images, 351 show a class that they are too small a support of."""
    policy = TrainingPolicy(drop_novel=True, min_pixels=LEAST, query_pixels=1)
    lists = derive_training(
        pascal_areas, benchmark=PASCAL_5I, fold=0, policy=policy, images=frozenset(voc_and_sbd(real_splits))
    )
    assert len(lists.images) == 4_208
    assert published_as(lists) == published("hdmnet", PASCAL_5I, 0)
    assert sum(lists.shown[image] != lists.served[image] for image in lists.images) == 351
    assert all(lists.shown[image] == tuple(sorted(pascal_areas[image])) for image in lists.images)


def test_hsnets_epoch_on_pascal_is_its_list_of_pairs(
    real_splits: Path, pascal_areas: dict[str, dict[int, int]]
) -> None:
    """11,394 pairs of fold 0 at a batch of 20 are 570 steps, the last of them of 14 episodes."""
    pairs = read_hsnet_lists(real_splits, PASCAL_5I, 0)
    policy = TrainingPolicy(queries="pair-uniform")
    lists = derive_training(pascal_areas, benchmark=PASCAL_5I, fold=0, policy=policy, pairs=pairs)
    assert (len(lists.images), lists.epoch) == (8_450, 11_394)
    plan = EpochPlan(batch=20, drop_last=False)
    assert (plan.length(lists), plan.n_batches(lists)) == (11_394, 570)


def test_pascals_episodes_of_lists_are_those_of_masks(
    fssbench: Command, voc_validation: Path, real_splits: Path
) -> None:
    expected = ("ab15b8cae952931d", "c7611203171b9b80", "d0ac82bd8a972ce0")
    for fold, digest in enumerate(expected):
        asked = ("episodes", "pascal", "-p", "hdmnet", "-f", fold, "-s", voc_validation)
        listed, derived = (fssbench(*asked, "--splits", s) for s in (real_splits.parent / "hdmnet", "derive"))
        assert (listed.out, listed.err) == (derived.out, "")
        assert fssbench(*asked, "--digest").out.startswith(digest)
