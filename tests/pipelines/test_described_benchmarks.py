"""Benchmarks that data files describe: their rules, and their way from raw data in their layout to a rank."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Command
from drawn_described import draw_described, mask, photograph, square
from PIL import Image

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark, find_benchmark
from fssbench.episodes.protocols import HSNET, STRICT
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.doctor.examine import guess_benchmark

DESCRIBED = [one for one in BENCHMARKS if one.rules is not None]
ALIASES = [one.alias for one in DESCRIBED]
FOLDS = {"lvis": 10, "isaid": 3}


def test_folds_are_dealt_as_the_sources_say() -> None:
    """Every class is tested in one fold: LVIS's by turns, iSAID's in runs of five, all of the others' at once."""
    lvis = find_benchmark("lvis")
    assert [lvis.novel_classes(fold)[:2] for fold in (0, 9)] == [(0, 10), (9, 19)]
    isaid = find_benchmark("isaid")
    assert isaid.class_names is not None
    assert [isaid.class_names[fold[0]] for fold in isaid.folds] == ["ship", "ground track field", "swimming pool"]
    for one in DESCRIBED:
        assert sorted(c for fold in one.folds for c in fold) == list(range(one.n_classes))
        assert len(one.folds) == FOLDS.get(one.alias, 1)


@pytest.mark.parametrize("benchmark", DESCRIBED, ids=ALIASES)
def test_a_benchmark_says_whose_rules_it_has_and_what_is_not_verified(benchmark: Benchmark) -> None:
    assert benchmark.rules is not None
    assert "github.com/" in benchmark.rules.source
    assert benchmark.rules.unverified
    assert benchmark.rules.obtain
    for fold in benchmark.folds:  # as balanced as strict needs it
        assert STRICT.episodes_of(benchmark) % len(fold) == 0
    assert benchmark.name not in HSNET.episodes


@pytest.mark.parametrize("alias", ALIASES)
def test_from_raw_data_to_a_rank(fssbench: Command, tmp_path: Path, alias: str) -> None:
    """prepare, verify, eval and the leaderboard work as with any benchmark, and nothing of it is official."""
    raw, sets = draw_described(alias, tmp_path / "raw"), tmp_path / "sets"
    fold = 1 if alias in FOLDS else 0
    options = ["--allow-missing-classes", "--min-pixels", 1, "-n", 6, "-f", fold, "-o", sets]
    prepared = fssbench("prepare", alias, "-s", raw, *options)
    assert prepared.code == 0, prepared.err
    assert "not verified" in prepared.err
    assert find_benchmark(alias).rules is not None
    assert fssbench("verify", sets).code == 0
    answers = tmp_path / "results"
    asked = fssbench("eval", "-m", "copy-support", "-b", alias, "-f", fold, "--data", sets, "-o", answers)
    assert asked.code == 0, asked.err
    board = tmp_path / "board.json"
    assert fssbench("leaderboard", "build", answers, "-o", board, "--no-reported").code == 0
    (entry,) = json.loads(board.read_text())["entries"]
    assert entry["benchmark"] == find_benchmark(alias).name
    assert entry["official"] is False
    assert fssbench("leaderboard", "verify", board, "--results", answers).code == 0


@pytest.mark.parametrize("alias", ALIASES)
def test_the_doctor_knows_the_layout(fssbench: Command, tmp_path: Path, alias: str) -> None:
    raw = draw_described(alias, tmp_path / "raw")
    assert guess_benchmark(raw) == find_benchmark(alias)
    told = json.loads(fssbench("doctor", raw, "--json").out)
    assert told["title"] == find_benchmark(alias).title
    assert not [finding for finding in told["findings"] if "prepare would refuse" in finding["what"]]


@pytest.mark.parametrize("benchmark", DESCRIBED, ids=ALIASES)
def test_what_is_missing_is_named_with_where_to_get_it(fssbench: Command, tmp_path: Path, benchmark: Benchmark) -> None:
    assert benchmark.rules is not None
    for command in (
        ("doctor", tmp_path, "-b", benchmark.alias),
        ("prepare", benchmark.alias, "-s", tmp_path),
        ("prepare", benchmark.alias, "-s", tmp_path, "--download"),
    ):
        ran = fssbench(*command)
        assert ran.code == 2
        assert benchmark.rules.obtain in ran.error
    assert benchmark.title in fssbench("doctor", tmp_path).error
    assert benchmark.alias in fssbench("list", "benchmarks").out


def test_lvis_has_the_categories_with_two_images_as_classes(tmp_path: Path) -> None:
    """Ascending ids, whatever their order in the file; categories 3, 6, 9 and 12 have one image."""
    source = open_source(find_benchmark("lvis"), draw_described("lvis", tmp_path))
    names = source.class_names()
    assert names[:8] == tuple(f"thing_{category}" for category in (1, 2, 4, 5, 7, 8, 10, 11))
    assert (len(names), names[8]) == (920, "class 8")
    assert source.pools([2], min_pixels=1)[2] == tuple(f"{4000 + n:012d}" for n in range(4))
    assert any("8 categories have 2 or more images" in reason for reason in source.unofficial())


def test_an_image_of_lvis_lies_where_matcher_has_it_too(tmp_path: Path) -> None:
    root = draw_described("lvis", tmp_path)
    (root / "coco").mkdir()
    for part in ("val2017", "train2017"):
        shutil.move(root / part, root / "coco" / part)
    source = open_source(find_benchmark("lvis"), root)
    assert source.missing(source.pools([0], min_pixels=1)[0]) == []


def test_isaids_masks_are_class_indices_and_255_is_not_scored(tmp_path: Path) -> None:
    source = open_source(find_benchmark("isaid"), draw_described("isaid", tmp_path))
    sample = source.read("P0302_0_256_0_256v", 3)
    assert (masks.decode(sample.mask) == (square(1) == 1)).all()
    assert sample.ignore is not None
    assert masks.area(sample.ignore) == 48
    assert sample.n_classes == 1


def test_isaid_has_images_to_train_on(fssbench: Command, tmp_path: Path) -> None:
    raw = draw_described("isaid", tmp_path / "raw")
    ran = fssbench("prepare", "isaid", "-s", raw, "--train", "-o", tmp_path / "sets")
    assert ran.code == 0, ran.err
    assert "60 images" in ran.out + ran.err


def test_a_tile_that_is_tested_and_trained_on_is_refused(tmp_path: Path) -> None:
    root = draw_described("isaid", tmp_path) / "iSAID_patches"
    for kind, ending in (("images", ""), ("semantic_png", "_instance_color_RGB")):
        name = f"P0000_0_256_0_256{{}}{ending}.png"
        shutil.copy(root / f"val/{kind}" / name.format("v"), root / f"train/{kind}" / name.format("v"))
    with pytest.raises(SourceError, match=r"both to test and to train on: P0000_0_256_0_256v; an image is either"):
        open_source(find_benchmark("isaid"), tmp_path)


def test_a_tile_of_deepglobe_is_another_image_in_each_classs_folder(tmp_path: Path) -> None:
    source = open_source(find_benchmark("deepglobe"), draw_described("deepglobe", tmp_path))
    pools = source.pools(range(6), min_pixels=1)
    assert len(pools[1]) == 8
    first, second = source.read("1/0_sat_00", 0), source.read("2/0_sat_00", 1)
    assert first.jpeg == second.jpeg
    assert first.mask != second.mask
    assert first.n_classes is None


def test_a_mask_of_one_class_is_foreground_from_128_on(tmp_path: Path) -> None:
    root = draw_described("chest-xray", tmp_path)
    path = root / "Lung Segmentation/masks/CHNCXR_0000_0_mask.png"
    pixels = np.array(Image.open(path))
    pixels[0, :2] = (127, 128)
    mask(path, pixels)
    source = open_source(find_benchmark("chest-xray"), root)
    assert masks.decode(source.read("CHNCXR_0000_0", 0).mask)[0, :3].tolist() == [False, True, False]
    assert source.pools([0], min_pixels=1)[0] == tuple(f"CHNCXR_{n:04d}_0" for n in range(4))


def test_a_lesions_class_is_the_tables_wherever_it_lies(tmp_path: Path) -> None:
    """Whoever sorted images into the folders 1, 2 and 3, in whatever order: they are the same images and classes."""
    root = draw_described("isic", tmp_path)
    isic = find_benchmark("isic")
    by_table = open_source(isic, root)
    pools = by_table.pools(range(3), min_pixels=1)
    images = root / "ISIC2018_Task1-2_Training_Input"
    for class_id, ids in pools.items():
        (images / str(3 - class_id)).mkdir()
        for image_id in ids:
            shutil.move(images / f"{image_id}.jpg", images / str(3 - class_id) / f"{image_id}.jpg")
    assert open_source(isic, root).pools(range(3), min_pixels=1) == pools
    assert pools[0] == ("ISIC_0000000", "ISIC_0000100", "ISIC_0000200", "ISIC_0000300")
    (root / "class_id.csv").unlink()
    with pytest.raises(SourceError, match=r"there is no .*class_id.csv, which says what class an image shows; unpack"):
        open_source(isic, root)


def test_a_lesion_without_a_class_is_left_out_and_told(tmp_path: Path) -> None:
    root = draw_described("isic", tmp_path)
    photograph(root / "ISIC2018_Task1-2_Training_Input/ISIC_9999999.jpg", 1)
    mask(root / "ISIC2018_Task1_Training_GroundTruth/ISIC_9999999_segmentation.png", square(255))
    source = open_source(find_benchmark("isic"), root)
    assert "images whose class nothing tells, left out: 1 (ISIC_9999999)" in source.notes()
    assert any("2,594 images with masks, here are 12" in reason for reason in source.unofficial())


def test_a_table_of_other_columns_or_classes_is_refused(tmp_path: Path) -> None:
    root = draw_described("isic", tmp_path)
    (root / "class_id.csv").write_text("name,kind\nISIC_0000000,nevus\n")
    with pytest.raises(SourceError, match="is not a table with the columns ID and Class"):
        open_source(find_benchmark("isic"), root)
    (root / "class_id.csv").write_text("ID,Class\nISIC_0000000,wart\n")
    with pytest.raises(SourceError, match="names the class 'wart', expected nevus, melanoma"):
        open_source(find_benchmark("isic"), root)


@pytest.mark.parametrize("alias", ["deepglobe", "isic", "chest-xray"])
def test_a_target_domain_is_trained_on_pascal(tmp_path: Path, alias: str) -> None:
    target = find_benchmark(alias)
    assert target.training.alias == "pascal"
    with pytest.raises(SourceError, match="has no images to train on"):
        open_source(target, draw_described(alias, tmp_path), part="training")


def test_a_set_says_which_classes_it_has(tmp_path: Path, fssbench: Command) -> None:
    raw = draw_described("deepglobe", tmp_path / "raw")
    assert fssbench("prepare", "deepglobe", "-s", raw, "-n", 6, "-o", tmp_path / "sets").code == 0
    opened = EpisodeSet.open(tmp_path / "sets/deepglobe/strict/fold0")
    assert [pool.name for pool in opened.manifest.classes] == list(find_benchmark("deepglobe").class_names or ())
