"""Trained on COCO-20i, tested on PASCAL: classes, data, checkpoints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command
from raw_voc_fss import indices, voc

from fssbench.benchmarks import COCO_20I, COCO_20I_TO_PASCAL, COCO_CLASSES, VOC_CLASSES, VOC_IN_COCO

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
