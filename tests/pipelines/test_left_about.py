"""Raw data among what systems, editors and links leave about: every reader says what it says without them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Command
from raw_coco import write_coco
from raw_own import OWN, own
from raw_voc_fss import fss, indices, jpeg, sbd, voc

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import COCO_20I, FSS_1000, PASCAL_5I, Benchmark
from fssbench.pipelines.sources import Source, open_source
from fssbench.pipelines.sources.base import Part
from fssbench.pipelines.sources.description import read_description

APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X"


def pascal(folder: Path) -> Path:
    ids = [f"2007_{n:06d}" for n in range(6)]
    voc(folder, {image_id: indices({12: 40 + n, 255: 3}) for n, image_id in enumerate(ids)}, listed=ids[:4])
    sbd(folder / "SBD/cls/2008_000002.mat", indices({15: 7}))
    jpeg(folder / "JPEGImages/2008_000002.jpg", 24, 32)
    return folder


def fss_1000(folder: Path) -> Path:
    (fss(folder, ("abacus", "bus")) / "test.txt").write_text("abacus\nbus\n")
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {"pascal": pascal, "fss": fss_1000, "coco": write_coco, "folder": own}
BENCHMARKS = {"pascal": PASCAL_5I, "fss": FSS_1000, "coco": COCO_20I}


@pytest.fixture(params=MAKERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def raw(tmp_path: Path, kind: str) -> Path:
    return MAKERS[kind](tmp_path / "raw")


def opened(raw: Path, kind: str, part: Part = "test") -> Source:
    benchmark: Benchmark = BENCHMARKS.get(kind) or read_description(raw).benchmark
    return open_source(benchmark, raw, splits=raw if kind == "fss" else None, part=part)


def says(source: Source) -> tuple[object, ...]:
    """Everything that episodes are drawn and built from."""
    pools = source.pools(range(source.benchmark.n_classes), min_pixels=1)
    used = sorted({(image_id, class_id) for class_id, ids in pools.items() for image_id in ids})
    return source.record(), pools, [source.read(*one) for one in used], source.missing([i for i, _ in used])


def folders(raw: Path) -> list[Path]:
    """Every folder with images, masks, lists or annotations."""
    return sorted({path.parent for path in raw.rglob("*") if path.is_file()})


def apple_doubles(folder: Path) -> None:
    for path in [path for path in folder.iterdir() if path.is_file()]:
        (folder / f"._{path.name}").write_bytes(APPLE_DOUBLE)


def checkpoints(folder: Path) -> None:
    for path in [path for path in folder.iterdir() if path.is_file()]:
        (folder / ".ipynb_checkpoints").mkdir(exist_ok=True)
        shutil.copy(path, folder / ".ipynb_checkpoints" / f"{path.stem}-checkpoint{path.suffix}")
        shutil.copy(path, folder / ".ipynb_checkpoints" / path.name)


def thumbnails(folder: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini", ".directory"):
        (folder / name).write_bytes(b"\x00")


def backups(folder: Path) -> None:
    for path in [path for path in folder.iterdir() if path.is_file()]:
        for name in (f"{path.name}~", f"#{path.name}#", f".{path.name}.swp", f"{path.name}.bak"):
            shutil.copy(path, folder / name)


def archive_of_a_mac(folder: Path) -> None:
    (folder / "__MACOSX").mkdir()
    for path in [path for path in folder.iterdir() if path.is_file()]:
        (folder / "__MACOSX" / path.name).write_bytes(APPLE_DOUBLE)


def circle(folder: Path) -> None:
    (folder / "all").symlink_to(folder)


def no_files(folder: Path) -> None:
    for suffix in (".jpg", ".png", ".mat"):
        (folder / f"1000{suffix}").symlink_to("nowhere")
        (folder / f"2000{suffix}").mkdir()
        os.mkfifo(folder / f"3000{suffix}")


LEFT = [apple_doubles, checkpoints, thumbnails, backups, archive_of_a_mac, circle, no_files]


@pytest.mark.parametrize("leave", LEFT)
def test_what_is_left_about_changes_nothing(raw: Path, kind: str, leave: Callable[[Path], None]) -> None:
    before = says(opened(raw, kind))
    for folder in folders(raw):
        leave(folder)
    assert says(opened(raw, kind)) == before


@pytest.mark.parametrize("leave", LEFT)
def test_nor_does_it_change_what_is_trained_on(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    raw = pascal(tmp_path)
    before = says(opened(raw, "pascal", "training"))
    for folder in folders(raw):
        leave(folder)
    assert says(opened(raw, "pascal", "training")) == before


@pytest.mark.parametrize("change", [str.upper, lambda suffix: suffix.replace("jpg", "jpeg"), str.title])
def test_suffixes_in_capitals_are_the_same(raw: Path, kind: str, change: Callable[[str], str]) -> None:
    before = says(opened(raw, kind))[1:]
    for path in list(raw.rglob("*")):
        if path.suffix in (".jpg", ".png", ".mat"):
            path.rename(path.with_suffix(change(path.suffix)))
    assert says(opened(raw, kind))[1:] == before


def test_a_folder_of_a_data_set_may_be_a_link(raw: Path, kind: str, tmp_path: Path) -> None:
    before = says(opened(raw, kind))
    for folder in [path for path in raw.iterdir() if path.is_dir()]:
        folder.rename(tmp_path / folder.name)
        folder.symlink_to(tmp_path / folder.name)
    assert says(opened(raw, kind)) == before


def marked(path: Path) -> None:
    """Save a text as an editor of Windows does."""
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))


def test_texts_may_begin_with_a_byte_order_mark_and_have_windows_line_ends(raw: Path, kind: str) -> None:
    before = says(opened(raw, kind))[1:]
    for path in [path for path in raw.rglob("*") if path.suffix in (".txt", ".json", ".toml")]:
        marked(path)
    assert says(opened(raw, kind))[1:] == before


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("nowhere")])
def test_a_text_that_is_no_file_is_refused_and_nobody_waits_for_it(
    raw: Path, kind: str, make: Callable[[Path], object]
) -> None:
    for path in [path for path in raw.rglob("*") if path.suffix in (".txt", ".json", ".toml")]:
        path.unlink()
        make(path)
    with pytest.raises(SourceError):
        opened(raw, kind)


@pytest.mark.parametrize("name", ["test.txt", "masks/plant 1.png", "images/plant 1.jpg"])
def test_a_named_file_that_is_a_pipe_is_refused_and_nobody_waits_for_it(
    fssbench: Command, tmp_path: Path, name: str
) -> None:
    raw = own(tmp_path / "raw")
    (raw / "benchmark.toml").write_text(f'test = "test.txt"\n{OWN}')
    (raw / "test.txt").write_text("".join(f"plant {n}\n" for n in range(9)))
    (raw / name).unlink()
    os.mkfifo(raw / name)
    ran = fssbench("prepare", "folder", "-s", raw, "-o", tmp_path / "sets", "-n", 50)
    assert ran.code == 2
    assert name.rpartition("/")[2].removesuffix(".jpg").removesuffix(".png") in ran.error


def test_prepare_and_doctor_tell_what_was_left_out(fssbench: Command, tmp_path: Path) -> None:
    raw = own(tmp_path / "raw")
    checkpoints(raw / "images")
    (raw / "masks/plant 1.png").unlink()
    (raw / "masks/plant 1.png").symlink_to("nowhere")
    told = "2 entries left out: images/.ipynb_checkpoints (hidden), masks/plant 1.png (a dead link)"
    ran = fssbench("prepare", "folder", "-s", raw, "-o", tmp_path / "sets", "-n", 5)
    assert ran.code == 0
    assert f"note: {told}" in ran.err
    assert told in fssbench("doctor", raw).out


def test_masks_of_another_format_are_named_where_none_is_found(fssbench: Command, tmp_path: Path) -> None:
    raw = own(tmp_path / "raw")
    for path in list((raw / "masks").iterdir()):
        path.rename(path.with_suffix(".jpg"))
    for command in (("prepare", "folder", "-s", raw, "-o", tmp_path / "sets"), ("doctor", raw)):
        ran = fssbench(*command)
        assert ran.code == 2
        assert "masks holds no file that ends in .png" in ran.error
        assert "plant 0.jpg is none" in ran.error


def test_a_folder_in_a_description_may_lie_below_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    raw = own(tmp_path / "raw")
    before = says(opened(raw, "folder"))
    (raw / "images").rename(tmp_path / "elsewhere")
    (raw / "benchmark.toml").write_text(f'images = "~/elsewhere"\n{OWN}')
    assert says(opened(raw, "folder"))[1:] == before[1:]
