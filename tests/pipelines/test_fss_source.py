"""FSS-1000 folders, read for the benchmark's test classes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image
from raw_voc_fss import Array, blob, fss, jpeg, png

from fssbench.base.errors import PoolError, SourceError
from fssbench.episodes.benchmarks import FSS_1000
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import Source, files
from fssbench.pipelines.sources import fss as fss_module
from fssbench.pipelines.sources.fss import FssSource
from fssbench.pipelines.sources.mask_png import read_grey

# pycocotools 2.0.11 under numpy 2, whenever it decodes a mask

CLASSES = ("zither", "abacus", "Bus")
TEN = ("1", "10", "2", "3", "4", "5", "6", "7", "8", "9")
HARD = blob() >= 128


def splits(folder: Path, names: tuple[str, ...], *, place: str = "fss/test.txt") -> Path:
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\r\n" for name in names))
    return folder


@pytest.fixture
def source(tmp_path: Path) -> FssSource:
    """Three whole classes, listed as they are not sorted: Bus 760, abacus 761, zither 762."""
    return FssSource(fss(tmp_path / "FSS-1000", CLASSES), splits=splits(tmp_path / "lists", CLASSES))


def again(source: FssSource) -> FssSource:
    """The same folder, opened anew after something in it was changed."""
    assert source.list_file is not None
    return FssSource(source.folder, splits=source.list_file)


def rgba_soft(path: Path) -> None:
    """As the data set's authors made them: soft edges, channels that differ a little, an alpha of its own."""
    alpha = np.where(HARD, 0, 255).astype(np.uint8)
    blue = np.where((blob() > 5) & (blob() < 250), blob() + 3, blob()).astype(np.uint8)
    png(path, np.dstack([blob(), blob(), blue, alpha]))


def rgb_binary(path: Path) -> None:
    png(path, np.dstack([HARD.astype(np.uint8)] * 3))


def grey_and_alpha(path: Path) -> None:
    Image.merge("LA", [Image.fromarray(blob()), Image.fromarray(255 - blob())]).save(path)


def one_bit(path: Path) -> None:
    Image.fromarray(HARD).save(path)


def palette(path: Path, *, transparency: bytes | None = None) -> None:
    """Index 0 is white and 1 is black: what counts is the colour."""
    image = Image.fromarray(1 - HARD.astype(np.uint8))
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(path, transparency=transparency)


def palette_with_transparency(path: Path) -> None:
    palette(path, transparency=b"\x00\x80")
    with Image.open(path) as image:
        assert image.info["transparency"] == b"\x00\x80"


ENCODINGS: list[Callable[[Path], None]] = [
    rgba_soft,
    rgb_binary,
    grey_and_alpha,
    one_bit,
    palette,
    palette_with_transparency,
    lambda path: png(path, blob()),
    lambda path: png(path, HARD.astype(np.uint8)),
    lambda path: png(path, HARD.astype(np.uint8) * 255),
]
NAMES = ["rgba-soft", "rgb-01", "la", "1-bit", "p", "p-transparent", "l-soft", "l-01", "l-0-255"]


@pytest.mark.parametrize("write", ENCODINGS, ids=NAMES)
def test_a_mask_is_the_same_in_every_encoding(source: FssSource, write: Callable[[Path], None]) -> None:
    path = source.folder / "abacus/4.png"
    path.unlink()
    write(path)
    sample = source.read("abacus/4", 761)
    np.testing.assert_array_equal(masks.decode(sample.mask), HARD)
    assert source.pools([761], min_pixels=int(HARD.sum()))[761] == tuple(f"abacus/{n}" for n in TEN)
    assert source.pools([761], min_pixels=int(HARD.sum()) + 1)[761] == ()


def test_foreground_begins_at_128_of_255_and_at_1_of_1(source: FssSource) -> None:
    grey: Array = np.full((20, 24), 127, np.uint8)
    grey[0, :5] = 128
    png(source.folder / "abacus/1.png", grey)
    assert masks.area(source.read("abacus/1", 761).mask) == 5
    grey[:], grey[3, :7], grey[4, :2] = 0, 1, 2
    png(source.folder / "abacus/1.png", grey)
    assert masks.area(source.read("abacus/1", 761).mask) == 0  # a value of 2 makes it no 0–1 mask
    grey[4] = 0
    png(source.folder / "abacus/1.png", grey)
    assert masks.area(source.read("abacus/1", 761).mask) == 7


def test_a_coloured_edge_counts_by_its_luma(source: FssSource) -> None:
    for white in (1, 255):  # in both encodings: red and blue alone stay below one half, green is above
        pixels: Array = np.zeros((20, 24, 3), np.uint8)
        pixels[0, :4] = white
        pixels[1, :3, 0] = pixels[2, :3, 2] = pixels[3, :3, 1] = white
        png(source.folder / "abacus/1.png", pixels)
        rows = masks.decode(source.read("abacus/1", 761).mask).sum(axis=1)
        assert list(rows[:5]) == [4, 0, 0, 3, 0]


def test_a_sample_has_the_untouched_file_and_nothing_to_ignore(source: FssSource) -> None:
    sample = source.read("zither/10", 762)
    assert sample.jpeg == (source.folder / "zither/10.jpg").read_bytes()
    assert (sample.height, sample.width, sample.orientation, sample.ignore) == (20, 24, 1, None)
    assert (sample.image_id, sample.class_id) == ("zither/10", 762)


def test_listed_classes_are_numbered_from_760_in_sorted_order(source: FssSource) -> None:
    assert source.classes == {760: "Bus", 761: "abacus", 762: "zither"}
    names = source.class_names()
    assert len(names) == 1000
    assert names[760:763] == ("Bus", "abacus", "zither")
    assert (names[12], names[999]) == ("class 12", "class 999")


def test_pools_are_sorted_and_empty_for_classes_that_are_not_tested(source: FssSource) -> None:
    plain: Source = source
    assert plain.pools([0, 760, 763], min_pixels=1) == {0: (), 760: tuple(f"Bus/{n}" for n in TEN), 763: ()}


def test_masks_are_read_once_and_progress_counts_them(source: FssSource) -> None:
    done: list[int] = []
    with patch.object(fss_module, "read_grey", wraps=read_grey) as read:
        source.pools(range(760, 763), min_pixels=1, advance=done.append)
        source.pools(range(760, 763), min_pixels=9)
        source.unofficial()
        source.notes()
    assert read.call_count == sum(done) == 30


@pytest.mark.parametrize("place", ["fss/test.txt", "test.txt"])
def test_the_list_is_found_in_the_folder_of_splits(tmp_path: Path, place: str) -> None:
    root = fss(tmp_path / "data", ["abacus"], numbers=[1])
    folder = splits(tmp_path / "lists", ("abacus",), place=place)
    for given in (folder, folder / place):
        assert FssSource(root, splits=given).list_file == folder / place
    with pytest.raises(SourceError, match=r"there is no list of test classes .*elsewhere/fss/test\.txt or"):
        FssSource(root, splits=tmp_path / "elsewhere")


def test_without_list_the_folders_found_are_taken_and_said_so(source: FssSource) -> None:
    fss(source.folder, [".trash"], numbers=[1])
    (source.folder / "docs").mkdir()
    found = FssSource(source.folder)
    assert found.classes == source.classes
    assert found.unofficial() == ("the 3 test classes are the folders found, no list was given",)
    assert (found.record().split, source.record().split) == ("folders found", "test")


def test_more_folders_than_test_classes_need_a_list(tmp_path: Path) -> None:
    for n in range(241):
        (tmp_path / f"class{n}").mkdir()
        (tmp_path / f"class{n}/1.png").touch()
    with pytest.raises(SourceError, match="has 241 classes, the benchmark tests 240; pass --splits"):
        FssSource(tmp_path)
    (tmp_path / "class7/1.png").unlink()
    assert max(FssSource(tmp_path).classes) == 999


def test_a_list_of_more_classes_than_are_tested_is_refused(source: FssSource, tmp_path: Path) -> None:
    folder = splits(tmp_path / "all", tuple(f"class{n}" for n in range(520)))
    with pytest.raises(SourceError, match=r"test\.txt has 520 classes, the benchmark tests 240"):
        FssSource(source.folder, splits=folder)


@pytest.mark.parametrize("name", ["../abacus", "/etc", "a\tb", ".."])
def test_a_list_names_folders_and_nothing_else(source: FssSource, tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"test\.txt names '.*', expected names of folders"):
        FssSource(source.folder, splits=splits(tmp_path / "odd", ("abacus", name)))


def test_a_listed_class_without_folder_has_no_images_and_is_reported(source: FssSource, tmp_path: Path) -> None:
    found = FssSource(source.folder, splits=splits(tmp_path / "more", (*CLASSES, "chess_king")))
    assert found.classes[762] == "chess_king"
    assert found.pools([762, 763], min_pixels=1) == {762: (), 763: tuple(f"zither/{n}" for n in TEN)}
    assert found.unofficial()[1:] == found.notes() == ("test classes without a folder: 1 (chess_king)",)


def fault_missing(folder: Path) -> str:
    for number in (7, 8):
        (folder / f"abacus/{number}.jpg").unlink()
        (folder / f"abacus/{number}.png").unlink()
    return "images that are not there: 2 (abacus/7, abacus/8)"


def fault_no_mask(folder: Path) -> str:
    (folder / "abacus/7.png").unlink()
    return "images without a mask, left out: 1 (abacus/7)"


def fault_no_image(folder: Path) -> str:
    (folder / "abacus/7.jpg").unlink()
    return "masks without an image, left out: 1 (abacus/7)"


def fault_size(folder: Path) -> str:
    jpeg(folder / "abacus/7.jpg", 24, 20)
    return "masks of another size than their image, left out: 1 (abacus/7 (mask 24×20, image 20×24))"


def fault_empty(folder: Path) -> str:
    png(folder / "abacus/7.png", blob() // 2)
    return "masks without foreground, left out: 1 (abacus/7 (brightest value 127))"


@pytest.mark.parametrize("damage", [fault_missing, fault_no_mask, fault_no_image, fault_size, fault_empty])
def test_images_whose_files_do_not_go_together_are_left_out_and_reported(
    source: FssSource, damage: Callable[[Path], str]
) -> None:
    before = source.unofficial()
    reason = damage(source.folder)
    found = again(source)
    gone = {"abacus/7", "abacus/8"} if damage is fault_missing else {"abacus/7"}
    assert set(source.pools([761], min_pixels=1)[761]) - set(found.pools([761], min_pixels=1)[761]) == gone
    assert len(found.pools([760], min_pixels=1)[760]) == 10
    assert found.unofficial() == (*before, reason)
    assert found.notes() == (reason,)


def test_a_report_counts_all_and_names_the_first_few(source: FssSource) -> None:
    for number in range(1, 8):
        (source.folder / f"zither/{number}.png").unlink()
    first = ", ".join(f"zither/{number}" for number in range(1, 6))
    assert again(source).notes() == (f"images without a mask, left out: 7 ({first}, …)",)


def test_an_image_that_lies_on_its_side_fits_the_mask_drawn_upright(source: FssSource) -> None:
    jpeg(source.folder / "abacus/7.jpg", 24, 20, orientation=6)
    found = again(source)
    assert "abacus/7" in found.pools([761], min_pixels=1)[761]
    assert found.read("abacus/7", 761).orientation == 6


def test_masks_of_0_and_1_are_noted_and_no_reason_against_the_data(source: FssSource) -> None:
    before = source.unofficial()
    rgb_binary(source.folder / "abacus/2.png")
    found = again(source)
    assert found.notes() == ("masks of values 0 and 1, read as such: 1 (abacus/2)",)
    assert found.unofficial() == before


def test_files_that_are_not_numbered_1_to_10_are_nothing_to_do_with_it(source: FssSource) -> None:
    for name in ("11", "0", "01", "copy"):
        (source.folder / f"abacus/{name}.jpg").touch()
        (source.folder / f"abacus/{name}.png").touch()
    found = again(source)
    assert len(found.pools([761], min_pixels=1)[761]) == 10
    assert found.notes() == ()
    assert found.record() == source.record()


def test_whole_listed_classes_are_official_only_if_they_are_the_benchmarks(tmp_path: Path) -> None:
    benchmark = dataclasses.replace(FSS_1000, folds=((760, 761, 762),))
    root, lists = fss(tmp_path / "data", CLASSES), splits(tmp_path / "lists", CLASSES)
    source = FssSource(root, splits=lists, benchmark=benchmark)
    assert source.unofficial() == ("test.txt lists other classes than the benchmark's 3",)
    with patch.object(fss_module, "TEST_DIGEST", files.names_digest(CLASSES)):
        assert source.unofficial() == ()
        short = FssSource(root, splits=splits(tmp_path / "short", ("abacus",)), benchmark=benchmark)
        assert short.unofficial() == ("test.txt lists 1 classes, the benchmark tests 3",)


def test_the_folder_of_class_folders_may_be_one_below(tmp_path: Path) -> None:
    root = fss(tmp_path / "fewshot_data", ["abacus"], numbers=[1])
    (tmp_path / "__MACOSX/abacus").mkdir(parents=True)
    (tmp_path / "__MACOSX/abacus/._1.jpg").touch()
    assert FssSource(tmp_path).folder == FssSource(root).folder == root
    fss(tmp_path / "FSS-1000", ["abacus"], numbers=[1])
    with pytest.raises(SourceError, match=r"should hold class folders .* found several: FSS-1000, fewshot_data"):
        FssSource(tmp_path)


def test_a_folder_without_class_folders_is_refused(tmp_path: Path) -> None:
    (tmp_path / "abacus").mkdir()
    with pytest.raises(SourceError, match="should hold class folders or one folder of them, found none"):
        FssSource(tmp_path)
    with pytest.raises(SourceError, match=r"there is no folder .*nowhere"):
        FssSource(tmp_path / "nowhere")


def test_the_record_is_the_hash_of_the_listed_classes_files_and_of_the_list(tmp_path: Path) -> None:
    root = fss(tmp_path / "data", ["abacus", "other"], numbers=[1, 10])
    lists = splits(tmp_path / "lists", ("abacus",))
    record = FssSource(root, splits=lists).record()
    names = ["abacus/1.jpg", "abacus/1.png", "abacus/10.jpg", "abacus/10.png"]
    lines = "".join(f"{name} {hashlib.sha256((root / name).read_bytes()).hexdigest()}\n" for name in names)
    assert (record.kind, record.layout) == ("fss", "fss-1000")
    assert [file.name for file in record.files] == ["images and masks", "test.txt"]
    assert record.files[0].sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert record.files[0].bytes == sum((root / name).stat().st_size for name in names)
    assert record.files[1].sha256 == hashlib.sha256(b"abacus\r\n").hexdigest()


@pytest.mark.parametrize("name", ["abacus/3.png", "abacus/3.jpg"])
def test_the_record_notices_what_changes_the_pools(source: FssSource, name: str) -> None:
    before = source.record()
    (source.folder / name).unlink()
    assert again(source).record() != before
    fss(source.folder, ["other"])
    assert source.record() == before


def test_missing_names_the_images_without_file(source: FssSource) -> None:
    (source.folder / "Bus/3.jpg").unlink()
    assert source.missing(["Bus/2", "Bus/3", "abacus/1"]) == ["Bus/3"]


def test_damaged_files_are_refused_by_name(source: FssSource) -> None:
    path = source.folder / "Bus/3.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SourceError, match=r"Bus/3\.jpg is damaged|Bus/3\.jpg is not a JPEG"):
        again(source).pools([760], min_pixels=1)
    (source.folder / "abacus/3.png").write_bytes(b"GIF89a")
    with pytest.raises(SourceError, match=r"abacus/3\.png is not a PNG"):
        again(source).pools([761], min_pixels=1)
    Image.fromarray(blob().astype(np.uint16) * 257).save(source.folder / "zither/3.png")
    with pytest.raises(SourceError, match=r"zither/3\.png is a PNG of mode I;16, expected one of 1, L, LA"):
        again(source).pools([762], min_pixels=1)


def test_a_set_is_built_and_streamed_and_keeps_the_reports(source: FssSource, tmp_path: Path) -> None:
    reason = fault_size(source.folder)
    found = again(source)
    request = Request(benchmark=FSS_1000, protocol=STRICT, folds=(0,), shots=(5,), episodes=9)
    with pytest.raises(PoolError, match="237 classes have fewer than the 6 images"):
        plan_folds(found, request, tmp_path / "sets")
    request = dataclasses.replace(request, allow_missing_classes=True)
    (plan,) = plan_folds(found, request, tmp_path / "sets")
    manifest = build(plan, found).manifest
    assert reason in manifest.unofficial
    assert [pool.images for pool in manifest.classes[:4]] == [10, 9, 10, 0]
    assert manifest.classes[1].name == "abacus"
    streamed = list(stream(EpisodeSet.open(plan.path), shot=5, seed=0, transform=as_frame))
    assert {episode.query.class_id for episode in streamed} == {760, 761, 762}
    for episode in streamed:
        for frame in (episode.query, *episode.supports):
            np.testing.assert_array_equal(frame.mask, HARD)
            assert frame.ignore is None
            assert frame.image_id != "abacus/7"


@pytest.mark.real
def test_both_real_encodings_are_read(real_data: Path) -> None:
    source = FssSource(real_data / "fss")
    pools = source.pools(tuple(source.classes), min_pixels=1)
    assert source.classes == {760: "african_elephant", 761: "eiffel_tower"}
    areas = {i: masks.area(source.read(i, c).mask) for c, ids in pools.items() for i in ids}
    assert areas == {
        "african_elephant/3": 10798,
        "african_elephant/4": 6107,
        "african_elephant/5": 16165,
        "african_elephant/6": 13532,
        "african_elephant/7": 19549,
        "eiffel_tower/1": 900,
        "eiffel_tower/2": 2582,
        "eiffel_tower/3": 2590,
        "eiffel_tower/4": 2937,
        "eiffel_tower/5": 1120,
    }
    untold, missing, binary = source.notes()
    assert untold == "which classes are tested is not known; pass --splits with FSS-1000's list of test classes"
    assert missing.startswith("images that are not there: 10 (african_elephant/1, african_elephant/2, african_ele")
    assert binary == (
        "masks of values 0 and 1, read as such: 5 "
        "(eiffel_tower/1, eiffel_tower/2, eiffel_tower/3, eiffel_tower/4, eiffel_tower/5)"
    )
