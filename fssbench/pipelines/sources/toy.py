"""A small data set drawn on the spot, in COCO's own format.

Eighty classes, eight colours times ten shapes, on textured ground. Every image has one large object,
often small ones of other classes beside it, and sometimes a crowd. It exercises the reader of the real
data: polygons, instances of several polygons, and crowds as uncompressed run lengths.
"""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from fssbench.base.errors import StorageError
from fssbench.base.files import PARTIAL, atomic_file, atomic_folder
from fssbench.base.locking import exclusive
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import COCO_CLASSES, TOY_CLASSES, TOY_SHAPES
from fssbench.episodes.strict import HashStream
from fssbench.pipelines.sources.base import Part

__all__ = ["IMAGES", "draw_example", "draw_toy"]

SIDE = 128
IMAGES_PER_CLASS = 8
IMAGES = len(TOY_CLASSES) * IMAGES_PER_CLASS
SPLITS: dict[Part, str] = {"test": "val2014", "training": "train2014"}
Polygon = list[tuple[float, float]]

# Hue and saturation of each colour, in the order of the benchmark's class names.
HUES = ((0.0, 0.9), (0.1, 0.95), (0.33, 0.8), (0.49, 0.8), (0.61, 0.85), (0.76, 0.7), (0.92, 0.5), (0.0, 0.0))


def draw_toy(folder: Path, *, part: Part = "test", advance: Advance = no_progress) -> bool:
    """Draw a part of the toy data set into ``folder`` unless it is there; returns whether it was drawn.

    Geometry, and with it every episode digest, is the same on every machine. The images to train on are as many as
    those that are tested, and others.
    """
    split = SPLITS[part]
    annotations = folder / "annotations" / f"instances_{split}.json"
    if annotations.is_file():
        return False
    images = folder / split
    if images.exists() and not annotations.with_name(annotations.name + PARTIAL).is_file():  # as a killed run leaves it
        raise StorageError(
            f"{images} is in the way: it has no annotations beside it", remedy="move it away, or name another folder"
        )
    # The annotations get their name last.
    with exclusive(images, doing="drawing"), atomic_file(annotations) as file, atomic_folder(images) as partial:
        first = 0 if part == "test" else IMAGES
        scenes = [_scene(number, advance) for number in range(first, first + IMAGES)]
        for scene in scenes:
            scene.picture.save(partial / scene.file_name(split), quality=90)
        file.write(json.dumps(_annotations(scenes, split)).encode())
        file.flush()
    return True


def draw_example(number: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Image ``number`` of the toy, (H, W, 3) uint8, and the mask (H, W) of its main class, ``number`` mod 80."""
    scene = _scene(number, no_progress)
    return np.array(scene.picture), np.array(_raster(scene.instances[-1].polygons, scene.picture.size))


@dataclass(frozen=True, kw_only=True)
class Instance:
    """An object in a scene: its class, its polygons in pixels, and whether it is a crowd of many."""

    class_id: int
    polygons: list[Polygon]
    crowd: bool = False


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One drawn image and what stands in it."""

    number: int
    picture: Image.Image
    instances: list[Instance]

    @property
    def image_id(self) -> int:
        return self.number + 1

    def file_name(self, split: str) -> str:
        return f"COCO_{split}_{self.image_id:012d}.jpg"


def _scene(number: int, advance: Advance) -> Scene:
    """Draw image ``number``: its main class takes turns, everything else is drawn at random."""
    stream = HashStream("fssbench toy/1", number)
    width, height = SIDE - 8 * stream.below(3), SIDE - 8 * stream.below(3)
    main_class = number % len(TOY_CLASSES)
    radius = 0.34 + 0.08 * _unit(stream)
    centre = (0.5 + 0.3 * (_unit(stream) - 0.5), 0.5 + 0.3 * (_unit(stream) - 0.5))
    main = Instance(
        class_id=main_class,
        polygons=_place(stream, main_class, centre, radius, (width, height), stretch=0.15),
    )
    instances = [*_beside(stream, main, (width, height)), main]
    pixels = np.random.default_rng(number)
    picture = Image.fromarray(_ground(pixels, width, height))
    for instance in instances:
        _paint(picture, instance, pixels)
    advance(1)
    return Scene(number=number, picture=picture.filter(ImageFilter.GaussianBlur(0.5)), instances=instances)


def _unit(stream: HashStream) -> float:
    """A number in [0, 1)."""
    return stream.below(1 << 20) / (1 << 20)


def _beside(stream: HashStream, main: Instance, size: tuple[int, int]) -> list[Instance]:
    """Up to two small objects and now and then a crowd, in corners the main object leaves free."""
    others = []
    corners = [(0.13, 0.13), (0.87, 0.13), (0.13, 0.87), (0.87, 0.87)]
    for n in range(1 + stream.below(3)):
        x, y = corners.pop(stream.below(len(corners)))
        class_id = stream.below(len(TOY_CLASSES))
        crowd = n == 2
        spots = [(x + dx, y + dy) for dx in (-0.06, 0.06) for dy in (-0.06, 0.06)] if crowd else [(x, y)]
        radius = 0.05 if crowd else 0.12
        polygons = [p for spot in spots for p in _place(stream, class_id, spot, radius, size, stretch=0.0)]
        if class_id != main.class_id and not _overlap(polygons, main.polygons, size):
            others.append(Instance(class_id=class_id, polygons=polygons, crowd=crowd))
    return others


def _overlap(a: Sequence[Polygon], b: Sequence[Polygon], size: tuple[int, int]) -> bool:
    return bool((_raster(a, size) & _raster(b, size)).any())


def _raster(polygons: Sequence[Polygon], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Polygons filled, (H, W) bool."""
    image = Image.new("1", size)
    for polygon in polygons:
        ImageDraw.Draw(image).polygon(polygon, fill=1)
    return np.asarray(image)


def _place(
    stream: HashStream,
    class_id: int,
    centre: tuple[float, float],
    radius: float,
    size: tuple[int, int],
    *,
    stretch: float,
) -> list[Polygon]:
    """The shape of a class, turned, stretched and moved; ``centre`` and ``radius`` are shares of the image."""
    width, height = size
    turn = 2 * math.pi * _unit(stream)
    sx, sy = (1 + stretch * (2 * _unit(stream) - 1) for _ in range(2))
    r = radius * min(size)

    def move(x: float, y: float) -> tuple[float, float]:
        x, y = x * sx, y * sy
        px = centre[0] * width + r * (x * math.cos(turn) - y * math.sin(turn))
        py = centre[1] * height + r * (x * math.sin(turn) + y * math.cos(turn))
        return round(min(max(px, 0), width), 2), round(min(max(py, 0), height), 2)

    return [[move(x, y) for x, y in polygon] for polygon in _outline(TOY_SHAPES[class_id % len(TOY_SHAPES)])]


def _arc(radius: float, start: float, end: float, steps: int) -> Polygon:
    """Points of a circle's arc, angles in turns."""
    angles = (2 * math.pi * (start + (end - start) * i / steps) for i in range(steps + 1))
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def _outline(shape: str) -> list[Polygon]:
    """A shape's polygons in the unit disc."""
    match shape:
        case "disc":
            return [_arc(1, 0, 1, 24)]
        case "square":
            return [[(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)]]
        case "triangle":
            return [_arc(1.15, 0, 1, 3)]
        case "hexagon":
            return [_arc(1, 0, 1, 6)]
        case "diamond":
            return [[(-1.1, 0), (0, -0.7), (1.1, 0), (0, 0.7)]]
        case "star":
            tips, dents = _arc(1.15, 0, 1, 5)[:5], _arc(0.6, 0.1, 1.1, 5)[:5]
            return [[point for pair in zip(tips, dents, strict=True) for point in pair]]
        case "cross":
            a, b = 0.4, 1.05
            quarter = [(b, -a), (b, a), (a, a)]
            turns = [
                [(x * c - y * s, x * s + y * c) for x, y in quarter] for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))
            ]
            return [[point for part in turns for point in part]]
        case "ring":  # two halves, because a COCO polygon has no holes
            halves = ((0.0, 0.5), (0.5, 1.0))
            return [_arc(1.05, start, end, 12) + _arc(0.45, end, start, 12) for start, end in halves]
        case "crescent":
            return [_arc(1.1, 0.1, 0.9, 20) + [(x + 0.35, y) for x, y in _arc(0.75, 0.85, 0.15, 16)]]
        case "arrow":
            return [[(-1, -0.45), (0.1, -0.45), (0.1, -0.95), (1.1, 0), (0.1, 0.95), (0.1, 0.45), (-1, 0.45)]]
    raise AssertionError(shape)


def _ground(pixels: np.random.Generator, width: int, height: int) -> npt.NDArray[np.uint8]:
    """A muted, cloudy background (H, W, 3)."""
    coarse = Image.fromarray(pixels.integers(60, 180, (6, 6, 3), dtype=np.uint8))
    cloud = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    muted = 0.5 * cloud + 0.5 * cloud.mean(axis=2, keepdims=True)
    noisy: npt.NDArray[np.float64] = muted + pixels.normal(0, 8, (height, width, 1))
    return noisy.clip(0, 255).astype(np.uint8)


def _paint(picture: Image.Image, instance: Instance, pixels: np.random.Generator) -> None:
    """Fill an object with its class's colour, a little different every time, with shading and grain."""
    hue, saturation = HUES[instance.class_id // len(TOY_SHAPES)]
    hue = (hue + pixels.uniform(-0.025, 0.025)) % 1
    colour = np.array(colorsys.hsv_to_rgb(hue, saturation, pixels.uniform(0.7, 1.0))) * 255
    array = np.array(picture, dtype=np.float64)
    shade = np.linspace(pixels.uniform(0.75, 1), pixels.uniform(0.75, 1), picture.width)[None, :, None]
    grain = pixels.normal(0, 6, (picture.height, picture.width, 1))
    inside = _raster(instance.polygons, picture.size)[..., None]
    painted = np.where(inside, colour * shade + grain, array)
    picture.paste(Image.fromarray(np.clip(painted, 0, 255).astype(np.uint8)))


def _annotations(scenes: Sequence[Scene], split: str) -> dict[str, Any]:
    """The scenes as COCO's instance annotations, with COCO's own category ids and their gaps."""
    gaps = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    ids = [i for i in range(1, 91) if i not in gaps]
    assert len(ids) == len(COCO_CLASSES)
    annotations = [
        {
            "image_id": scene.image_id,
            "category_id": ids[instance.class_id],
            "iscrowd": int(instance.crowd),
            "segmentation": _segmentation(instance, scene.picture.size),
        }
        for scene in scenes
        for instance in (*scene.instances, *_vague(scene))
    ]
    return {
        "info": {"description": "fssbench toy data: drawn shapes"},
        "images": [
            {
                "id": scene.image_id,
                "file_name": scene.file_name(split),
                "width": scene.picture.width,
                "height": scene.picture.height,
            }
            for scene in scenes
        ],
        "categories": [{"id": ids[i], "name": name} for i, name in enumerate(TOY_CLASSES)],
        "annotations": [{"id": n + 1, **annotation} for n, annotation in enumerate(annotations)],
    }


def _vague(scene: Scene) -> list[Instance]:
    """Around the main object of every seventh image a crowd region with much ground in it, as COCO has them."""
    main = scene.instances[-1]
    if scene.number % 7:
        return []
    x, y = np.array([point for polygon in main.polygons for point in polygon]).T
    box = [(x.min(), y.min()), (x.max(), y.min()), (x.max(), y.max()), (x.min(), y.max())]
    polygon = [(float(a), float(b)) for a, b in box]
    return [Instance(class_id=main.class_id, polygons=[polygon], crowd=True)]


def _segmentation(instance: Instance, size: tuple[int, int]) -> object:
    """Polygons as flat lists of x, y; a crowd as run lengths down the columns, background first."""
    if not instance.crowd:
        return [[value for point in polygon for value in point] for polygon in instance.polygons]
    flat = _raster(instance.polygons, size).ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], changes, [flat.size]])).tolist()
    return {"size": [size[1], size[0]], "counts": [0, *runs] if flat[0] else runs}
