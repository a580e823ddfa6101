"""How far training lists that are derived from masks are from the published ones, as a table in Markdown.

    python tools/training_lists.py MASKS SPLITS

MASKS is the folder of the real samples, with pascal/SegmentationClassAug.tar and pascal/lists; SPLITS is that of the
published lists, with hsnet and hdmnet.
"""

from __future__ import annotations

import io
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I
from fssbench.pipelines.training_sets.lists import listed_pairs

Pair = tuple[str, int]
Row = tuple[str, str, int, int, int, int]
"""Whose list, the rule, the fold; pairs published and derived, and how many are in one alone."""

GRID = 32
"""Every so many pixels in both directions there is a point, the first in the corner."""
RULES: dict[str, Callable[[npt.NDArray[np.bool_]], bool]] = {
    "any pixel": lambda mask: True,
    "2,048 pixels": lambda mask: int(mask.sum()) >= 2048,
    "3 points of a grid of 32 pixels": lambda mask: int(mask[::GRID, ::GRID].sum()) > 2,
}


def shown(masks: Path) -> dict[str, dict[str, set[int]]]:
    """By rule, by image the classes that it serves; of the images with a mask."""
    found: dict[str, dict[str, set[int]]] = {rule: {} for rule in RULES}
    with tarfile.open(masks / "pascal/SegmentationClassAug.tar") as archive:
        for member in archive:
            if not member.name.endswith(".png"):
                continue
            stream = archive.extractfile(member)
            assert stream is not None
            values = np.asarray(Image.open(io.BytesIO(stream.read())))
            image_id = Path(member.name).stem
            for value in set(np.unique(values).tolist()) - {0, 255}:
                mask = values == value
                for rule, serves in RULES.items():
                    if serves(mask):
                        found[rule].setdefault(image_id, set()).add(value - 1)
    return found


def rows(masks: Path, splits: Path) -> Iterator[Row]:
    """All comparisons."""
    by_rule = shown(masks)
    everything = _ids(masks / "pascal/lists/train_aug.txt")
    merged = _ids(splits / "hdmnet/pascal/voc_sbd_merge_noduplicate.txt")
    for fold in range(4):
        base = set(range(PASCAL_5I.n_classes)) - set(PASCAL_5I.novel_classes(fold))
        published = listed_pairs(splits / "hsnet", PASCAL_5I, fold)
        for rule, images in by_rule.items():
            derived = {(i, c) for i in everything for c in images.get(i, set()) & base}
            yield _row("HSNet", rule, fold, published, derived)
    for fold in range(3):
        novel = set(PASCAL_5I.novel_classes(fold))
        kept = [i for i in merged if not by_rule["any pixel"].get(i, set()) & novel]
        derived = {(i, c) for i in kept for c in by_rule["2,048 pixels"].get(i, set())}
        rule = "2,048 pixels, no pixel of a novel class"
        yield _row("HDMNet", rule, fold, listed_pairs(splits / "hdmnet", PASCAL_5I, fold), derived)
    for fold in range(2):
        published = listed_pairs(splits / "hdmnet", COCO_20I, fold)
        theirs = {image for image, _ in published}
        derived = {pair for pair in listed_pairs(splits / "hsnet", COCO_20I, fold) if pair[0] in theirs}
        yield _row("HDMNet, COCO", "HSNet's pairs of the same images", fold, published, derived)


def _ids(path: Path) -> list[str]:
    return [line.split()[0].rpartition("/")[2].partition(".")[0] for line in path.read_text().split("\n") if line]


def _row(whose: str, rule: str, fold: int, published: frozenset[Pair], derived: set[Pair]) -> Row:
    return whose, rule, fold, len(published), len(derived), len(published ^ derived)


if __name__ == "__main__":
    print("| list | rule | fold | published pairs | derived | in one alone |\n|---|---|---|---|---|---|")
    for row in rows(Path(sys.argv[1]), Path(sys.argv[2])):
        print(f"| {' | '.join(f'{cell:,}' if isinstance(cell, int) else cell for cell in row)} |")
