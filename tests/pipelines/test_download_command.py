"""``prepare --download`` and the catalogue behind it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
from command import Command
from downloads import left, zipped
from file_server import FileServer, Manner
from raw_coco import content, polygon, write_coco

from fssbench.base.errors import SourceError
from fssbench.pipelines.sources.published_files import published_digests
from fssbench.pipelines.transport.download import read_catalogue


def test_the_catalogue_knows_every_benchmark_and_every_list_that_is_read() -> None:
    from fssbench.episodes.benchmarks import BENCHMARKS
    from fssbench.pipelines.sources.hsnet_splits import SPLITS

    catalogue = read_catalogue()
    assert set(catalogue.raw) == {one.raw for one in BENCHMARKS if one.published and one.rules is None}
    for benchmark in BENCHMARKS:
        if benchmark.alias in SPLITS:
            names = {f"{benchmark.alias}/{SPLITS[benchmark.alias].format(fold=f)}" for f in range(len(benchmark.folds))}
            assert {file.name for file in catalogue.splits["hsnet"][benchmark.alias]} == names


def test_the_lists_have_the_digests_that_prepare_compares_with() -> None:
    for file in (file for files in read_catalogue().splits["hsnet"].values() for file in files):
        assert file.sha256 == published_digests("hsnet")[file.name]
        assert file.url is not None
        assert file.url.endswith(f"/6b1bc12b3ff9f3950f49c55ab6f089e8d9e0d191/data/splits/{file.name}")


def test_the_lists_have_the_published_sizes(published_splits: Path) -> None:
    for file in (file for files in read_catalogue().splits["hsnet"].values() for file in files):
        data = (published_splits / file.name).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)


def test_whatever_a_program_can_fetch_is_pinned() -> None:
    catalogue = read_catalogue()
    groups = [*catalogue.raw.values(), *catalogue.splits["hsnet"].values()]
    for file in (file for group in groups for file in group):
        assert file.by_hand or (file.bytes and (file.sha256 or file.md5)), file.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[raw.coco]", "is not TOML: "),
        ('[[raw.coco]]\nname = "a"\nurl = "ftp://x/a"', r"raw\.coco\.0\.url: String should match pattern"),
        ('[[raw.coco]]\nname = "a"', "'a' needs either url or by_hand"),
        ('[[raw.coco]]\nname = "../a"\nurl = "http://x/a"', r"raw\.coco\.0\.name: .* relative path without '\.\.'"),
        ('[[raw.coco]]\nname = "/a"\nurl = "http://x/a"', "relative path without"),
        ('[[raw.coco]]\nname = "a.rar"\nurl = "http://x/a"\nthere = ["a"]', "must be the name of an archive"),
        ('[[raw.coco]]\nname = "a"\nby_hand = "http://x/a"', "is fetched by hand and needs there"),
        ('[[raw.coco]]\nname = "a"\nurl = "http://x/a"\nsize = 3', r"raw\.coco\.0\.size: Extra inputs"),
        ('[[raw.coco]]\nname = "."\nurl = "http://x/a"', "is not a name of a file"),
    ],
)
def test_a_catalogue_that_is_wrong_is_told_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(SourceError, match=f"the catalogue .*mine.toml.*{message}"):
        read_catalogue(path)


@pytest.fixture
def mirror(server: FileServer, tmp_path: Path) -> Path:
    """The catalogue of a mirror that has a small COCO: fold 0's classes."""
    data = content(tuple(range(0, 80, 4)))
    for image in data["images"]:
        image |= {"width": 64, "height": 56}
    for annotation in data["annotations"]:
        annotation["segmentation"] = [polygon(4, 2, 56, 50)]
    raw = write_coco(tmp_path / "mirror", data)
    lines = []
    for name, there in (("annotations", "annotations/instances_val2014.json"), ("val2014", "val2014")):
        members = {str(p.relative_to(raw)): p.read_bytes() for p in sorted((raw / name).iterdir())}
        path = zipped(tmp_path / "made.zip", members)
        server.files[f"{name}.zip"] = archive = path.read_bytes()
        lines += ["[[raw.coco]]", f'name = "{name}.zip"', f'url = "{server.url(name)}.zip"', f"bytes = {len(archive)}"]
        lines += [f'sha256 = "{hashlib.sha256(archive).hexdigest()}"', f'there = ["{there}"]']
    shutil.rmtree(raw)
    path = tmp_path / "mirror.toml"
    path.write_text("\n".join(lines))
    return path


PREPARE = ("prepare", "coco", "--fold", 0, "--episodes", 5, "--download")


def test_prepare_fetches_what_is_missing_and_builds(
    fssbench: Command, server: FileServer, mirror: Path, tmp_path: Path
) -> None:
    ran = fssbench(*PREPARE, "--catalogue", mirror)
    assert ran.code == 0, ran.err
    raw = tmp_path / "home/raw/coco"
    assert f"from {server.url('val2014.zip')}\n  to   {raw / 'val2014'}" in ran.out
    assert "built: " in ran.out
    assert sorted(path.name for path in raw.iterdir()) == ["annotations", "val2014"]
    assert fssbench("verify", tmp_path / "home/episodes").code == 0
    asked = len(server.asked)
    again = fssbench(*PREPARE, "--catalogue", mirror)
    assert again.code == 0
    assert again.out.count("is there") == 2
    assert len(server.asked) == asked


def test_a_named_source_is_where_it_goes(fssbench: Command, mirror: Path, tmp_path: Path) -> None:
    ran = fssbench(*PREPARE, "--catalogue", mirror, "--source", tmp_path / "mine", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)[0]["outcome"] == "built"
    assert (tmp_path / "mine/val2014").is_dir()
    assert not (tmp_path / "home/raw").exists()


def test_a_dry_run_shows_all_and_does_nothing(fssbench: Command, server: FileServer, mirror: Path) -> None:
    ran = fssbench(*PREPARE, "--catalogue", mirror, "--dry-run", "--json")
    assert ran.code == 0
    assert [(row["name"], row["state"]) for row in json.loads(ran.out)] == [
        ("annotations.zip", "to be fetched"),
        ("val2014.zip", "to be fetched"),
    ]
    assert server.asked == []


def test_our_own_catalogue_is_shown_without_a_network(fssbench: Command) -> None:
    ran = fssbench("prepare", "coco-panet", "--download", "--dry-run")
    assert "val2014.zip (6,645.0 MB) to be fetched\n  from http://images.cocodataset.org/zips/val2014.zip" in ran.out
    assert "train2014" not in ran.out
    assert "train2014.zip (13,510.6 MB)" in fssbench("prepare", "coco", "--download", "--dry-run", "--training").out
    listed = fssbench("prepare", "pascal", "--protocol", "hsnet", "--download", "--dry-run").out
    assert listed.count("raw.githubusercontent.com/juhongm999/hsnet/") == 4
    assert "home/splits/hsnet/pascal/val/fold3.txt" in listed
    assert (
        "githubusercontent"
        not in fssbench("prepare", "pascal", "-p", "hsnet", "--splits", "x", *PREPARE[-1:], "--dry-run").out
    )


def test_the_lists_of_a_protocol_are_fetched_first(
    fssbench: Command, server: FileServer, tmp_path: Path, mirror: Path
) -> None:
    server.files["fold0"] = b"not the published list"
    digest = published_digests("hsnet")["coco/val/fold0.pkl"]
    mirror.write_text(
        mirror.read_text()
        + f'\n[[splits.hsnet.coco]]\nname = "coco/val/fold0.pkl"\nurl = "{server.url("fold0")}"\nsha256 = "{digest}"'
    )
    ran = fssbench(*PREPARE, "--catalogue", mirror, "--protocol", "hsnet")
    assert ran.code == 2
    assert f"fold0 sent has the SHA-256 {hashlib.sha256(b'not the published list').hexdigest()}" in ran.error
    assert [path for path, _ in server.asked] == ["/fold0"]
    assert left(tmp_path / "home") == set()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["coco", "--training", "--catalogue", "x"], "--training and --catalogue mean nothing without --download"),
        (["coco", "--download", "--catalogue", "nowhere"], "catalogue nowhere cannot be read: No such file"),
        (
            ["toy", "--download"],
            "there is no download of the raw data of Toy-20i; leave out --download; it knows coco, fss, pascal",
        ),
        (["coco", "--download", "--source", "hf:coco"], "--download fetches into a folder, and --source names none"),
        (["fss", "--download"], "FSS-1000 has to be fetched by hand, from https://drive.google.com/"),
        (["coco", "--download", "--shots", "x"], "--shots must be integers"),
        (["coco", "--download", "--fold", "9"], "COCO-20i has no fold 9"),
        (["fss", "--download", "--protocol", "hdmnet"], "the protocol hdmnet is not defined for FSS-1000"),
    ],
)
def test_wrong_wishes_are_refused_before_anything_is_fetched(
    fssbench: Command, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = fssbench("prepare", *arguments)
    assert ran.code == 2
    assert message in ran.error
    assert left(tmp_path) == set()


def test_killed_in_the_middle_the_next_run_gives_the_same(
    fssbench: Command, server: FileServer, mirror: Path, tmp_path: Path
) -> None:
    """A kill that nothing can catch; afterwards the rest alone is asked for."""
    padding = hashlib.shake_256(b"padding").digest(3_000_000)
    with zipfile.ZipFile(io.BytesIO(server.files["val2014.zip"])) as old:
        members = {name: old.read(name) for name in old.namelist()} | {"val2014/README": padding}
    archive = zipped(tmp_path / "made.zip", members).read_bytes()
    text = mirror.read_text().replace(
        hashlib.sha256(server.files["val2014.zip"]).hexdigest(), hashlib.sha256(archive).hexdigest()
    )
    mirror.write_text(text.replace(f"bytes = {len(server.files['val2014.zip'])}", f"bytes = {len(archive)}"))
    server.files["val2014.zip"] = archive
    server.manners = [Manner(), Manner(pace=0.1)]
    raw = tmp_path / "raw"
    run = (*PREPARE, "--catalogue", mirror, "--source", raw, "--output", tmp_path / "sets")
    process = subprocess.Popen(
        [sys.executable, "-m", "fssbench", *map(str, run)], env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    partial = raw / "download.partial/val2014.zip.partial"
    limit = time.monotonic() + 300
    while not (partial.is_file() and partial.stat().st_size > 300_000) and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    size = partial.stat().st_size
    assert 300_000 < size < len(archive)
    ran = fssbench(*run, "--dry-run")
    assert re.search(r"val2014.zip \(.*\) to be fetched, [\d.,]+ (MB|bytes) of it are there", ran.out)
    assert fssbench(*run).code == 0
    assert server.asked[-1] == ("/val2014.zip", f"bytes={size}-")
    assert (raw / "val2014/README").read_bytes() == padding
    assert sorted(path.name for path in raw.iterdir()) == ["annotations", "val2014"]


def test_the_documented_sizes_are_those_of_the_catalogue() -> None:
    page = (Path(__file__).parents[2] / "docs/guides/download.md").read_text()
    for file in (file for files in read_catalogue().raw.values() for file in files if file.bytes is not None):
        assert f"`{file.name}`" in page
        assert f"| {file.bytes:,} | {'SHA-256' if file.sha256 else 'MD5'} |" in page
