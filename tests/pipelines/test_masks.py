"""Run-length encodings, and the toy data that exercises all kinds of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask
from strategies import Mask, mask_groups, masks
from toys import compressed

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import TOY_20I, TOY_CLASSES
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.plan import Request, draw_one
from fssbench.pipelines.formats import masks as rle
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.toy import IMAGES, draw_toy


@given(masks())
def test_decoding_undoes_encoding(mask: Mask) -> None:
    encoded = rle.encode(mask)
    assert (rle.decode(encoded) == mask).all()
    assert rle.area(encoded) == mask.sum()
    assert encoded["counts"].isascii()


@given(st.lists(st.integers(0, 300) | st.integers(0, 1 << 20), min_size=1, max_size=12).filter(any))
def test_run_lengths_are_read_as_they_were_written(lengths: list[int]) -> None:
    """Also runs of no pixel, which the encoder here never writes."""
    assert rle.runs({"size": [1, sum(lengths)], "counts": compressed(lengths)}).tolist() == lengths


@given(st.text(st.characters(min_codepoint=45, max_codepoint=115), max_size=40), st.integers(1, 40))
def test_whatever_counts_say_they_are_read_as_pycocotools_does_or_refused(text: str, height: int) -> None:
    try:
        mask = rle.decode({"size": [height, 7], "counts": text})
    except SourceError:
        return
    assert (mask == coco_mask.decode({"size": [height, 7], "counts": text})).all()


@given(mask_groups(3))
def test_the_union_of_encodings_is_the_encoding_of_the_union(group: tuple[Mask, ...]) -> None:
    assert rle.union([rle.encode(mask) for mask in group]) == rle.encode(np.logical_or.reduce(group))


def test_runs_that_do_not_fill_their_size_are_refused() -> None:
    encoded = rle.encode(np.ones((4, 5), bool))
    with pytest.raises(SourceError, match="runs cover 20 pixels, its size 9×9 has 81"):
        rle.decode({"size": [9, 9], "counts": encoded["counts"]})


def test_the_toy_is_drawn_once(toy_raw: Path) -> None:
    file = toy_raw / "annotations" / "instances_val2014.json"
    stamp = file.stat().st_mtime_ns
    assert draw_toy(toy_raw) is False
    assert file.stat().st_mtime_ns == stamp


def test_the_toy_is_in_cocos_format_with_all_its_oddities(toy_raw: Path) -> None:
    data = json.loads((toy_raw / "annotations" / "instances_val2014.json").read_text())
    assert len(data["images"]) == IMAGES
    assert [c["name"] for c in data["categories"]] == list(TOY_CLASSES)
    crowds = [a for a in data["annotations"] if a["iscrowd"]]
    assert crowds
    assert all(sum(a["segmentation"]["counts"]) == np.prod(a["segmentation"]["size"]) for a in crowds)
    assert any(len(a["segmentation"]) > 1 for a in data["annotations"] if not a["iscrowd"])


def test_every_class_of_the_toy_has_images_enough_for_five_shots(toy_raw: Path) -> None:
    pools = open_source(TOY_20I, toy_raw).pools(range(80), min_pixels=2048)
    assert min(map(len, pools.values())) >= 6


def test_the_toy_is_never_official(toy_raw: Path) -> None:
    assert open_source(TOY_20I, toy_raw).unofficial() == ("Toy-20i is drawn, not a published benchmark",)


def test_the_toys_episodes_are_the_same_on_every_machine(toy_raw: Path) -> None:
    """Its geometry comes from the frozen stream, so its pools, and with them the digest, never change."""
    request = Request(benchmark=TOY_20I, protocol=STRICT, folds=(2,), shots=(5,))
    track, _ = draw_one(open_source(TOY_20I, toy_raw), request)
    assert track.digest == "9492e31a87cf80be0492f7fc387d48e39727cadcc352d7d58948ca8e5ee7ad0f"
