"""Draw COCO's masks by both rules side by side, without photographs: docs/background/mask-rules.png is made by this.

    python tools/mask_rules.py COCO_FOLDER PICTURE.png 000000099053=bowl …

A row is an image and a class: the union of its instances, what the label map leaves of it, and the whole label map.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources.coco import CocoSource
from fssbench.pipelines.sources.label_maps import LabelMaps

WIDTH, HEIGHT, GAP, TEXT = 240, 180, 8, 34
Picture = npt.NDArray[np.uint8]


def main(folder: Path, target: Path, pairs: list[str]) -> None:
    """Write the picture."""
    unions, maps = CocoSource(folder), CocoSource(folder, mask_rule="label-map")
    assert isinstance(maps.masks, LabelMaps)
    sheet = Image.new("RGB", (3 * (WIDTH + GAP) + GAP, len(pairs) * (HEIGHT + TEXT) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, pair in enumerate(pairs):
        image_id, _, name = pair.partition("=")
        class_id = unions.class_names().index(name)
        union, left = (masks.decode(source.mask(class_id, image_id)[0]) for source in (unions, maps))
        iou = (union & left).sum() / (union | left).sum()
        cells = (
            (black(union), f"{image_id} {name}: union, {union.sum():,} px"),
            (black(left), f"label map, {left.sum():,} px; IoU {iou:.2f}"),
            (coloured(maps.masks.paint(image_id)), "the whole label map"),
        )
        for column, (picture, title) in enumerate(cells):
            place = (GAP + column * (WIDTH + GAP), GAP + row * (HEIGHT + TEXT))
            draw.text(place, title, fill="black", font=ImageFont.load_default(11))
            small = Image.fromarray(picture)
            small.thumbnail((WIDTH, HEIGHT), Image.Resampling.BOX)
            framed = Image.new("RGB", (small.width + 2, small.height + 2), "grey")
            framed.paste(small, (1, 1))
            sheet.paste(framed, (place[0], place[1] + 16))
    sheet.quantize(64).save(target, optimize=True)


def black(mask: npt.NDArray[np.bool_]) -> Picture:
    """A mask (H, W) as black on white (H, W, 3)."""
    return np.repeat(np.where(mask, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def coloured(labels: Picture) -> Picture:
    """A label map (H, W) with a colour for each of its classes, background white (H, W, 3)."""
    palette = np.array(
        [(255, 255, 255), (31, 119, 180), (255, 127, 14), (44, 160, 44), (214, 39, 40), (148, 103, 189), (140, 86, 75),
         (227, 119, 194), (127, 127, 127), (188, 189, 34), (23, 190, 207)], np.uint8,
    )  # fmt: skip
    place = {value: n for n, value in enumerate(v for v in np.unique(labels) if v)}
    numbers = np.array([0, *(1 + place.get(value, 0) % 10 for value in range(1, 256))])
    colours: Picture = palette[numbers[labels]]
    return colours


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
