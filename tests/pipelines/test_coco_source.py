"""Reading COCO: layouts, masks, odd JPEGs, and what is refused."""

from __future__ import annotations

import io
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from raw_coco import CATEGORY_IDS, HEIGHT, WIDTH, content, file_name, jpeg, polygon, write_coco

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import COCO_20I
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources.coco import CocoSource


def source(folder: Path, data: dict[str, Any] | None = None, *, year: int = 2014) -> CocoSource:
    return CocoSource(write_coco(folder, data, year=year))


def mask_of(folder: Path, annotations: list[dict[str, Any]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """The mask of class 0 in image 1 under the given annotations."""
    data = content()
    data["annotations"] = [{"id": n, "image_id": 1, "category_id": 1, **a} for n, a in enumerate(annotations)]
    return masks.decode(source(folder, data).read(f"{1:012d}", 0).mask)


@pytest.mark.parametrize("year", [2014, 2017])
def test_both_layouts_give_the_same_ids_and_bytes(tmp_path: Path, year: int) -> None:
    found = source(tmp_path / "coco", year=year)
    assert found.pools([0], min_pixels=1) == {0: tuple(f"{n:012d}" for n in (1, 4, 7, 10))}
    sample = found.read("000000000004", 0)
    assert sample.jpeg == (tmp_path / "coco" / f"val{year}" / file_name(4, year)).read_bytes()
    assert found.split == f"val{year}"


def test_the_2014_annotations_are_preferred_and_find_images_in_the_2017_folders(tmp_path: Path) -> None:
    """val2014's images lie in train2017 and val2017 under other names; the ids are the same."""
    folder = write_coco(tmp_path / "coco")
    (folder / "train2017").mkdir()
    (folder / "images" / "val2017").mkdir(parents=True)
    for n in range(1, 13):
        target = folder / ("train2017" if n % 2 else "images/val2017") / f"{n:012d}.jpg"
        shutil.move(folder / "val2014" / file_name(n), target)
    shutil.copy(folder / "annotations" / "instances_val2014.json", folder / "annotations" / "instances_val2017.json")
    found = CocoSource(folder)
    ids = [f"{n:012d}" for n in range(1, 13)]
    assert found.split == "val2014"
    assert found.missing(ids) == []
    assert found.read(ids[0], 0).jpeg == (folder / "train2017" / "000000000001.jpg").read_bytes()


@pytest.mark.parametrize("place", [".", "images", "images/train2014", "train2017"])
def test_images_are_found_in_the_folder_itself_and_in_those_below(tmp_path: Path, place: str) -> None:
    folder = write_coco(tmp_path / "coco")
    (folder / place).mkdir(parents=True, exist_ok=True)
    for n in range(1, 13, 2):
        shutil.move(folder / "val2014" / file_name(n), folder / place / f"{n:012d}.JPG")
    found = CocoSource(folder)
    assert found.missing([f"{n:012d}" for n in range(1, 13)]) == []
    assert found.read(f"{1:012d}", 0).jpeg == (folder / place / f"{1:012d}.JPG").read_bytes()


def test_classes_are_numbered_by_ascending_category_id(tmp_path: Path) -> None:
    data = content()
    data["categories"].reverse()
    found = source(tmp_path / "coco", data)
    assert found.class_names() == COCO_20I.class_names
    assert CATEGORY_IDS[8] == 9
    assert found.pools([8], min_pixels=1) == {8: tuple(f"{n:012d}" for n in (3, 6, 9, 12))}


def test_the_mask_of_a_class_is_the_union_of_its_instances(tmp_path: Path) -> None:
    first, second = polygon(0, 0, 10, 10), polygon(20, 10, 10, 10)
    mask = mask_of(tmp_path / "a", [{"segmentation": [first]}, {"segmentation": [second]}])
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[0:10, 0:10] = expected[10:20, 20:30] = True
    assert (mask == expected).all()


def test_every_polygon_of_an_annotation_counts(tmp_path: Path) -> None:
    both = mask_of(tmp_path / "a", [{"segmentation": [polygon(0, 0, 10, 10), polygon(20, 10, 10, 10)]}])
    apart = mask_of(
        tmp_path / "b", [{"segmentation": [polygon(0, 0, 10, 10)]}, {"segmentation": [polygon(20, 10, 10, 10)]}]
    )
    assert (both == apart).all()
    assert both.sum() == 200


def test_crowds_are_left_out_of_the_mask(tmp_path: Path) -> None:
    crowd = {"iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, HEIGHT * WIDTH]}}
    assert mask_of(tmp_path / "a", [{"segmentation": [polygon(0, 0, 10, 10)]}, crowd]).sum() == 100


def test_run_lengths_are_read_down_the_columns(tmp_path: Path) -> None:
    mask = mask_of(tmp_path / "a", [{"segmentation": {"size": [HEIGHT, WIDTH], "counts": [HEIGHT, 5, 1165]}}])
    assert mask[:5, 1].all()
    assert mask.sum() == 5


def test_an_image_with_nothing_but_a_crowd_does_not_serve_the_class(tmp_path: Path) -> None:
    data = content()
    data["annotations"][0] |= {"iscrowd": 1, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [0, 1200]}}
    assert "000000000001" not in source(tmp_path / "coco", data).pools([0], min_pixels=1)[0]


def test_an_image_serves_a_class_from_min_pixels_on(tmp_path: Path) -> None:
    data = content()
    data["annotations"][3]["segmentation"] = [polygon(0, 0, 10, 20)]  # 200 pixels; the others have 300
    found = source(tmp_path / "coco", data)
    assert "000000000004" in found.pools([0], min_pixels=200)[0]
    assert "000000000004" not in found.pools([0], min_pixels=201)[0]


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_images_decode_to_rgb_with_their_masks(tmp_path: Path, mode: str) -> None:
    found = source(tmp_path / "coco")
    (tmp_path / "coco" / "val2014" / file_name(1)).write_bytes(jpeg(mode=mode))
    sample = found.read("000000000001", 0)
    pixels = images.decode(sample.jpeg, orientation=sample.orientation, where="it")
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.std() > 10
    if mode == "L":
        assert (pixels[..., 0] == pixels[..., 1]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_only_where_the_annotation_needs_it(tmp_path: Path, orientation: int) -> None:
    """Stored pixels of the annotated size stay as they are, whatever EXIF says."""
    found = source(tmp_path / "coco")
    (tmp_path / "coco" / "val2014" / file_name(1)).write_bytes(jpeg(orientation=orientation))
    assert found.read("000000000001", 0).orientation == 1


def with_exif(*entries: bytes, promised: int | None = None) -> bytes:
    """A JPEG, stored sideways, whose EXIF has these entries of TIFF."""
    head = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries) if promised is None else promised)
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg(HEIGHT, WIDTH))) as image:
        image.save(buffer, "JPEG", quality=95, exif=head + b"".join(entries) + b"\0\0\0\0")
    return buffer.getvalue()


SIDEWAYS = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
WIDTH_IN_WORDS = struct.pack(">HHI4s", 0x0100, 2, 2, b"ab\0\0")


def test_exif_that_cannot_be_written_again_still_turns_an_image() -> None:
    data = with_exif(WIDTH_IN_WORDS, SIDEWAYS)
    assert images.inspect(data, where="it").orientation == 6
    assert images.decode(data, orientation=6, where="it").shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("exif", [{"promised": 900}, {"promised": 0}])
def test_broken_exif_keeps_no_image_back_and_makes_no_noise(exif: dict[str, int]) -> None:
    """Pillow warns of it on standard error."""
    script = (
        "import sys; from fssbench.pipelines.formats import images; data = sys.stdin.buffer.read();"
        "print(images.inspect(data, where='it').orientation, images.decode(data, where='it').shape)"
    )
    ran = subprocess.run([sys.executable, "-c", script], input=with_exif(**exif), capture_output=True, check=True)
    assert (ran.stdout.decode().split(" ", 1)[1].strip(), ran.stderr) == (str((WIDTH, HEIGHT, 3)), b"")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_an_image_stored_sideways_is_turned_to_its_annotation(tmp_path: Path, orientation: int) -> None:
    """The same picture, once upright and once sideways with EXIF saying so, decodes alike."""
    found = source(tmp_path / "coco")
    sideways = jpeg(HEIGHT, WIDTH, orientation=orientation)
    (tmp_path / "coco" / "val2014" / file_name(1)).write_bytes(sideways)
    sample = found.read("000000000001", 0)
    assert sample.orientation == orientation
    stored = images.decode(sideways, where="it")
    turned = {
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),
        7: np.rot90(stored, 2).transpose(1, 0, 2),
        8: np.rot90(stored, 1),
    }[orientation]
    assert (images.decode(sample.jpeg, orientation=sample.orientation, where="it") == turned).all()


def test_an_image_of_another_size_than_its_annotation_is_refused(tmp_path: Path) -> None:
    found = source(tmp_path / "coco")
    (tmp_path / "coco" / "val2014" / file_name(1)).write_bytes(jpeg(HEIGHT, WIDTH))
    with pytest.raises(SourceError, match=r"000000000001.jpg is 30×40 pixels, its annotation says 40×30"):
        found.read("000000000001", 0)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9, -2])
def test_a_cut_jpeg_is_refused(tmp_path: Path, keep: float) -> None:
    found = source(tmp_path / "coco")
    path = tmp_path / "coco" / "val2014" / file_name(1)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(SourceError, match=r"000000000001.jpg is (damaged|not a JPEG)"):
        found.read("000000000001", 0)


def test_a_png_called_jpg_is_refused(tmp_path: Path) -> None:
    from PIL import Image

    found = source(tmp_path / "coco")
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "coco" / "val2014" / file_name(1), "PNG")
    with pytest.raises(SourceError, match="is not a JPEG"):
        found.read("000000000001", 0)


def test_bytes_after_the_end_of_an_image_are_no_fault(tmp_path: Path) -> None:
    found = source(tmp_path / "coco")
    path = tmp_path / "coco" / "val2014" / file_name(1)
    path.write_bytes(path.read_bytes() + b"\x00" * 100)
    assert found.read("000000000001", 0).orientation == 1


def test_missing_images_are_named(tmp_path: Path) -> None:
    found = source(tmp_path / "coco")
    (tmp_path / "coco" / "val2014" / file_name(7)).unlink()
    assert CocoSource(found.folder).missing(["000000000001", "000000000007"]) == ["000000000007"]


def test_a_folder_that_is_not_there_or_holds_no_annotations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"there is no folder .*nowhere.*; point --source"):
        CocoSource(tmp_path / "nowhere")
    with pytest.raises(SourceError, match=r"holds neither annotations/instances_val2014\.json"):
        CocoSource(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "not json", '{"images": ', "\x00"])
def test_annotations_that_are_not_json_are_refused(tmp_path: Path, text: str) -> None:
    found = source(tmp_path / "coco")
    found.annotation_file.write_text(text)
    with pytest.raises(SourceError, match=r"instances_val2014.json is not JSON: .*download or unpack it again"):
        found.pools([0], min_pixels=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("annotations"), "'annotations' must be a list of objects"),
        (lambda d: d["categories"].pop(), "has 79 categories, expected 80"),
    ],
)
def test_annotations_at_odds_with_themselves_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    data = content()
    change(data)
    with pytest.raises(SourceError, match=message):
        source(tmp_path / "coco", data).pools([0], min_pixels=1)


def test_annotations_that_are_a_list_are_refused(tmp_path: Path) -> None:
    found = source(tmp_path / "coco")
    found.annotation_file.write_text(json.dumps([1, 2]))
    with pytest.raises(SourceError, match="is not an instance annotation file"):
        found.pools([0], min_pixels=1)


def test_only_the_whole_of_val2014_is_official(tmp_path: Path) -> None:
    assert source(tmp_path / "a").unofficial() == ("val2014 has 40,504 images, this annotation file 12",)
    assert source(tmp_path / "b", year=2017).unofficial() == (
        "images are those of val2017, the benchmark's are val2014",
    )
    data = content()
    data["categories"][0]["name"] = "human"
    assert "category names are not COCO's" in source(tmp_path / "c", data).unofficial()
