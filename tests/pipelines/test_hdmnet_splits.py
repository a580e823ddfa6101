"""HDMNet's list files and the order of images: read as they stand, written byte for byte, never run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st
from raw_coco import CATEGORY_IDS, content, polygon, write_coco

from fssbench.base.errors import SourceError
from fssbench.episodes.benchmarks import COCO_20I, COCO_20I_CONTIGUOUS, PASCAL_5I, Benchmark
from fssbench.episodes.lists import FoldLists
from fssbench.episodes.protocols import HDMNET
from fssbench.pipelines.episode_sets.drawing import Request, fold_lists
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.sources import published_files
from fssbench.pipelines.sources.hdmnet_splits import HdmnetSplits, are_published, list_files
from fssbench.pipelines.sources.image_order import open_order
from fssbench.pipelines.sources.pascal import PascalSource
from fssbench.pipelines.sources.published_files import published_digests

IMAGES = "2008_000002\n2007_000033\n2007_000061\n"
POOLS = "{1: ['2008_000002', '2007_000061'],\n2: ['2008_000002'],\n3: ['2007_000033'],\n4: [],\n5: []}"


def write(folder: Path, images: str = IMAGES, pools: str | bytes = POOLS, *, name: str = "pascal/fss_list/val") -> Path:
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "data_list_0.txt").write_text(images)
    data = pools.encode() if isinstance(pools, str) else pools
    (folder / name / "sub_class_file_list_0.txt").write_bytes(data)
    return folder


def test_lists_keep_the_order_of_their_files(tmp_path: Path) -> None:
    lists = HdmnetSplits(write(tmp_path), PASCAL_5I).lists(0)
    assert lists.pools == {0: ("2008_000002", "2007_000061"), 1: ("2008_000002",), 2: ("2007_000033",), 3: (), 4: ()}
    assert lists.queries == (("2008_000002", (0, 1)), ("2007_000033", (2,)), ("2007_000061", (0,)))
    assert [data.decode() for data in list_files(lists, PASCAL_5I, 0).values()] == [IMAGES, POOLS]


@pytest.mark.parametrize("place", [".", "pascal", ".."])
def test_the_folder_may_be_any_of_three(tmp_path: Path, place: str) -> None:
    write(tmp_path / "hdmnet")
    assert HdmnetSplits(tmp_path / "hdmnet" / place, PASCAL_5I).lists(0).queries


identifiers = st.integers(0, 999_999).map(lambda n: f"{n:012d}")


@given(images=st.lists(identifiers, unique=True, max_size=12), choice=st.data(), fold=st.integers(0, 3))
def test_lists_written_as_published_are_read_as_they_were(
    images: list[str], choice: st.DataObject, fold: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Writing lists of any fold in the published form and reading them gives the same lists."""
    classes = COCO_20I.novel_classes(fold)
    shown = {image: sorted(choice.draw(st.sets(st.sampled_from(classes), min_size=1))) for image in images}
    lists = FoldLists(
        pools={c: tuple(image for image in images if c in shown[image]) for c in classes},
        queries=tuple((image, tuple(found)) for image, found in shown.items()),
    )
    if not images:
        return
    folder = tmp_path_factory.mktemp("lists")
    for name, data in list_files(lists, COCO_20I, fold).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    assert HdmnetSplits(folder, COCO_20I).lists(fold) == lists


def test_files_are_recorded_by_their_published_names_and_known_or_not(tmp_path: Path) -> None:
    found = HdmnetSplits(write(tmp_path), PASCAL_5I)
    assert [record.name for record in found.records(0)] == [
        "pascal/fss_list/val/data_list_0.txt",
        "pascal/fss_list/val/sub_class_file_list_0.txt",
    ]
    assert [reason.partition(":")[0] for reason in found.unofficial(0)] == [
        "pascal/fss_list/val/data_list_0.txt is not the published split file",
        "pascal/fss_list/val/sub_class_file_list_0.txt is not the published split file",
    ]
    record = found.records(0)[0].model_copy(update={"name": "coco/fss_list/train/data_list_3.txt"})
    (reason,) = published_files.differences("hdmnet", (record,))
    assert reason == "the SHA-256 of the published coco/fss_list/train/data_list_3.txt is not known"


def test_every_list_of_test_images_has_a_known_hash() -> None:
    names = {f"{b}/fss_list/val/{kind}_{fold}.txt" for b in ("pascal", "coco") for fold in range(4)
             for kind in ("data_list", "sub_class_file_list")}  # fmt: skip
    assert names | {"coco/val.txt", "pascal/val.txt"} <= published_digests("hdmnet").keys()
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in published_digests("hdmnet").values())


@pytest.mark.parametrize(
    ("images", "pools", "message"),
    [
        ("x\n", POOLS, "lists 'x', expected an image of PASCAL-5i such as 2007_000033"),
        ("", POOLS, "is empty, expected one name per line"),
        (IMAGES + "2007_000033\n", POOLS, "names '2007_000033' twice"),
        (IMAGES + "2007_000034\n", POOLS, "lists 2007_000034, which .* has for no class"),
        ("2007_000033\n2007_000061\n", POOLS, "lists 2008_000002, which .*data_list_0.txt does not"),
        (IMAGES, POOLS.replace("5:", "6:"), "has class 6, none of fold 0's"),
        (IMAGES, POOLS.replace("5:", "'5':"), "is not a dict of class → list of images"),
        (IMAGES, POOLS.replace("[]", "7"), "is not a dict of class → list of images"),
        (IMAGES, POOLS.replace("['2007_000033']", "['2007_000033', '2007_000033']"), "lists an image twice"),
        (IMAGES, POOLS.replace("['2007_000033']", "[33]"), "lists '33', expected an image"),
        (IMAGES, "{1: open('x')}", "is not a dict of class → list of images"),
        (IMAGES, "__import__('os').system('x')", "is not a dict of class → list of images"),
        (IMAGES, "[1]", "is not a dict of class → list of images"),
        (IMAGES, "{1: [", "is not a dict of class → list of images"),
        (IMAGES, "[" * 100_000, "is not a dict of class → list of images"),
        (IMAGES, "{" + "1" * 10_000 + ": []}", "is not a dict of class → list of images"),
        (IMAGES, "{[]: []}", "is not a dict of class → list of images"),
        (IMAGES, b"\xff\xfe", "is not a dict of class → list of images"),
    ],
)
def test_what_is_no_such_list_is_refused(tmp_path: Path, images: str, pools: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        HdmnetSplits(write(tmp_path, images, pools), PASCAL_5I).lists(0)


def test_what_is_too_large_or_absent_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match=r"there is no split file .*; name HDMNet's folder lists"):
        HdmnetSplits(write(tmp_path), PASCAL_5I).lists(1)
    monkeypatch.setattr(published_files, "LARGEST", 10)
    with pytest.raises(SourceError, match="bytes, a split file has at most 10"):
        HdmnetSplits(tmp_path, PASCAL_5I).lists(0)


def test_pascals_lists_follow_from_its_masks_to_the_byte(voc_validation: Path) -> None:
    """All eight files, from nothing but masks: the class's own value, the border no part of it, 2,048 pixels."""
    request = Request(benchmark=PASCAL_5I, protocol=HDMNET, folds=(0, 1, 2, 3))
    lists = fold_lists(PascalSource(voc_validation), request, range(4))
    assert [are_published(lists[fold], PASCAL_5I, fold) for fold in range(4)] == [True] * 4
    assert [len(lists[fold].queries) for fold in range(4)] == [364, 445, 592, 336]


# --- from lists and masks to episodes -------------------------------------------------------------------


CLASSES = COCO_20I.novel_classes(0)
SMALL = (polygon(30, 20, 2, 2), 1)  # of class 4, in image 1, which no list has for it


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Four images of every class of fold 0, and one that shows a second class by a few pixels."""
    data = content(CLASSES)
    shape, image = SMALL
    data["annotations"].append(
        {"id": 999, "image_id": image, "category_id": CATEGORY_IDS[4], "iscrowd": 0, "segmentation": [shape]}
    )
    return write_coco(tmp_path / "coco", data)


@pytest.fixture
def listed(raw: Path, tmp_path: Path) -> Path:
    """What HDMNet's code would list of them, in descending order of ids."""
    images = [f"{n:012d}" for n in range(80, 0, -1)]
    pools = {c: tuple(i for i in images if CLASSES[(int(i) - 1) % 20] == c) for c in CLASSES}
    lists = FoldLists(pools=pools, queries=tuple((image, ()) for image in images))
    for name, data in list_files(lists, COCO_20I, 0).items():
        path = tmp_path / "lists" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    order = "".join(f"val2014/COCO_val2014_{i}.jpg annotations/val2014/COCO_val2014_{i}.png\n" for i in images)
    (tmp_path / "lists/coco/val.txt").write_text(order)
    return tmp_path / "lists"


ASKED = ("coco", "-p", "hdmnet", "-f", 0, "-n", 400)


def test_a_query_is_asked_about_what_the_masks_show_if_there_are_masks(
    fssbench: Command, raw: Path, listed: Path, tmp_path: Path
) -> None:
    shown = fssbench("episodes", *ASKED, "--splits", listed, "-s", raw)
    assert "without masks" not in shown.err
    small = [line for line in shown.out.splitlines() if line.startswith("4\t000000000001")]
    assert small
    alone = fssbench("episodes", *ASKED, "--splits", listed)
    assert "without masks a query is asked about the classes that list it, not about all that it shows" in alone.err
    assert not [line for line in alone.out.splitlines() if line.startswith("4\t000000000001")]
    assert [line.split("\t")[1] for line in alone.out.splitlines()] == [f"{n:012d}" for n in range(80, 0, -1)] * 5
    # Raw data in the home are looked at as well.
    raw.rename(tmp_path / "moved")
    (tmp_path / "home/raw").mkdir(parents=True)
    (tmp_path / "moved").rename(tmp_path / "home/raw/coco")
    assert fssbench("episodes", *ASKED, "--splits", listed).out == shown.out


def test_sets_of_lists_and_of_derived_lists_in_their_order_have_the_same_episodes(
    fssbench: Command, raw: Path, listed: Path, tmp_path: Path
) -> None:
    arguments = ("prepare", *ASKED, "-s", raw, "--seeds", "510,365")
    for name, more in (
        ("files", ["--splits", listed]),
        ("derived", ["--splits", f"derive:{listed}", "--min-pixels", 100]),
        ("sorted", ["--splits", "derive", "--min-pixels", 100]),
    ):
        ran = fssbench(*arguments, *more, "-o", tmp_path / name)
        assert ran.code == 0, ran.err
        in_order = "in ascending order of ids, for want of a file that says another" not in ran.err
        assert in_order == (name != "sorted")
        assert ("coco/val.txt is not the published order of images" in ran.err) == (name == "derived")
    sets = {n: EpisodeSet.open(tmp_path / n / "coco-20i/hdmnet/fold0") for n in ("files", "derived", "sorted")}
    digests = {name: [track.digest for track in one.manifest.tracks] for name, one in sets.items()}
    assert digests["files"] == digests["derived"] != digests["sorted"]
    assert [file.name for file in sets["files"].manifest.splits] == [
        "coco/fss_list/val/data_list_0.txt",
        "coco/fss_list/val/sub_class_file_list_0.txt",
    ]
    assert [file.name for file in sets["derived"].manifest.splits] == ["coco/val.txt"]
    assert [one.manifest.protocol.lists for one in sets.values()] == ["files", "derived", "derived"]
    for name in sets:
        assert fssbench("verify", tmp_path / name).code == 0


def test_an_order_leaves_out_images_that_it_does_not_name(fssbench: Command, raw: Path, tmp_path: Path) -> None:
    """A folder that has the order alone means derived lists in that order, also below the home."""
    few = [f"{n:012d}" for n in range(60, 0, -1)]
    (tmp_path / "order").mkdir()
    (tmp_path / "order/val.txt").write_text("".join(f"{image}\n" for image in few))
    ran = fssbench("episodes", *ASKED, "-s", raw, "--splits", tmp_path / "order", "--min-pixels", 1)
    assert [line.split("\t")[1] for line in ran.out.splitlines()][:60] == few
    (tmp_path / "home/splits/hdmnet").mkdir(parents=True)
    (tmp_path / "order/val.txt").rename(tmp_path / "home/splits/hdmnet/val.txt")
    assert fssbench("episodes", *ASKED, "-s", raw, "--min-pixels", 1).out == ran.out


def test_lists_and_masks_that_do_not_go_together_are_refused(fssbench: Command, raw: Path, listed: Path) -> None:
    for path in (listed / "coco/fss_list/val").iterdir():
        path.write_text(path.read_text().replace("000000000063", "000000000099"))
    ran = fssbench("episodes", *ASKED, "--splits", listed, "-s", raw)
    assert ran.code == 2
    assert "list 1 images for a class that the source has no mask of there, as 000000000099 for class 8" in ran.error


@pytest.mark.parametrize("benchmark", [COCO_20I, COCO_20I_CONTIGUOUS], ids=lambda one: one.alias)
def test_both_folds_of_coco_have_one_order(listed: Path, benchmark: Benchmark) -> None:
    order = open_order(listed, benchmark)
    assert order.images[:2] == ("000000000080", "000000000079")
    assert order.record.name == "coco/val.txt"
    (listed / "coco/val.txt").write_text("a/000000000042.jpg\nb/000000000042.jpg\n")
    with pytest.raises(SourceError, match="names an image twice"):
        open_order(listed, benchmark)
