"""How tests run, and what they share: the toy data, a small episode set of it, the real samples if named."""

from __future__ import annotations

import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from command import Command
from downloads import BODY
from drawn_voc import draw_voc
from file_server import FileServer, file_server
from hypothesis import HealthCheck, settings
from PIL import Image
from published_lists import write_split_files
from sites import hostile_source, make_results

from fssbench.episodes.benchmarks import TOY_20I
from fssbench.episodes.protocols import STRICT
from fssbench.pages.site import write_site
from fssbench.pages.sources import Source
from fssbench.pipelines.episode_sets.build_episode_set import build
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.plan import Request, plan_folds
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.sources.toy import draw_toy
from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training
from fssbench.pipelines.training_sets.training_set import TrainingSet

# How long an example takes depends on the machine, so nothing fails for that. The examples are the same everywhere, so
# that whoever runs the tests sees what was seen here; ``pytest --hypothesis-profile explore`` looks for new ones.
explore = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("explore", explore)
settings.register_profile("fssbench", explore, derandomize=True)
settings.load_profile("fssbench")
# One thread a process, also in those that tests start: there are as many tests at a time as cores.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

LONGEST = ("tests/test_docs.py",)
"""Files that take a minute or more. Whoever is to run one begins with it, so that nobody waits for it in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every reason why tests were skipped, once."""
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in terminalreporter.getreports("skipped"))
    if reasons:
        terminalreporter.section("skipped")
    for reason, tests in reasons.most_common():
        terminalreporter.line(f"{tests:4} {reason}")


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the home of whoever runs it."""
    monkeypatch.setenv("FSSBENCH_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="session")
def toy_raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy data, drawn once. Not to be changed."""
    folder = tmp_path_factory.mktemp("raw") / "toy"
    draw_toy(folder)
    return folder


@pytest.fixture(scope="session")
def toy_set(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> EpisodeSet:
    """Fold 0 of the toy with 40 episodes of 1 and of 2 shots, in several shards. Not to be changed."""
    source = open_source(TOY_20I, toy_raw)
    request = Request(benchmark=TOY_20I, protocol=STRICT, folds=(0,), shots=(1, 2), episodes=40)
    (plan,) = plan_folds(source, request, tmp_path_factory.mktemp("sets"))
    return EpisodeSet.open(build(plan, source, images_per_shard=30).path)


@pytest.fixture(scope="session")
def toy_training(tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """The toy's images to train on, in several shards. Not to be changed."""
    folder = tmp_path_factory.mktemp("training")
    draw_toy(folder / "raw", part="training")
    source = open_source(TOY_20I, folder / "raw", part="training")
    return TrainingSet.open(build_training(plan_training(source, folder), source, images_per_shard=150).path)


@pytest.fixture(scope="session")
def shown_results(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three models on all folds of the toy, with examples. Not to be changed."""
    return make_results(toy_raw, tmp_path_factory.mktemp("shown"))


@pytest.fixture(scope="session")
def shown_source(shown_results: Path) -> Source:
    """Their leaderboard, in which one has a hostile name."""
    return hostile_source(shown_results)


@pytest.fixture(scope="session")
def site(shown_source: Source, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of that leaderboard. Not to be changed."""
    folder = tmp_path_factory.mktemp("page") / "site"
    write_site(folder, *shown_source)
    return folder


@pytest.fixture(scope="session")
def published_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HSNet's split files of test images, as published. Not to be changed."""
    return write_split_files(tmp_path_factory.mktemp("splits"))


@pytest.fixture(scope="session", params=["drawn", pytest.param("real", marks=pytest.mark.real)])
def voc_validation(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC 2012's validation images with masks of the published classes, under grey photographs. Not to be changed."""
    folder = tmp_path_factory.mktemp("voc")
    if request.param == "drawn":
        return draw_voc(folder)
    published = request.getfixturevalue("real_data") / "pascal"
    (folder / "JPEGImages").mkdir()
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    shutil.copy(published / "lists/val.txt", folder / "ImageSets/Segmentation/val.txt")
    ids = set((published / "lists/val.txt").read_text().split())
    with tarfile.open(published / "SegmentationClassAug.tar") as tar:
        tar.extractall(folder, [m for m in tar if Path(m.name).stem in ids], filter="data")
    for path in (folder / "SegmentationClassAug").iterdir():
        with Image.open(path) as mask:
            Image.new("RGB", mask.size, (90, 90, 90)).save(folder / f"JPEGImages/{path.stem}.jpg")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Small pieces of the real data sets."""
    folder = os.environ.get("FSSBENCH_REAL_DATA")
    if not folder:
        pytest.skip("FSSBENCH_REAL_DATA names no folder with samples of COCO, VOC and FSS-1000")
    return Path(folder)


@pytest.fixture(scope="session")
def real_splits() -> Path:
    """The published split files: a folder that holds HSNet's as ``hsnet``."""
    folder = os.environ.get("FSSBENCH_SPLITS")
    if not folder:
        pytest.skip("FSSBENCH_SPLITS names no folder with the published split files")
    return Path(folder) / "hsnet"


@pytest.fixture
def no_gradients() -> Iterator[None]:
    """Nothing is trained."""
    with torch.no_grad():
        yield


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A web server on this machine that has the file ``data.bin``."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with file_server() as served:
        served.files["data.bin"] = BODY
        yield served


@pytest.fixture
def fssbench(capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line."""
    return Command(capsys)
