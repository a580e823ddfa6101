"""Masks that other programs saved: read for what they were, or refused in one line that says what they are."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image
from raw_own import OWN, own
from raw_voc_fss import Array, fss, indices, voc

from fssbench.base.errors import MaskFileError
from fssbench.episodes.benchmarks import PASCAL_5I
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.doctor.examine import examine
from fssbench.pipelines.sources.folder import FolderSource
from fssbench.pipelines.sources.fss import FssSource
from fssbench.pipelines.sources.mask_png import VOC_COLOURS, MaskValues, decode_indices
from fssbench.pipelines.sources.pascal import PascalSource

Picture = Image.Image
OF_VOC = MaskValues.of_classes(20, ignore_label=255)
MASK = indices({1: 40, 4: 60, 20: 30, 255: 50})
PALETTE = [channel for colour in VOC_COLOURS for channel in colour]


def of_voc(pixels: Array = MASK) -> Picture:
    """A mask with VOC's palette, as published."""
    image = Image.fromarray(pixels)
    image.putpalette(PALETTE)
    return image


def png(image: Picture, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def read(image: Picture, meant: MaskValues = OF_VOC) -> tuple[Array, bool]:
    return decode_indices(png(image), where="mask.png", meant=meant)


def test_vocs_palette_is_the_published_one() -> None:
    shown = {value: colour for colour, value in VOC_COLOURS.items()}
    assert [shown[value] for value in (0, 1, 2, 3, 8, 15, 20, 255)] == [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (64, 0, 0), (192, 128, 128), (0, 64, 128), (224, 224, 192),
    ]  # fmt: skip


BY_WAY_OF_COLOURS: dict[str, Callable[[Picture], Picture]] = {
    "adaptive": lambda image: image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE),
    "quantize": lambda image: image.convert("RGB").quantize(16),
    "octree": lambda image: image.convert("RGBA").quantize(16, method=Image.Quantize.FASTOCTREE),
    "sorted otherwise": lambda image: image.remap_palette([255, 20, 4, 1, 0]),
}


@pytest.mark.parametrize("way", BY_WAY_OF_COLOURS)
def test_a_mask_saved_by_way_of_vocs_colours_is_read_by_them(way: str) -> None:
    image = BY_WAY_OF_COLOURS[way](of_voc())
    assert not np.array_equal(np.array(image), MASK)
    values, by_colour = read(image)
    np.testing.assert_array_equal(values, MASK)
    assert by_colour


def test_a_grey_mask_whose_levels_were_numbered_is_read_by_them() -> None:
    image = Image.fromarray(np.searchsorted([0, 1, 4, 20, 255], MASK).astype(np.uint8))
    image.putpalette([level for value in (0, 1, 4, 20, 255) for level in (value, value, value)])
    values, by_colour = read(image)
    np.testing.assert_array_equal(values, MASK)
    assert by_colour


@pytest.mark.parametrize(
    "palette",
    [PALETTE, [n // 3 for n in range(768)], [(37 * n + 11) % 256 for n in range(768)], [0] * 768],
    ids=["VOC's", "greys", "others", "black"],
)
def test_stored_values_count_where_colours_do_not_speak_against_them(palette: list[int]) -> None:
    image = Image.fromarray(MASK)
    image.putpalette(palette)
    values, by_colour = read(image)
    np.testing.assert_array_equal(values, MASK)
    assert not by_colour


def test_a_palette_of_black_and_white_shows_a_class_and_not_what_is_ignored() -> None:
    pixels = np.minimum(MASK, 1)
    image = Image.fromarray(pixels)
    image.putpalette([0, 0, 0, 255, 255, 255])
    values, _ = read(image)
    np.testing.assert_array_equal(values, pixels)


def smaller(image: Picture) -> Picture:
    return image.resize((16, 12), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BILINEAR)


LOST: dict[str, tuple[Callable[[Picture], Picture], str, str]] = {
    "web": (lambda image: image.convert("RGB").convert("P"), "palette with the 216 colours of the web", "values were"),
    "smooth colours": (
        lambda image: smaller(image.convert("RGB")).quantize(16),
        "palette with VOC's colours at other values than VOC's, and others",
        "values were lost",
    ),
    "RGB": (lambda image: image.convert("RGB"), "is a PNG of mode RGB, .*its colours are VOC's", "masks of colours"),
    "RGBA": (lambda image: image.convert("RGBA"), "is a PNG of mode RGBA", "masks of colours"),
    "negative": (
        lambda image: Image.fromarray(255 - np.array(image.convert("RGB"))),
        "mode RGB, .*an image of colours does not say which class",
        "masks of colours",
    ),
    "alpha": (lambda image: Image.fromarray(np.array(image)).convert("LA"), "of mode LA", "masks with an alpha"),
    "16 bits": (lambda image: Image.fromarray(np.array(image, np.uint16)), "of mode I;16", "masks of 16 bits"),
    "1 bit": (lambda image: Image.fromarray(np.array(image) > 0), "of mode 1", "masks of 1 bit"),
    "luma": (lambda image: image.convert("RGB").convert("L"), r"pixels of value \d+", "values that mean nothing"),
    "smooth": (lambda image: smaller(Image.fromarray(np.array(image))), "pixels of value", "values that mean nothing"),
    "another class": (lambda image: Image.fromarray(np.array(image) // 2), "value 127", "values that mean nothing"),
}


def as_jpeg(path: Path) -> None:
    image = Image.open(path).convert("RGB")
    image.save(path, "JPEG")


def damage(path: Path, way: str) -> None:
    if way == "JPEG":
        as_jpeg(path)
    else:
        path.write_bytes(png(LOST[way][0](of_voc(np.array(Image.open(path))))))


WAYS = [(way, message, kind) for way, (_, message, kind) in LOST.items()]
WAYS.append(("JPEG", "is not a PNG but a JPEG", "masks that are JPEGs"))


@pytest.mark.parametrize(("way", "message", "kind"), WAYS, ids=[way for way, *_ in WAYS])
def test_a_mask_that_lost_its_values_is_one_line_of_prepare_and_one_finding_of_doctor(
    fssbench: Command, tmp_path: Path, way: str, message: str, kind: str
) -> None:
    masks = {f"2007_{n:06d}": indices({1 + n % 5: 300, 4: 60, 255: 50}) for n in range(15)}
    folder = voc(tmp_path / "VOC2012", masks)
    bad = [folder / f"SegmentationClassAug/{image_id}.png" for image_id in list(masks)[:2]]
    for path in bad:
        damage(path, way)
    ran = fssbench("prepare", "pascal", "-s", folder, "-o", tmp_path / "sets", "-f", 0, "-n", 5, "--min-pixels", 1)
    assert ran.code == 2
    assert re.search(f"{bad[0].name} .*{message}", ran.error)
    assert not (tmp_path / "sets").exists()
    report = examine(PascalSource(folder), min_pixels=1)
    (finding,) = (one for one in report.findings if one.gravity == "error" and kind in one.what)
    assert finding.count == 2
    assert report.counts["images that show a class"] == 13  # those whose masks are sound
    assert not any("prepare would refuse" in one.what or "damaged" in one.what for one in report.findings)


def test_kinds_of_faults_are_findings_of_their_own_and_the_rest_is_counted(tmp_path: Path) -> None:
    folder = own(tmp_path / "own")
    for n, way in enumerate(("RGB", "16 bits", "JPEG", "alpha")):
        damage(folder / f"masks/plant {n}.png", way)
    report = examine(FolderSource(folder), min_pixels=1)
    errors = [finding.what for finding in report.findings if finding.gravity == "error"]
    assert errors[:-1] == [
        "masks of colours, not of class indices",
        "masks of 16 bits, not of class indices",
        "masks that are JPEGs",
        "masks with an alpha channel, not of class indices",
    ]
    assert "fewer than the 2 eligible images" in errors[-1]
    assert [row.images for row in report.classes] == [1, 2, 2]


def test_masks_read_by_colour_are_told_and_make_the_same_set(fssbench: Command, tmp_path: Path) -> None:
    masks = {f"2007_{n:06d}": indices({1 + n % 5: 300, 255: 50}, start=9 * n) for n in range(15)}
    said: list[object] = []
    for name in ("as published", "by way of colours"):
        folder = voc(tmp_path / name, masks)
        for path in (folder / "SegmentationClassAug").iterdir():
            image = of_voc(np.array(Image.open(path)))
            path.write_bytes(png(image if name == "as published" else image.convert("RGB").quantize(8)))
        out = tmp_path / f"sets {name}"
        ran = fssbench("prepare", "pascal", "-s", folder, "-o", out, "-f", 0, "-n", 5, "--min-pixels", 1)
        told = "note: masks read by the colours of their palettes, whose values were changed: 15 (2007_000000"
        assert (told in ran.err) == (name == "by way of colours")
        said.append(PascalSource(folder).pools(range(20), min_pixels=1))
        said.append([PascalSource(folder).read(image_id, n % 5) for n, image_id in enumerate(masks)])
    assert said[:2] == said[2:]


def test_colours_that_may_be_the_users_own_choice_are_refused_where_values_mean_something_too(tmp_path: Path) -> None:
    folder = own(tmp_path)
    (folder / "benchmark.toml").write_text(OWN.replace("40", "1").replace("10", "2").replace("30", "4"))
    for n in range(9):
        path = folder / f"masks/plant {n}.png"
        stored = np.array(Image.open(path))
        image = Image.fromarray(np.select([stored == value for value in (40, 10, 30)], [1, 2, 4], 0).astype(np.uint8))
        image.putpalette([0, 0, 0, 0, 128, 0, 128, 0, 0, 0, 0, 0, 0, 0, 128])  # 1 in the colour of 2, and vice versa
        path.write_bytes(png(image))
    with pytest.raises(MaskFileError, match="so either may be meant"):
        FolderSource(folder).pools([0, 1, 2], min_pixels=1)


def test_coloured_masks_of_fss_are_told(fssbench: Command, tmp_path: Path) -> None:
    folder = fss(tmp_path / "fss", ("abacus", "bus"))
    (tmp_path / "test.txt").write_text("abacus\nbus\n")
    pixels = np.zeros((20, 24, 3), np.uint8)
    pixels[5:9, 5:9] = 0, 255, 0
    Image.fromarray(pixels).save(folder / "abacus/1.png")
    pixels[5:9, 5:9] = 128, 0, 0
    Image.fromarray(pixels).save(folder / "bus/1.png")
    given = ("--splits", tmp_path / "test.txt")
    ran = fssbench("prepare", "fss", "-s", folder, "-o", tmp_path / "o", "-n", 5, "--allow-missing-classes", *given)
    for said in (ran.err, fssbench("doctor", folder, *given).out):
        assert "masks of colours, read by their brightness: 1 (abacus/1)" in said
        assert "masks without foreground, left out: 1 (bus/1 (brightest value 38))" in said


def test_a_mask_of_the_wrong_kind_in_fss_is_a_finding_and_the_others_are_counted(tmp_path: Path) -> None:
    folder = fss(tmp_path / "fss", ("abacus", "bus"))
    Image.fromarray(np.full((20, 24), 900, np.uint16)).save(folder / "abacus/1.png")
    as_jpeg(folder / "bus/2.png")
    report = examine(FssSource(folder), min_pixels=1)
    errors = [finding.what for finding in report.findings if finding.gravity == "error"]
    assert errors == ["masks of 16 bits", "masks that are JPEGs"]
    assert [row.images for row in report.classes] == [9, 9]


def test_published_masks_are_read_as_stored(voc_validation: Path) -> None:
    source = PascalSource(voc_validation, benchmark=PASCAL_5I)
    for image_id, path in list(source.masks.items())[:20]:
        if path.suffix == ".png":
            stored = np.array(Image.open(io.BytesIO(files.read_bytes(path))))
            np.testing.assert_array_equal(source.values.indices(image_id), stored)
    assert source.values.remarks() == ()
