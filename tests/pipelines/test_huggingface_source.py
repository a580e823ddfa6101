"""Hugging Face datasets as sources: written as Parquet here, loaded by the call that loads the hub's too."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from command import Command
from PIL import Image
from raw_coco import jpeg
from raw_voc_fss import Array, indices, png

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats import masks
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.doctor.examine import examine
from fssbench.pipelines.sources.huggingface import HuggingFaceSource

IMAGE = datasets.Image()
PLAIN = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    yield
    datasets.enable_progress_bars()


def file(pixels: Array) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def row(image_id: object, mask: Array, *, picture: bytes | None = None) -> dict[str, Any]:
    height, width = mask.shape
    return {
        "image_id": image_id,
        "image": {"bytes": picture or jpeg(width, height), "path": None},
        "mask": {"bytes": file(mask), "path": None},
    }


def write(path: Path, rows: list[dict[str, Any]], *, cell: Any = IMAGE, names: dict[str, str] | None = None) -> Path:
    """A Parquet file of rows, its columns renamed by ``names``."""
    names = names or {}
    ids = datasets.Value("int64" if isinstance(rows[0]["image_id"], int) else "string")
    features = datasets.Features({"image_id": ids, "image": cell, "mask": cell})
    table = datasets.Dataset.from_list(rows, features=features)
    path.parent.mkdir(parents=True, exist_ok=True)
    table.rename_columns(names).to_parquet(path)
    return path


@pytest.fixture
def pascal(tmp_path: Path) -> Path:
    """Twenty classes with three images each; pixels of every mask: 50 + n of its class, 4 to ignore."""
    rows = [row(f"img {n}.jpg", indices({n % 20 + 1: 50 + n, 255: 4})) for n in range(60)]
    write(tmp_path / "data/validation-00000.parquet", rows)
    write(tmp_path / "data/train-00000.parquet", rows[:1])
    return tmp_path / "data"


def open_hf(path: Path | str, **options: Any) -> HuggingFaceSource:
    source = open_source(PASCAL_5I, f"hf:{path}", **options)
    assert isinstance(source, HuggingFaceSource)
    return source


def test_rows_are_images_with_masks_of_class_indices(pascal: Path) -> None:
    source = open_hf(pascal)
    assert source.split == "validation"
    assert source.pools([0, 1], min_pixels=60) == {0: ("img 20", "img 40"), 1: ("img 21", "img 41")}
    sample = source.read("img 20", 0)
    assert (masks.decode(sample.mask) == (indices({1: 70}) == 1)).all()
    assert sample.ignore is not None
    assert masks.area(sample.ignore) == 4
    assert sample.jpeg == jpeg(32, 24)
    assert sample.n_classes == 1


def test_the_split_named_is_read_and_another_refused(pascal: Path) -> None:
    assert open_hf(f"{pascal}:train").pools([0], min_pixels=1) == {0: ("img 0",)}
    with pytest.raises(SourceError, match=r"has the splits .*, not 'dev'; pass one as hf:"):
        open_hf(f"{pascal}:dev")


def test_one_file_with_any_split_is_enough(tmp_path: Path) -> None:
    path = write(tmp_path / "some.parquet", [row(7, indices({3: 9}))])
    assert open_hf(path).pools([2], min_pixels=1) == {2: ("000000000007",)}


@pytest.mark.parametrize("cell", [PLAIN, datasets.Value("binary")], ids=["struct", "binary"])
def test_files_in_columns_that_are_not_declared_as_images_are_read(tmp_path: Path, cell: Any) -> None:
    rows = [row("a", indices({3: 9}))]
    if cell is not PLAIN:
        rows = [{k: v["bytes"] if isinstance(v, dict) else v for k, v in one.items()} for one in rows]
    sample = open_hf(write(tmp_path / "a.parquet", rows, cell=cell)).read("a", 2)
    assert masks.area(sample.mask) == 9


def test_pngs_are_images_too(tmp_path: Path) -> None:
    picture = file(np.zeros((24, 32, 3), np.uint8))
    path = write(tmp_path / "a.parquet", [row("a", indices({3: 9}), picture=picture)])
    assert open_hf(path).read("a", 2).jpeg == picture


def test_columns_of_any_name_can_be_given(tmp_path: Path) -> None:
    names = {"image_id": "key", "image": "photo", "mask": "truth"}
    path = write(tmp_path / "a.parquet", [row("a", indices({3: 9}))], names=names)
    with pytest.raises(SourceError, match="the columns key, photo, truth, none of which is known as its image; pass"):
        open_hf(path)
    source = open_hf(path, columns={"image": "photo", "mask": "truth"})
    assert source.pools([2], min_pixels=1) == {2: ("000000",)}  # rows are numbered
    source = open_hf(path, columns={"image": "photo", "mask": "truth", "id": "key"})
    assert source.pools([2], min_pixels=1) == {2: ("a",)}
    with pytest.raises(SourceError, match="the columns key, photo, truth, not depth"):
        open_hf(path, columns={"image": "depth"})
    with pytest.raises(UsageError, match="there is no 'photo' to set; --column sets image, mask, id"):
        open_hf(path, columns={"photo": "image"})


def test_ids_that_do_not_tell_images_apart_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [row("a", indices({3: 9}))] * 2)
    with pytest.raises(SourceError, match="row 1 has the id 'a', as row 0 has; pass --column id="):
        open_hf(path).pools([2], min_pixels=1)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        *(("string", value) for value in (None, "", ".", "/", "a\nb")),
        *(("int64", -1), ("int64", None), ("float64", 1.5), ("bool", True)),
        *((["string"], ["a"]), ({"name": datasets.Value("string")}, {"name": "a"})),
    ],
)
def test_an_id_that_is_neither_name_nor_number_is_refused_with_its_row(tmp_path: Path, kind: Any, value: Any) -> None:
    feature = [datasets.Value("string")] if isinstance(kind, list) else kind
    features = datasets.Features(
        {"image_id": datasets.Value(kind) if isinstance(kind, str) else feature, "image": IMAGE, "mask": IMAGE}
    )
    path = tmp_path / "a.parquet"
    datasets.Dataset.from_list([row(value, indices({3: 9}))], features=features).to_parquet(path)
    with pytest.raises(SourceError, match=r"row 0 has the id .*, expected a name or a number from 0 on; pass --column"):
        open_hf(path).pools([2], min_pixels=1)


def test_cells_that_are_no_masks_are_refused_with_their_row(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [row("a", indices({30: 9}))])
    with pytest.raises(SourceError, match=r"row 0 \(a\) has pixels of value 30, expected 0 to 20 and 255"):
        open_hf(path).pools([2], min_pixels=1)
    colours = np.zeros((4, 5, 3), np.uint8)
    path = write(tmp_path / "b.parquet", [row("a", indices({})) | {"mask": {"bytes": file(colours), "path": None}}])
    with pytest.raises(SourceError, match=r"row 0 \(a\) is a PNG of mode RGB, expected class indices"):
        open_hf(path).pools([2], min_pixels=1)
    path = write(tmp_path / "c.parquet", [row("a", indices({})) | {"mask": None}])
    with pytest.raises(SourceError, match=r"row 0 \(a\): its mask is NoneType, expected an image file"):
        open_hf(path).pools([2], min_pixels=1)


def test_what_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="'hf:' names no dataset"):
        open_hf("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=r"the dataset .*empty cannot be loaded: .*; name a dataset of the hub"):
        open_hf(tmp_path / "empty")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(SourceError, match=r"the dataset .*bad\.parquet cannot be loaded"):
        open_hf(tmp_path / "bad.parquet")


def test_options_that_mean_nothing_are_refused(pascal: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot hold the classes of FSS-1000"):
        open_source(FSS_1000, f"hf:{pascal}")
    with pytest.raises(UsageError, match="comes with masks, not with annotations"):
        open_source(COCO_20I, f"hf:{pascal}", crowds="paint")
    with pytest.raises(UsageError, match="a folder has no columns; leave out --column"):
        open_source(COCO_20I, tmp_path, columns={"id": "key"})


def test_the_record_is_of_masks_and_ids_and_names_no_path(pascal: Path, tmp_path: Path) -> None:
    record = open_hf(pascal).record()
    assert str(tmp_path) not in record.model_dump_json()
    rows = [row(f"img {n}.jpg", indices({n % 20 + 1: 50 + n, 255: 4})) for n in reversed(range(60))]
    write(tmp_path / "again/val.parquet", rows)
    assert open_hf(tmp_path / "again").record().files == record.files  # whatever the order of rows
    rows[0] = row("img 59.jpg", indices({1: 1}))
    write(tmp_path / "other/val.parquet", rows)
    assert open_hf(tmp_path / "other").record().files != record.files


def test_a_set_is_built_examined_and_never_official(fssbench: Command, pascal: Path, tmp_path: Path) -> None:
    arguments = ("prepare", "pascal", "-s", f"hf:{pascal}", "-o", tmp_path / "sets", "-n", 10, "--min-pixels", 1)
    ran = fssbench(*arguments, "-f", 1, "--shots", 2)
    assert ran.code == 0, ran.err
    assert "are those of a Hugging Face dataset, not PASCAL-5i's own files" in ran.err
    assert "note: columns read: image = image, mask = mask, id = image_id" in ran.err
    assert fssbench("verify", tmp_path / "sets").code == 0
    manifest = EpisodeSet.open(tmp_path / "sets/pascal-5i/strict/fold1").manifest
    assert (manifest.mask_policy.origin, manifest.ignore_label) == ("ready-made", 255)
    assert "--column must be role=name, got 'mask'" in fssbench(*arguments, "--column", "mask").error
    ran = fssbench("doctor", f"hf:{pascal}", "-b", "pascal", "--column", "mask=mask")
    assert ran.code == 0
    assert "test images" in ran.out
    assert (
        "a Hugging Face dataset does not say which benchmark its classes are of"
        in fssbench("doctor", f"hf:{pascal}").error
    )


def test_the_doctor_compares_a_dataset_with_ready_made_masks(pascal: Path, tmp_path: Path) -> None:
    png(tmp_path / "ready/img 20.png", indices({1: 70, 255: 4}))
    png(tmp_path / "ready/img 21.png", indices({2: 60}))
    comparison = examine(open_hf(pascal), min_pixels=1, masks=tmp_path / "ready").comparison
    assert comparison is not None
    assert (comparison.images, comparison.equal) == (2, 1)
