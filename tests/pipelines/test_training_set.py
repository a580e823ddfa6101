"""Training sets: images untouched, masks of every class, the same bytes every time, nothing read unchecked."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from command import Command
from raw_coco import content, file_name, polygon, write_coco
from raw_voc_fss import blob, fss, indices, voc

from fssbench.base.errors import SourceError, TrainingSetError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, COCO_20I_CONTIGUOUS, FSS_1000, PASCAL_5I, TOY_20I, Benchmark
from fssbench.episodes.training import TrainingLists, TrainingPolicy, base_classes
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.sources.pascal import PascalSource
from fssbench.pipelines.training_sets.build_training_set import BuiltTraining, build_training, plan_training
from fssbench.pipelines.training_sets.check_training_set import verify_training_set
from fssbench.pipelines.training_sets.decode import decode_sample
from fssbench.pipelines.training_sets.hsnet_lists import read_hsnet_lists
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.training_set import TrainingSet, find_training_set, find_training_sets


def train_coco(folder: Path) -> Path:
    """COCO's training layout: twelve images of classes 0, 4 and 8, the first with class 1 on part of its object."""
    data = content()
    data["annotations"].append(
        {"id": 99, "image_id": 1, "category_id": 2, "iscrowd": 0, "segmentation": [polygon(5, 5, 10, 15)]}
    )
    write_coco(folder, data)
    (folder / "val2014").rename(folder / "train2014")
    annotations = folder / "annotations"
    (annotations / "instances_val2014.json").rename(annotations / "instances_train2014.json")
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return train_coco(tmp_path / "coco")


def prepare(raw: Path, output: Path, *, overwrite: bool = False, workers: int = 1, **options: object) -> BuiltTraining:
    source = CocoSource(raw, part="training", **options)  # type: ignore[arg-type]
    plan = plan_training(source, output, overwrite=overwrite)
    return build_training(plan, source, workers=workers, images_per_shard=5)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


# --- what is in it --------------------------------------------------------------------------------------


def test_images_go_in_as_they_came_with_the_masks_of_all_their_classes(raw: Path, tmp_path: Path) -> None:
    training_set = TrainingSet.open(prepare(raw, tmp_path / "sets").path)
    source = CocoSource(raw, part="training")
    assert len(training_set.entries) == 12
    for image_id, entry in training_set.entries.items():
        sample = training_set.read(image_id)
        assert sample.jpeg == (raw / "train2014" / file_name(int(image_id))).read_bytes()
        assert {c: masks.area(m) for c, m in sample.meta.masks.items()} == entry.areas
        for class_id, mask in sample.meta.masks.items():
            assert mask == source.mask(class_id, image_id)[0]
    assert training_set.entries["000000000001"].areas == {0: 300, 1: 150}


def test_the_smaller_class_lies_on_top_and_an_object_is_whole_in_its_own_target(raw: Path, tmp_path: Path) -> None:
    image = decode_sample(TrainingSet.open(prepare(raw, tmp_path / "sets").path).read("000000000001"))
    labels = image.labels({0: 7, 1: 9})
    assert [int((labels == value).sum()) for value in (7, 9, 0)] == [150, 150, labels.size - 300]
    assert int(image.target(0).sum()) == 300
    with pytest.raises(TrainingSetError, match="does not show class 2"):
        image.target(2)


def test_a_crowd_that_is_not_scored_has_no_truth(raw: Path, tmp_path: Path) -> None:
    file = raw / "annotations" / "instances_train2014.json"
    data = json.loads(file.read_text())
    crowd = np.zeros((data["images"][0]["height"], data["images"][0]["width"]), np.uint8)
    crowd[0:10, 0:30] = 1
    flat = crowd.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = [0, *np.diff([0, *changes, flat.size]).tolist()]
    data["annotations"].append(
        {
            "id": 100,
            "image_id": 1,
            "category_id": 1,
            "iscrowd": 1,
            "segmentation": {"size": list(crowd.shape), "counts": runs},
        }
    )
    file.write_text(json.dumps(data))
    training_set = TrainingSet.open(prepare(raw, tmp_path / "sets", crowds="ignore").path)
    target = decode_sample(training_set.read("000000000001")).target(0)
    covered = int((crowd[5:10, 5:25]).sum())
    assert int((target == 255).sum()) == int(crowd.sum()) - covered == training_set.entries["000000000001"].ignored
    assert int((target == 1).sum()) == 300


def test_every_shard_is_a_sample_of_all_images(toy_training: TrainingSet) -> None:
    """A stream that is shuffled in a buffer must not meet the classes one after the other."""
    entries = toy_training.entries.values()
    for number, shard in enumerate(toy_training.manifest.shards[:4]):
        shown = {c for entry in entries if entry.shard == number for c in entry.areas}
        assert len(shown) > 70, shard.name


# --- building it ----------------------------------------------------------------------------------------


def test_a_set_is_the_same_bytes_with_any_number_of_workers(raw: Path, tmp_path: Path) -> None:
    one, many = prepare(raw, tmp_path / "one"), prepare(raw, tmp_path / "many", workers=4)
    assert len(contents(one.path)) == 5
    assert contents(one.path) == contents(many.path)
    assert str(tmp_path).encode() not in contents(one.path)["training.json"]


def test_a_finished_set_is_left_alone_and_another_is_refused(raw: Path, tmp_path: Path) -> None:
    built = prepare(raw, tmp_path)
    before = {p: p.stat().st_mtime_ns for p in built.path.iterdir()}
    assert prepare(raw, tmp_path).outcome == "up to date"
    assert {p: p.stat().st_mtime_ns for p in built.path.iterdir()} == before
    with pytest.raises(TrainingSetError, match="was built with another mask policy"):
        prepare(raw, tmp_path, crowds="paint")
    assert prepare(raw, tmp_path, crowds="paint", overwrite=True).outcome == "built"


def test_an_interrupted_run_leaves_its_shards_to_the_next_and_nothing_under_the_final_name(
    raw: Path, tmp_path: Path
) -> None:
    whole = contents(prepare(raw, tmp_path / "whole").path)
    last = max(find_training_set(tmp_path / "whole", COCO_20I).entries.values(), key=lambda e: (e.shard, e.offset))
    image = raw / "train2014" / file_name(int(last.image_id))
    good = image.read_bytes()
    image.write_bytes(good[:200])
    with pytest.raises(SourceError, match="damaged"):
        prepare(raw, tmp_path / "sets")
    assert find_training_sets(tmp_path / "sets") == []
    assert list((tmp_path / "sets").rglob("images-*.tar"))
    image.write_bytes(good)
    assert contents(prepare(raw, tmp_path / "sets").path) == whole


def test_missing_images_and_a_folder_in_the_way_are_refused(raw: Path, tmp_path: Path) -> None:
    (raw / "train2014" / file_name(3)).unlink()
    with pytest.raises(SourceError, match="1 of the 12 image files needed are missing: 000000000003"):
        prepare(raw, tmp_path / "sets")
    (tmp_path / "other/coco-20i/train").mkdir(parents=True)
    (tmp_path / "other/coco-20i/train/notes.txt").write_text("mine")
    with pytest.raises(TrainingSetError, match="is in the way"):
        prepare(raw, tmp_path / "other")


# --- reading it -----------------------------------------------------------------------------------------


def damaged_copy(training_set: TrainingSet, folder: Path) -> TrainingSet:
    shutil.copytree(training_set.path, folder)
    return TrainingSet.open(folder)


def test_a_flipped_byte_is_noticed_in_the_sample_that_has_it(toy_training: TrainingSet, tmp_path: Path) -> None:
    copy = damaged_copy(toy_training, tmp_path / "copy")
    hit, other = (e for e in list(copy.entries.values())[:2])
    file = copy.path / copy.manifest.shards[hit.shard].name
    data = bytearray(file.read_bytes())
    data[hit.offset + hit.bytes // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(TrainingSetError, match=f"image {hit.image_id} is damaged"):
        copy.read(hit.image_id)
    assert copy.read(other.image_id) == toy_training.read(other.image_id)
    problems = verify_training_set(copy.path).problems
    assert any(file.name in problem and "SHA-256" in problem for problem in problems)


def test_an_index_of_another_set_is_noticed(toy_training: TrainingSet, tmp_path: Path) -> None:
    copy = damaged_copy(toy_training, tmp_path / "copy")
    (copy.path / "images.parquet").write_bytes(b"PAR1")
    with pytest.raises(TrainingSetError, match=r"images\.parquet has 4 bytes"):
        copy.read(next(iter(toy_training.entries)))


def test_what_is_not_there_is_said_with_how_to_build_it(toy_training: TrainingSet, tmp_path: Path) -> None:
    with pytest.raises(TrainingSetError, match=f"fssbench prepare toy --train --output {tmp_path}"):
        find_training_set(tmp_path, TOY_20I)
    with pytest.raises(TrainingSetError, match="not of coco-20i"):
        find_training_set(toy_training.path, COCO_20I)
    with pytest.raises(TrainingSetError, match="has no image nobody"):
        toy_training.read("nobody")


def test_verify_lists_all_that_is_wrong(toy_training: TrainingSet, tmp_path: Path) -> None:
    assert verify_training_set(toy_training.path).problems == []
    copy = damaged_copy(toy_training, tmp_path / "copy")
    shards = copy.manifest.shards
    (copy.path / shards[0].name).unlink()
    (copy.path / "notes.txt").write_text("mine")
    manifest = json.loads((copy.path / "training.json").read_text())
    manifest["classes"][3]["images"] += 1
    manifest["shards"][1]["samples"] -= 1
    (copy.path / "training.json").write_text(json.dumps(manifest))
    problems = "\n".join(verify_training_set(copy.path).problems)
    for text in (
        "notes.txt: not listed",
        f"{shards[0].name}: cannot be read",
        "the manifest says 149",
        "class 3 are not",
    ):
        assert text in problems


# --- which images ---------------------------------------------------------------------------------------


def test_coco_with_contiguous_folds_shares_the_set_but_not_the_folds(raw: Path, tmp_path: Path) -> None:
    path = prepare(raw, tmp_path).path
    training_set = find_training_set(tmp_path, COCO_20I_CONTIGUOUS)
    assert training_set.path == path
    interleaved = training_lists(training_set, 0, TrainingPolicy())
    contiguous = training_lists(training_set, 0, TrainingPolicy(), benchmark=COCO_20I_CONTIGUOUS)
    assert interleaved.images == ("000000000001",)  # classes 0, 4 and 8 are novel, class 1 is not
    assert contiguous.images == ()
    with pytest.raises(UsageError, match="which PASCAL-5i is not"):
        training_lists(training_set, 0, TrainingPolicy(), benchmark=PASCAL_5I)


def test_an_image_list_may_name_files_as_lists_of_other_code_do(toy_training: TrainingSet, tmp_path: Path) -> None:
    first, second = sorted(toy_training.entries)[:2]
    file = tmp_path / "list.txt"
    file.write_text(f"train2014/COCO_train2014_{first}.jpg annotations/{first}.png\n{second}\n")
    lists = training_lists(toy_training, 0, TrainingPolicy(), image_list=file)
    assert set(lists.images) <= {first, second}
    assert lists.images
    file.write_text("nobody.jpg\n")
    with pytest.raises(SourceError, match="names 1 of its 1 images that"):
        training_lists(toy_training, 0, TrainingPolicy(), image_list=file)


def test_hsnets_own_lists_say_which_image_serves_which_class(raw: Path, tmp_path: Path) -> None:
    training_set = TrainingSet.open(prepare(raw, tmp_path / "sets").path)
    ids = CocoSource(raw, part="training").pools([4, 8], min_pixels=1)
    lists = tmp_path / "splits/coco/trn"
    lists.mkdir(parents=True)

    def write(listed: dict[int, list[str]]) -> None:
        paths = {c: [f"train2014/COCO_train2014_{i}.jpg" for i in found] for c, found in listed.items()}
        (lists / "fold1.pkl").write_bytes(pickle.dumps(paths))

    def read() -> TrainingLists:
        return training_lists(training_set, 1, TrainingPolicy(), image_list=tmp_path / "splits")

    write({4: list(ids[4][:2]), 8: list(ids[8])})
    assert {c: found for c, found in read().pools.items() if found} == {4: ids[4][:2], 8: ids[8]}
    write({4: [ids[8][0]]})
    with pytest.raises(SourceError, match=rf"for a class that .* does not show in them: {ids[8][0]} \(class 4\)"):
        read()
    write({1: ["000000000001"]})
    with pytest.raises(SourceError, match="train class 1, which fold 1 tests"):
        read()
    (lists / "fold1.pkl").unlink()
    with pytest.raises(SourceError, match=r"there is no list .*coco/trn/fold1\.pkl"):
        read()


@pytest.mark.real
@pytest.mark.parametrize(("benchmark", "pairs"), [(PASCAL_5I, 11_394), (COCO_20I, 95_476)], ids=["pascal", "coco"])
def test_the_published_lists_are_read(real_splits: Path, benchmark: Benchmark, pairs: int) -> None:
    found = read_hsnet_lists(real_splits, benchmark, 0)
    assert len(found) == pairs
    assert {class_id for _, class_id in found} == set(base_classes(benchmark, 0))


def test_pascal_trains_on_all_that_is_not_validated(tmp_path: Path) -> None:
    ids = [f"2007_00000{n}" for n in range(4)]
    folder = voc(tmp_path, {i: indices({n + 1: 30, 255: 9}) for n, i in enumerate(ids)}, listed=ids[:1])
    source = PascalSource(folder, part="training")
    assert source.image_ids == tuple(ids[1:])
    assert source.pools(range(20), min_pixels=1)[1] == (ids[1],)
    assert source.unofficial() == ("masks are of 3 images to train on, VOC and SBD have 10,582",)
    voc(tmp_path / "val", {ids[0]: indices({1: 30})})
    with pytest.raises(SourceError, match=r"no mask of an image that val\.txt does not list"):
        PascalSource(tmp_path / "val", part="training").record()


def test_fss_trains_on_its_first_classes_and_keeps_its_next_for_validation(tmp_path: Path) -> None:
    fss(tmp_path / "fss", ["ant", "bee", "cat"])
    (tmp_path / "trn.txt").write_text("bee\nant\n")
    (tmp_path / "val.txt").write_text("cat\n")
    source = open_source(FSS_1000, tmp_path / "fss", splits=tmp_path, part="training")
    path = build_training(plan_training(source, tmp_path / "sets"), source).path
    training_set = TrainingSet.open(path)
    assert {p.id: p.name for p in training_set.manifest.classes} == {0: "ant", 1: "bee", 520: "cat"}
    assert decode_sample(training_set.read("ant/1")).target(0).sum() == (blob() >= 128).sum()
    lists = training_lists(training_set, 0, TrainingPolicy(held_out=0.2))
    assert {c for c, ids in lists.validation.items() if ids} == {520}
    assert {c for c, ids in lists.pools.items() if ids} == {0, 1}
    with pytest.raises(SourceError, match="only the lists of FSS-1000 say which classes are trained on"):
        open_source(FSS_1000, tmp_path / "fss", part="training")


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_builds_what_others_then_list_describe_and_verify(fssbench: Command, tmp_path: Path) -> None:
    raw, sets = train_coco(tmp_path / "coco"), tmp_path / "sets"
    ran = fssbench("prepare", "coco", "--train", "--source", raw, "--output", sets)
    assert ran.code == 0, ran.err
    assert "(12 images of 4 classes" in ran.out
    assert "train2014 has 82,783 images, this annotation file 12" in ran.err
    assert "12 images to train on" in fssbench("list", "sets", "--data", sets).out
    assert "sound" in fssbench("verify", sets).out
    described = fssbench("info", sets / "coco-20i" / "train").out
    assert "0: 1 images show a base class, 1 of them a novel one too" in described
    assert json.loads(fssbench("info", sets / "coco-20i/train/training.json", "--json").out)["images"] == 12


def test_fss_finds_its_lists_in_the_home(fssbench: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    fss(home / "raw" / "fss", ["ant", "cat"])
    (home / "splits/hsnet/fss").mkdir(parents=True)
    for name, listed in (("trn", "ant"), ("val", "cat")):
        (home / f"splits/hsnet/fss/{name}.txt").write_text(listed)
    ran = fssbench("prepare", "fss", "--train", "--json")
    assert json.loads(ran.out)["images"] == 20
    assert "trn.txt lists other classes than the benchmark's" in ran.err


def test_options_of_episodes_mean_nothing_to_a_training_set(fssbench: Command) -> None:
    ran = fssbench("prepare", "toy", "--train", "--fold", 1, "--shots", 5)
    assert ran.code == 2
    assert "no meaning to --fold and --shots" in ran.error


@pytest.mark.real
def test_real_images_become_a_training_set(fssbench: Command, real_data: Path, tmp_path: Path) -> None:
    raw = tmp_path / "coco"
    shutil.copytree(real_data / "coco" / "val2017", raw / "train2017")
    (raw / "annotations").mkdir()
    annotations = (real_data / "coco/annotations/instances_val2017.json").read_bytes()
    (raw / "annotations/instances_train2017.json").write_bytes(annotations)
    ran = fssbench("prepare", "coco", "--train", "--source", raw, "--output", tmp_path)
    assert ran.code == 0, ran.err
    assert "(195 images of 80 classes, 30.8 MB)" in ran.out
    training_set = find_training_set(tmp_path, COCO_20I)
    assert verify_training_set(training_set.path).problems == []
    for image_id in list(training_set.entries)[:5]:
        image = decode_sample(training_set.read(image_id))
        assert image.image.shape[:2] == image.labels({}).shape
