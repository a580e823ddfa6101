"""Trained on COCO-20i, tested on PASCAL: classes, data, checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command
from raw_voc_fss import indices, voc

from fssbench.episodes.benchmarks import (
    COCO_20I,
    COCO_20I_TO_PASCAL,
    COCO_CLASSES,
    PASCAL_5I,
    VOC_CLASSES,
    VOC_IN_COCO,
    Benchmark,
)

FOLDS = (
    "aeroplane boat chair diningtable dog person",
    "bicycle bus horse sofa",
    "bird car pottedplant sheep train tvmonitor",
    "bottle cat cow motorbike",
)


def test_the_folds_are_the_published_ones() -> None:
    assert [tuple(VOC_CLASSES[c] for c in fold) for fold in COCO_20I_TO_PASCAL.folds] == [
        tuple(names.split()) for names in FOLDS
    ]


def test_no_class_that_is_tested_was_trained_on() -> None:
    """By the name COCO gives it, a class tested in a fold is none of that fold's base classes on COCO."""
    assert COCO_20I_TO_PASCAL.training is COCO_20I
    for fold, tested in enumerate(COCO_20I_TO_PASCAL.folds):
        base = {COCO_CLASSES[c] for c in range(80) if c not in COCO_20I.novel_classes(fold)}
        assert not {VOC_IN_COCO.get(VOC_CLASSES[c], VOC_CLASSES[c]) for c in tested} & base
    assert sorted(c for fold in COCO_20I_TO_PASCAL.folds for c in fold) == list(range(20))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose VOC shows two images of each class of fold 1."""
    content = {
        f"2008_0{class_id:02d}00{n}": indices({class_id + 1: 30 + n, 255: 6})
        for class_id in COCO_20I_TO_PASCAL.novel_classes(1)
        for n in range(2)
    }
    voc(tmp_path / "home/raw/pascal", content)
    return tmp_path / "home"


@pytest.mark.parametrize("protocol", ["strict", "hsnet"])
def test_pascals_data_serves_it_by_either_protocol(fssbench: Command, home: Path, protocol: str) -> None:
    prepared = fssbench("prepare", "coco-to-pascal", "-p", protocol, "-f", 1, "-n", 8, "--min-pixels", 1)
    assert prepared.code == 0, prepared.err
    ran = fssbench("eval", "-m", "all-foreground", "-b", "coco-to-pascal", "-p", protocol, "-f", 1, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)[0]["result"]
    assert [c["name"] for c in result["policies"][0]["per_class"]] == FOLDS[1].split()
    assert (result["episodes"]["benchmark"], result["episodes"]["n_episodes"]) == ("coco-20i-to-pascal", 8)


def test_checkpoints_are_those_of_the_same_fold_of_coco(fssbench: Command, home: Path) -> None:
    fssbench("prepare", "coco-to-pascal", "-f", 1, "-n", 8, "--min-pixels", 1)
    ran = fssbench("eval", "-m", "hsnet", "-b", "coco-to-pascal", "-f", 1)
    assert f"{home}/checkpoints/coco-20i/hsnet-resnet50-fold1" in ran.error


def test_weights_are_refused_that_saw_a_tested_class_under_whatever_name() -> None:
    """Class ids mean nothing across benchmarks: sofa is COCO's couch."""

    def base(benchmark: Benchmark, fold: int) -> set[int]:
        return set(range(benchmark.n_classes)) - set(benchmark.novel_classes(fold))

    shift = COCO_20I_TO_PASCAL
    for fold in range(4):
        assert shift.tested_among(fold, base(COCO_20I, fold), of="coco-20i") == ()
        assert shift.tested_among(fold, base(COCO_20I, (fold + 1) % 4), of="coco-20i") == shift.novel_classes(fold)
    assert [VOC_CLASSES[c] for c in shift.tested_among(1, base(PASCAL_5I, 2), of="pascal-5i")] == [
        "bicycle",
        "bus",
        "sofa",
    ]
    assert COCO_20I.tested_among(0, {0, 1}, of="coco-20i") == (0,)
    assert COCO_20I.tested_among(0, {0, 1}, of="of-my-own") == ()


def test_what_is_trained_for_it_is_trained_on_coco(fssbench: Command, home: Path) -> None:
    shown = fssbench("train", "-m", "hsnet", "-b", "coco-to-pascal", "-f", 1, "--print-config")
    assert 'benchmark = "coco"' in shown.out
    assert f"{home}/raw/coco" in fssbench("prepare", "coco-to-pascal", "--train").error
