"""A folder of images and masks as a benchmark of its own, from its description to its rank."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image
from raw_voc_fss import indices, jpeg, png

from fssbench.base.errors import EpisodeSetError, SourceError, UsageError
from fssbench.episodes.benchmarks import BENCHMARKS, COCO_20I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, benchmark_below
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources.description import read_description
from fssbench.pipelines.sources.doctor.examine import examine, guess_benchmark
from fssbench.pipelines.sources.folder import FolderSource
from fssbench.schemas.manifest import Manifest

KNOWN = ", ".join(one.alias for one in BENCHMARKS)
LEAF, STEM, ROOT = 0, 1, 2
PLANTS = """
name = "plants"
title = "Plants"
folds = [["root"], ["leaf", "stem"]]
ignore_label = 255
[classes]
root = 200
leaf = 7
stem = 30
"""


@pytest.fixture
def plants(tmp_path: Path) -> Path:
    """Nine images, three for each class, in two folders; one PNG among the JPEGs."""
    folder = tmp_path / "plants"
    for n in range(9):
        value = (7, 30, 200)[n % 3]
        image_id = f"{'dry' if n % 2 else 'wet'}/plant {n}"
        jpeg(folder / f"images/{image_id}.jpg", 24, 32)
        png(folder / f"masks/{image_id}.png", indices({value: 40 + n, 255: 5}), mode="P")
    (folder / "images/wet/plant 0.jpg").unlink()
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "images/wet/plant 0.png")
    (folder / "benchmark.toml").write_text(PLANTS)
    return folder


def describe(folder: Path, text: str) -> FolderSource:
    (folder / "benchmark.toml").write_text(text)
    return FolderSource(folder)


def test_classes_are_numbered_by_ascending_mask_value(plants: Path) -> None:
    source = FolderSource(plants)
    assert source.class_names() == ("leaf", "stem", "root")
    assert source.benchmark.folds == ((ROOT,), (LEAF, STEM))
    pools = source.pools([LEAF, STEM, ROOT], min_pixels=44)
    assert pools == {LEAF: ("wet/plant 6",), STEM: ("dry/plant 7", "wet/plant 4"), ROOT: ("dry/plant 5", "wet/plant 8")}


def test_a_sample_is_the_class_the_ignored_pixels_and_the_untouched_file(plants: Path) -> None:
    sample = FolderSource(plants).read("wet/plant 0", LEAF)
    assert sample.jpeg == (plants / "images/wet/plant 0.png").read_bytes()
    assert (masks.decode(sample.mask) == (indices({7: 40, 255: 5}) == 7)).all()
    assert sample.ignore is not None
    assert masks.area(sample.ignore) == 5
    assert sample.n_classes == 1


def test_without_folds_there_is_one_of_all_classes(plants: Path) -> None:
    source = describe(plants, 'name = "p"\nbackground = [0, 255]\nclasses = {leaf = 7, stem = 30, root = 200}')
    assert source.benchmark.folds == ((0, 1, 2),)
    assert source.benchmark.title == "p"
    assert source.read("wet/plant 0", LEAF).ignore is None


def test_lists_say_which_images_are_drawn_from(plants: Path) -> None:
    (plants / "test.txt").write_text("wet/plant 0.png\nwet/plant 6\n")
    (plants / "train.txt").write_text("dry/plant 3\n")
    source = describe(plants, f'test = "test.txt"\ntrain = "train.txt"\n{PLANTS}')
    assert source.pools([LEAF], min_pixels=1) == {LEAF: ("wet/plant 0", "wet/plant 6")}
    assert [file.name for file in source.record().files] == ["benchmark.toml", "masks", "test.txt", "train.txt"]
    source = describe(plants, f'train = "train.txt"\n{PLANTS}')
    assert source.pools([LEAF], min_pixels=1) == {LEAF: ("wet/plant 0", "wet/plant 6")}
    (plants / "train.txt").write_text("wet/plant 0\n")
    with pytest.raises(SourceError, match=r"test\.txt and train\.txt both list wet/plant 0"):
        describe(plants, f'test = "test.txt"\ntrain = "train.txt"\n{PLANTS}')
    (plants / "test.txt").write_text("wet/plant 99\n")
    with pytest.raises(SourceError, match=r"1 of the 1 images in test\.txt have no mask in .*masks: wet/plant 99"):
        describe(plants, f'test = "test.txt"\n{PLANTS}')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"benchmark\.toml: name: Field required"),
        ("name = ", r"benchmark\.toml is not TOML: "),
        ('name = "My Plants"\nclasses = {a = 1}', "name: String should match pattern"),
        ('name = "coco"\nclasses = {a = 1}', "the name 'coco' is taken"),
        ('name = "p"\nclasses = {}', "classes: Dictionary should have at least 1 item"),
        ('name = "p"\nclasses = {a = 1, b = 1}', "class 'a' and class 'b' both have the mask value 1"),
        ('name = "p"\nclasses = {a = 0}', "class 'a' and background both have the mask value 0"),
        ('name = "p"\nignore_label = 3\nclasses = {a = 3}', "class 'a' and ignore_label both have the mask value 3"),
        ('name = "p"\nclasses = {a = 256}', "classes.a: Input should be less than or equal to 255"),
        ('name = "p"\nfolds = [["a"], ["c"]]\nclasses = {a = 1}', "fold 1 names 'c', which is not among the classes"),
        ('name = "p"\nfolds = [[]]\nclasses = {a = 1}', "folds.0: Tuple should have at least 1 item"),
        ('name = "p"\nclases = {a = 1}\nclasses = {a = 1}', "clases: Extra inputs are not permitted"),
    ],
)
def test_a_description_that_means_nothing_is_refused_with_its_fault(plants: Path, text: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        describe(plants, text)


def test_a_folder_without_description_images_or_masks_is_refused(plants: Path, fssbench: Command) -> None:
    shutil.rmtree(plants / "masks")
    with pytest.raises(SourceError, match=r"there is no folder .*masks; make it, or name another one"):
        FolderSource(plants)
    (plants / "masks").mkdir()
    with pytest.raises(SourceError, match=r"masks holds no file that ends in \.png"):
        FolderSource(plants)
    with pytest.raises(SourceError, match=r"has no benchmark\.toml; write a benchmark\.toml beside images"):
        read_description(plants / "images")
    assert "a benchmark of your own needs --source" in fssbench("prepare", "folder").error


def test_values_that_mean_nothing_are_refused_until_they_are_background(plants: Path) -> None:
    png(plants / "masks/wet/plant 0.png", indices({7: 40, 9: 5, 11: 1}))
    with pytest.raises(SourceError, match=r"plant 0\.png has pixels of value 9, 11, of which benchmark\.toml says not"):
        FolderSource(plants).pools([LEAF], min_pixels=1)
    source = describe(plants, f"background = [0, 9, 11]\n{PLANTS}")
    assert source.pools([LEAF], min_pixels=40)[LEAF][-2:] == ("wet/plant 0", "wet/plant 6")


def test_two_images_of_one_name_are_refused(plants: Path) -> None:
    jpeg(plants / "images/wet/plant 0.jpg", 24, 32)
    with pytest.raises(SourceError, match=r"plant 0\.jpg and .*plant 0\.png have the same name"):
        FolderSource(plants)


def test_halves_without_the_other_are_noted(plants: Path) -> None:
    (plants / "masks/wet/plant 0.png").unlink()
    (plants / "images/wet/plant 2.jpg").unlink()
    assert FolderSource(plants).notes() == (
        "images without a mask, left out: 1 (wet/plant 0)",
        "masks without an image: 1 (wet/plant 2)",
    )


@pytest.mark.parametrize(("mode", "message"), [("I;16", "has pixels of mode I;16"), ("cut", "is damaged")])
def test_pngs_that_would_lose_or_lack_something_are_refused(plants: Path, mode: str, message: str) -> None:
    path = plants / "images/wet/plant 0.png"
    if mode == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        Image.fromarray(np.full((24, 32), 4_000, np.uint16)).save(path)
    with pytest.raises(SourceError, match=message):
        FolderSource(plants).read("wet/plant 0", LEAF)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_pngs_of_any_colour_space_show_their_colours_as_rgb(plants: Path, mode: str) -> None:
    path = plants / "images/wet/plant 0.png"
    colours = np.zeros((24, 32, 3), np.uint8)
    colours[:, 16:] = 255
    image = Image.fromarray(colours).convert(mode)
    if mode == "P":
        image.info["transparency"] = b"\0\x80\xff"
    image.save(path)
    sample = FolderSource(plants).read("wet/plant 0", LEAF)
    assert (images.decode(sample.jpeg, where="it") == colours).all()


def prepare(fssbench: Command, plants: Path, output: Path, *more: object) -> None:
    ran = fssbench("prepare", "folder", "-s", plants, "-o", output, "-n", 12, *more)
    assert ran.code == 0, ran.err
    assert "Plants is a benchmark of its own" in ran.err


def test_a_folder_is_built_verified_and_streamed(fssbench: Command, plants: Path, tmp_path: Path) -> None:
    prepare(fssbench, plants, tmp_path / "sets")
    ran = fssbench("verify", tmp_path / "sets")
    assert ran.code == 0, ran.out
    assert ran.out.count("tracks drawn again and equal: 1") == 2
    found = EpisodeSet.open(tmp_path / "sets/plants/strict/fold1")
    assert found.benchmark == FolderSource(plants).benchmark
    assert found.manifest.ignore_label == 255
    frames = {f.image_id: f for s in stream(found, shot=1, seed=0, transform=as_frame) for f in (s.query, *s.supports)}
    with Image.open(plants / "images/wet/plant 0.png") as image:
        assert (frames["wet/plant 0"].image == np.asarray(image)).all()
    digest = fssbench("episodes", "folder", "-s", plants, "-n", 12, "-f", 1, "--digest").out.strip()
    assert digest == found.manifest.tracks[0].digest


def test_a_second_shot_extends_and_another_description_is_refused(
    fssbench: Command, plants: Path, tmp_path: Path
) -> None:
    prepare(fssbench, plants, tmp_path)
    assert "extended" in fssbench("prepare", "folder", "-s", plants, "-o", tmp_path, "-n", 12, "--shots", 2).out
    (plants / "benchmark.toml").write_text(PLANTS.replace('[["root"], ["leaf", "stem"]]', '[["stem"], ["leaf"]]'))
    ran = fssbench("prepare", "folder", "-s", plants, "-o", tmp_path, "-n", 12)
    assert ran.code == 2
    assert "was built with another definition" in ran.error


def test_models_are_evaluated_and_ranked_on_it(fssbench: Command, plants: Path, tmp_path: Path) -> None:
    prepare(fssbench, plants, tmp_path / "sets")
    for model in ("all-foreground", "copy-support"):
        ran = fssbench("eval", "-m", model, "-b", "plants", "-d", tmp_path / "sets", "-o", tmp_path / "results")
        assert ran.code == 0, ran.err
    board = tmp_path / "board.json"
    ran = fssbench("leaderboard", "build", tmp_path / "results", "-o", board)
    assert ran.code == 0, ran.err
    entries = json.loads(board.read_text())["entries"]
    assert {entry["rank"] for entry in entries} == {1, 2}
    assert all(entry["benchmark"] == "plants" and not entry["official"] for entry in entries)
    for path in (tmp_path / "results").rglob("fold1-1shot-seed0.json"):
        path.unlink()
    assert fssbench("leaderboard", "build", tmp_path / "results", "-o", board).code == 0
    assert {e["miou"]["reason"] for e in json.loads(board.read_text())["entries"]} == {"no result on fold 1"}


@pytest.fixture
def measured(fssbench: Command, plants: Path, tmp_path: Path) -> Path:
    """The folder of a model's results on both folds, with its masks; the sets lie in ``sets``."""
    prepare(fssbench, plants, tmp_path / "sets")
    ran = fssbench(
        *("eval", "-m", "copy-support", "-b", "plants", "-d", tmp_path / "sets"),
        *("-o", tmp_path / "results", "--save-predictions"),
    )
    assert ran.code == 0, ran.err
    (result,) = (tmp_path / "results").rglob("fold1-1shot-seed0.json")
    return result.parent


def test_its_masks_are_scored_checked_and_compared(fssbench: Command, measured: Path, tmp_path: Path) -> None:
    sets = ("-d", tmp_path / "sets")
    ran = fssbench("score", measured, "--check", "--json", *sets)
    assert ran.code == 0, ran.err
    assert [(one["sound"], one["unchecked"]) for one in json.loads(ran.out)] == [(True, [])] * 2
    path = measured / "fold1-1shot-seed0.json"
    before = path.read_bytes()
    path.unlink()
    assert "(written)" in fssbench("score", path.with_suffix(".predictions"), *sets).out
    assert json.loads(path.read_text())["policies"] == json.loads(before)["policies"]
    assert fssbench("score", measured, "--check", *sets).out.count("sound") == 2
    assert "have the same mIoU" in fssbench("compare", measured, measured).out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": [[2], [0]]}, r"its classes are \(0, 1\), the novel classes of the fold are \(0,\)"),
        ({"folds": [[2], [0, 1], [0]]}, r"episodes\.folds\.2: the result says \[0\], .* says null"),
        ({"folds": [[2]]}, "plants has no fold 1"),
        ({"folds": None}, "there is no benchmark 'plants'"),
        ({"benchmark": "coco-20i"}, "coco-20i is built in and cannot have other folds"),
    ],
)
def test_a_result_that_tells_its_benchmark_otherwise_is_found_out(
    fssbench: Command, measured: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = measured / "fold1-1shot-seed0.json"
    content = json.loads(path.read_text())
    content["episodes"] |= change
    path.write_text(json.dumps(content))
    ran = fssbench("score", path, "--check", "-d", tmp_path / "sets")
    assert ran.code == 2
    assert re.search(message, ran.out)


def test_the_protocols_of_publications_do_not_know_it(fssbench: Command, plants: Path, tmp_path: Path) -> None:
    prepare(fssbench, plants, tmp_path)
    for command in (
        ("prepare", "folder", "-s", plants),
        ("eval", "-m", "copy-support", "-b", "plants", "-d", tmp_path),
    ):
        ran = fssbench(*command, "-p", "hdmnet")
        assert ran.code == 2
        assert "the protocol hdmnet is not defined for Plants; it is for" in ran.error


def test_a_benchmark_that_no_set_defines_is_refused_with_those_there_are(
    fssbench: Command, plants: Path, tmp_path: Path
) -> None:
    prepare(fssbench, plants, tmp_path)
    ran = fssbench("eval", "-m", "all-foreground", "-b", "plant", "-d", tmp_path)
    assert ran.code == 2
    assert f"there is no benchmark 'plant'; known are {KNOWN}, and plants in {tmp_path}" in ran.error
    with pytest.raises(EpisodeSetError, match=r"there is no folder .*nowhere to look for sets of 'plants' in"):
        benchmark_below(tmp_path / "nowhere", "plants")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UsageError,
        match=f"known are {KNOWN}$",
    ):
        benchmark_below(tmp_path / "empty", "plants")
    assert benchmark_below(tmp_path, "coco") is COCO_20I


def test_folds_that_define_a_benchmark_differently_are_refused(fssbench: Command, plants: Path, tmp_path: Path) -> None:
    prepare(fssbench, plants, tmp_path, "-f", 0)
    (plants / "benchmark.toml").write_text(PLANTS.replace("Plants", "Weeds"))
    assert fssbench("prepare", "folder", "-s", plants, "-o", tmp_path, "-n", 12, "-f", 1).code == 0
    with pytest.raises(EpisodeSetError, match=r"fold0 and .*fold1 define plants differently"):
        benchmark_below(tmp_path, "plants")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"benchmark": "coco-20i"}, "coco-20i is built in and cannot be defined otherwise"),
        ({"definition": {"title": "P", "classes": ["a"], "folds": [[1]]}}, "must be ascending indices below 1"),
    ],
)
def test_a_manifest_cannot_define_what_makes_no_sense(
    fssbench: Command, plants: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    prepare(fssbench, plants, tmp_path, "-f", 0)
    path = tmp_path / "plants/strict/fold0/manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(EpisodeSetError, match=message):
        EpisodeSet.open(path.parent)


def test_manifests_from_before_definitions_are_read(toy_set: EpisodeSet) -> None:
    content = json.loads(toy_set.manifest.to_json())
    del content["definition"]
    del content["mask_policy"]["origin"]
    assert Manifest.model_validate(content) == toy_set.manifest


def test_the_doctor_knows_a_folder(fssbench: Command, plants: Path) -> None:
    (plants / "train.txt").write_text("wet/plant 0\ndry/plant 3\n")
    source = describe(plants, f'train = "train.txt"\n{PLANTS}')
    assert guess_benchmark(plants) == source.benchmark
    report = examine(source, min_pixels=1)
    assert report.counts["training images"] == 2
    same = next(f for f in report.findings if "same bytes among both" in f.what)
    assert "training dry/plant 3 = test dry/plant 5" in same.examples[0]
    assert fssbench("doctor", plants).out.startswith("Plants in ")
    assert fssbench("doctor", plants, "-b", "folder").code == 0
