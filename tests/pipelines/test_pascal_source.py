"""VOC 2012 folders, read for PASCAL-5i."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from unittest.mock import patch

import drawn_voc
import numpy as np
import pytest
from PIL import Image
from raw_voc_fss import Array, indices, jpeg, png, sbd, voc
from scipy.io import savemat

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import COCO_20I_TO_PASCAL, PASCAL_5I
from fssbench.episodes.protocols import STRICT
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import Source, files, pascal, voc_masks
from fssbench.pipelines.sources.mask_png import MaskValues, read_indices
from fssbench.pipelines.sources.pascal import PascalSource

# pycocotools 2.0.11 under numpy 2, whenever it decodes a mask

DOG, PERSON = 11, 14
A, B, C = "2007_000033", "2007_000061", "2011_003276"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images: 40 dog and 10 person pixels with a border; 39 dog pixels; no object at all."""
    contents = {B: {12: 39, 255: 4}, A: {12: 40, 15: 10, 255: 30}, C: {255: 2}}
    return voc(tmp_path / "VOC2012", {image_id: indices(values) for image_id, values in contents.items()})


@pytest.mark.parametrize("place", [".", "VOC2012", "VOCdevkit/VOC2012"])
def test_the_devkit_is_found_at_and_below_the_folder(tmp_path: Path, place: str) -> None:
    voc(tmp_path / place, {A: indices({12: 5})})
    assert PascalSource(tmp_path).pools([DOG], min_pixels=1) == {DOG: (A,)}


def test_a_folder_without_images_is_refused_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no JPEGImages, nor do VOC2012 and VOCdevkit/VOC2012 in it"):
        PascalSource(tmp_path)
    with pytest.raises(SourceError, match=r"there is no folder .*nowhere"):
        PascalSource(tmp_path / "nowhere")


def test_a_pool_has_the_images_with_enough_mask_pixels_sorted(folder: Path) -> None:
    source: Source = PascalSource(folder)
    assert source.pools([DOG, PERSON], min_pixels=39) == {DOG: (A, B), PERSON: ()}
    assert source.pools([DOG, PERSON], min_pixels=40) == {DOG: (A,), PERSON: ()}
    assert source.pools([DOG, PERSON], min_pixels=10) == {DOG: (A, B), PERSON: (A,)}


def test_no_least_size_takes_no_image_without_the_class(folder: Path) -> None:
    assert PascalSource(folder).pools([DOG, PERSON], min_pixels=0) == {DOG: (A, B), PERSON: (A,)}


def test_only_listed_images_are_used(tmp_path: Path) -> None:
    both = {image_id: indices({12: 9}) for image_id in (A, B)}
    assert PascalSource(voc(tmp_path, both, listed=[B])).pools([DOG], min_pixels=1) == {DOG: (B,)}


def test_masks_are_read_once_and_progress_counts_them(folder: Path) -> None:
    source, done = PascalSource(folder), list[int]()
    with patch.object(voc_masks, "read_indices", wraps=read_indices) as read:
        source.pools(range(20), min_pixels=1, advance=done.append)
        source.pools(range(20), min_pixels=9)
        source.unofficial()
    assert read.call_count == sum(done) == 3


def test_a_sample_has_the_class_mask_the_border_and_the_untouched_file(folder: Path) -> None:
    sample = PascalSource(folder).read(A, DOG)
    stored = indices({12: 40, 15: 10, 255: 30})
    np.testing.assert_array_equal(masks.decode(sample.mask), stored == 12)
    assert sample.ignore is not None
    np.testing.assert_array_equal(masks.decode(sample.ignore), stored == 255)
    assert (sample.height, sample.width, sample.orientation) == (24, 32, 1)
    assert sample.jpeg == (folder / f"JPEGImages/{A}.jpg").read_bytes()
    assert (sample.image_id, sample.class_id) == (A, DOG)


def test_an_image_without_border_has_no_region_to_ignore(tmp_path: Path) -> None:
    assert PascalSource(voc(tmp_path, {A: indices({12: 5})})).read(A, DOG).ignore is None


def test_a_grey_mask_says_the_same_as_a_palette_mask(tmp_path: Path) -> None:
    content = {A: indices({1: 7, 20: 11, 255: 13}, start=17)}
    palette = PascalSource(voc(tmp_path / "palette", content, mode="P"))
    grey = PascalSource(voc(tmp_path / "grey", content, mode="L"))
    for class_id in (0, 19):
        assert palette.read(A, class_id) == grey.read(A, class_id)
    assert palette.pools(range(20), min_pixels=1) == grey.pools(range(20), min_pixels=1)


def test_the_devkits_own_masks_come_before_merged_ones_and_those_before_sbds(folder: Path) -> None:
    png(folder / f"SegmentationClass/{A}.png", indices({12: 3, 255: 1}), mode="P")
    for image_id in (A, B, C):
        sbd(folder / f"SBD/cls/{image_id}.mat", indices({12: 5}))
    (folder / f"SegmentationClassAug/{C}.png").unlink()
    source = PascalSource(folder)
    assert [masks.area(source.read(i, DOG).mask) for i in (A, B, C)] == [3, 39, 5]
    names = [file.name for file in source.record().files]
    assert names == ["SBD cls", "SegmentationClass", "SegmentationClassAug", "val.txt"]


@pytest.mark.parametrize(
    "place",
    ["cls", "SBD/cls", "benchmark_RELEASE/dataset/cls", "VOCdevkit/VOC2012/cls", "VOCdevkit/SBD/dataset/cls"],
)
def test_sbd_is_found_beside_below_and_in_the_devkit(tmp_path: Path, place: str) -> None:
    voc(tmp_path / "VOCdevkit/VOC2012", {A: indices({12: 5, 255: 1})})
    sbd(tmp_path / place / f"{B}.mat", indices({15: 7}))
    source = PascalSource(tmp_path)
    assert source.masks[B] == tmp_path / place / f"{B}.mat"
    assert source.areas(B) == {PERSON: 7}
    assert source.pools([PERSON], min_pixels=1) == {PERSON: ()}  # not on the list


def test_an_image_off_the_list_can_be_read_with_sbds_mask(folder: Path) -> None:
    extra = "2008_000002"
    stored = indices({12: 9}, start=40)
    jpeg(folder / f"JPEGImages/{extra}.jpg", *stored.shape)
    sbd(folder / f"SBD/cls/{extra}.mat", stored)
    sample = PascalSource(folder).read(extra, DOG)
    np.testing.assert_array_equal(masks.decode(sample.mask), stored == 12)
    assert sample.ignore is None


def test_a_damaged_or_other_matlab_file_is_refused_with_its_name(folder: Path) -> None:
    path = folder / "SBD/cls/2008_000002.mat"
    sbd(path, indices({12: 9}))
    whole = path.read_bytes()
    contents = [b"", b"no matlab", whole[:100], whole[: len(whole) // 2]]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(SourceError, match=r"2008_000002\.mat is not a mask of SBD"):
            PascalSource(folder).areas("2008_000002")
    savemat(path, {"GTinst": np.zeros(3)})
    with pytest.raises(SourceError, match=r"2008_000002\.mat is not a mask of SBD.*of SBD's folders cls"):
        PascalSource(folder).areas("2008_000002")
    savemat(path, {"GTcls": {"Segmentation": np.zeros((4, 5))}})
    with pytest.raises(SourceError, match=r"GTcls\.Segmentation is float64 of 2 dimensions, expected uint8 of 2"):
        PascalSource(folder).areas("2008_000002")


def test_listed_images_without_mask_are_refused_with_their_number_and_the_first(tmp_path: Path) -> None:
    ids = [f"2007_00000{n}" for n in range(8)]
    folder = voc(tmp_path, {image_id: indices({12: 5}) for image_id in ids})
    for image_id in ids[1:]:
        (folder / f"SegmentationClassAug/{image_id}.png").unlink()
    first = "2007_000001, 2007_000002, 2007_000003, 2007_000004, 2007_000005, …"
    for use in (PascalSource.record, lambda source: source.pools([0], min_pixels=1)):
        with pytest.raises(SourceError, match=f"7 of the 8 images in .* have no mask in .*: {first}"):
            use(PascalSource(folder))


@pytest.mark.parametrize("value", [21, 254])
def test_values_that_are_no_class_are_refused_with_file_and_value(tmp_path: Path, value: int) -> None:
    source = PascalSource(voc(tmp_path, {A: indices({20: 5, value: 1, 255: 1})}))
    message = f"{A}.png has pixels of value {value}, expected 0 to 20 and 255"
    with pytest.raises(SourceError, match=message):
        source.pools([DOG], min_pixels=1)
    with pytest.raises(SourceError, match=message):
        source.read(A, DOG)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1"])
def test_masks_of_colours_are_refused(folder: Path, mode: str) -> None:
    png(folder / f"SegmentationClassAug/{B}.png", indices({12: 9}), mode=mode)
    with pytest.raises(SourceError, match=f"{B}.png is a PNG of mode {mode}, expected class indices"):
        PascalSource(folder).pools([DOG], min_pixels=1)


def test_image_and_mask_of_different_size_are_refused_with_both_sizes(folder: Path) -> None:
    jpeg(folder / f"JPEGImages/{A}.jpg", 24, 33)
    with pytest.raises(SourceError, match=f"{A}.jpg is 33×24 pixels, its annotation says 32×24"):
        PascalSource(folder).read(A, DOG)


def test_an_image_that_lies_on_its_side_is_turned_as_its_mask_was_drawn(folder: Path) -> None:
    jpeg(folder / f"JPEGImages/{A}.jpg", 32, 24, orientation=6)
    sample = PascalSource(folder).read(A, DOG)
    assert (sample.height, sample.width, sample.orientation) == (24, 32, 6)


def test_missing_names_the_images_without_file(folder: Path) -> None:
    (folder / f"JPEGImages/{B}.jpg").unlink()
    assert PascalSource(folder).missing([A, B, C]) == [B]
    with pytest.raises(SourceError, match=f"{B}.jpg cannot be read"):
        PascalSource(folder).read(B, DOG)


def test_the_record_is_the_hash_of_the_masks_and_of_the_list(folder: Path) -> None:
    record = PascalSource(folder).record()
    contents = {i: (folder / f"SegmentationClassAug/{i}.png").read_bytes() for i in sorted((A, B, C))}
    lines = "".join(f"{i} {hashlib.sha256(data).hexdigest()}\n" for i, data in contents.items())
    masks_file, list_file = record.files
    assert (record.kind, record.layout, record.split) == ("pascal", "voc-2012", "val")
    assert masks_file.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert masks_file.bytes == sum(map(len, contents.values()))
    assert (list_file.name, list_file.bytes) == ("val.txt", 36)
    assert list_file.sha256 == hashlib.sha256(f"{B}\n{A}\n{C}\n".encode()).hexdigest()


def test_the_record_notices_a_changed_mask_and_reads_no_pixels(folder: Path) -> None:
    before = PascalSource(folder).record()
    (folder / f"SegmentationClassAug/{C}.png").write_bytes(b"not a PNG")
    after = PascalSource(folder).record()
    assert before.files[0] != after.files[0]
    assert before.files[1] == after.files[1]


def test_a_list_of_another_length_or_of_other_images_is_not_official(folder: Path) -> None:
    assert PascalSource(folder).unofficial() == ("val.txt lists 3 images, VOC 2012's has 1,449",)
    with patch.object(pascal, "VAL_IMAGES", 3):
        assert PascalSource(folder).unofficial() == ("val.txt lists other images than VOC 2012's validation list",)
        with patch.object(pascal, "VAL_DIGEST", files.names_digest([A, B, C])):
            assert PascalSource(folder).unofficial() == ()


def test_masks_without_border_are_not_vocs_own(folder: Path) -> None:
    png(folder / f"SegmentationClassAug/{B}.png", indices({12: 39}), mode="P")
    reason = f"masks without VOC's border of 255, so not VOC's own: 1 ({B})"
    assert PascalSource(folder).unofficial()[1:] == (reason,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty, expected one name per line"),
        (b"2007_000033\n2007_000061\n2007_000033\n", "names '2007_000033' twice"),
        (b"2007_000033\n000005\n", "has the line '000005', expected an image id such as"),
        (
            b"/JPEGImages/2007_000033.jpg /SegmentationClassAug/2007_000033.png\n",
            "expected an image id such as",
        ),
        (b"\xff\xd8\xff", "is not a text file"),
    ],
)
def test_a_damaged_list_is_refused(folder: Path, content: bytes, message: str) -> None:
    (folder / "ImageSets/Segmentation/val.txt").write_bytes(content)
    with pytest.raises(SourceError, match=f"val.txt .*{message}"):
        PascalSource(folder)


def test_windows_line_ends_and_a_byte_order_mark_are_read_over(folder: Path) -> None:
    (folder / "ImageSets/Segmentation/val.txt").write_bytes(f"\ufeff{A}\r\n{B}\r\n\r\n".encode())
    assert PascalSource(folder).image_ids == (A, B)


def test_an_absent_list_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "ImageSets")
    with pytest.raises(SourceError, match=r"there is no .*ImageSets/Segmentation/val\.txt"):
        PascalSource(folder)


def test_a_mask_cut_off_anywhere_is_refused_or_read_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    stored: Array = rng.integers(0, 21, (9, 11), np.uint8)
    path, meant = tmp_path / "mask.png", MaskValues.of_classes(20, ignore_label=255)
    png(path, stored, mode="P")
    whole, refused = path.read_bytes(), 0
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        try:
            np.testing.assert_array_equal(read_indices(path, meant)[0], stored)
        except SourceError:
            refused += 1
    assert refused > 0.9 * len(whole)  # only cuts behind the pixels do no harm


def test_class_names_are_vocs(folder: Path) -> None:
    names = PascalSource(folder).class_names()
    assert (len(names), names[0], names[DOG], names[19]) == (20, "aeroplane", "dog", "tvmonitor")


def test_a_set_is_built_and_streamed_with_its_border(tmp_path: Path) -> None:
    content = {
        f"2008_00{class_id:02d}{n:02d}": indices({class_id + 1: 30 + n, 255: 6}, start=n)
        for class_id in range(5)
        for n in range(3)
    }
    source = PascalSource(voc(tmp_path / "raw", content))
    request = Request(benchmark=PASCAL_5I, protocol=STRICT, folds=(0,), shots=(2,), episodes=10, min_pixels=1)
    (plan,) = plan_folds(source, request, tmp_path / "sets")
    manifest = build(plan, source).manifest
    assert manifest.ignore_label == 255
    assert manifest.unofficial[0] == "val.txt lists 15 images, VOC 2012's has 1,449"
    streamed = list(stream(EpisodeSet.open(plan.path), shot=2, seed=0, transform=as_frame))
    assert len(streamed) == 10
    for episode in streamed:
        for frame in (episode.query, *episode.supports):
            n = int(frame.image_id[-2:])
            assert frame.ignore is not None
            np.testing.assert_array_equal(frame.mask, indices({1: 30 + n}, start=n).astype(bool))
            np.testing.assert_array_equal(frame.ignore, indices({1: 6}, start=30 + 2 * n).astype(bool))


@pytest.mark.real
def test_the_real_images_show_15_of_20_classes(real_data: Path) -> None:
    source = PascalSource(real_data / "pascal")
    pools = source.pools(range(20), min_pixels=1)
    assert [class_id for class_id, ids in pools.items() if not ids] == [3, 7, 10, 12, 15]
    assert sum(map(len, pools.values())) == 36
    assert source.missing(source.image_ids) == []
    for class_id, ids in pools.items():
        for image_id in ids:
            sample = source.read(image_id, class_id)
            path = source.folder / f"SegmentationClassAug/{image_id}.png"
            with Image.open(path) as image:
                stored = np.asarray(image)
            np.testing.assert_array_equal(masks.decode(sample.mask), stored == class_id + 1)
            assert (sample.ignore is not None) == bool((stored == 255).any())


def test_the_validation_masks_give_the_published_numbers_of_images(voc_validation: Path) -> None:
    source = PascalSource(voc_validation)
    assert source.unofficial() == ()
    for least, expected in ((1, [440, 514, 804, 390]), (2_048, [365, 467, 734, 357])):
        pools = source.pools(range(20), min_pixels=least)
        assert [sum(len(pools[c]) for c in fold) for fold in PASCAL_5I.folds] == expected
    # The last pools also serve the shift from COCO, whose folds deal the same classes otherwise.
    assert [sum(len(pools[c]) for c in fold) for fold in COCO_20I_TO_PASCAL.folds] == [836, 299, 456, 332]


@pytest.mark.parametrize("voc_validation", [pytest.param("real", marks=pytest.mark.real)], indirect=True)
def test_the_stored_numbers_of_pixels_are_those_of_the_masks(voc_validation: Path) -> None:
    """What stands in ``golden/lists`` can be derived again from a user's copy."""
    assert drawn_voc.encode(voc_validation).equals(drawn_voc.stored())
