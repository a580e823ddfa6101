"""The published protocols from the command line: digests of the publication, sets, and what is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from command import Command

from fssbench.episodes.benchmarks import COCO_20I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import as_frame, stream

sys.path.insert(0, str(Path(__file__).parent / "pipelines"))
from raw_coco import CATEGORY_IDS, content, jpeg, polygon, write_coco
from raw_voc_fss import fss, indices, voc

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden/episodes.json").read_text())
"""What the published HSNet sampler draws from its split files."""


def asked(case: str) -> list[str]:
    """The arguments of ``coco.fold1.1shot.1000``."""
    alias, *parts = case.split(".")
    arguments = [alias, "--protocol", "hsnet", "--episodes", str(GOLDEN[case]["n"])]
    for part in parts:
        if part.startswith("fold"):
            arguments += ["--fold", part.removeprefix("fold")]
        elif part.endswith("shot"):
            arguments += ["--shot", part.removesuffix("shot")]
    return arguments


# --- the publication's digests --------------------------------------------------------------------------


@pytest.mark.parametrize("case", GOLDEN)
def test_hsnet_episodes_are_the_published_ones_without_any_data(
    fssbench: Command, published_splits: Path, case: str
) -> None:
    ran = fssbench("episodes", *asked(case), "--splits", published_splits, "--json")
    assert ran.code == 0, ran.err
    track, golden = json.loads(ran.out), GOLDEN[case]
    assert track["digest"] == golden["sha256"]
    lines = [[int(c), *ids] for c, *ids in (line.split("\t") for line in track["lines"])]
    assert (len(lines), lines[:5], lines[-1:]) == (golden["n"], golden["head"], golden["tail"])
    official = case != "coco.fold1.1shot.10000"
    assert ran.err == ("" if official else "note: results on this would not be official: 10,000 episodes, the "
                       "protocol's are 1,000\n")  # fmt: skip


def test_the_first_thousand_of_ten_thousand_are_the_thousand(fssbench: Command, published_splits: Path) -> None:
    many, few = (
        fssbench("episodes", *asked(f"coco.fold1.1shot.{n}"), "--splits", published_splits).out for n in (10_000, 1_000)
    )
    assert many.splitlines()[:1_000] == few.splitlines()


def test_pascal_is_built_from_the_published_lists_and_is_official(
    fssbench: Command, voc_validation: Path, published_splits: Path, tmp_path: Path
) -> None:
    arguments = ("--source", voc_validation, "--splits", published_splits, "--output", tmp_path, "--json")
    for fold, shot in ((0, 1), (2, 5)):
        ran = fssbench("prepare", "pascal", "-p", "hsnet", *arguments, "-f", fold, "--shots", shot)
        assert ran.code == 0, ran.err
        (built,) = json.loads(ran.out)
        assert built["unofficial"] == built["tracks"][0]["unofficial"] == []
        assert built["tracks"][0]["digest"] == GOLDEN[f"pascal.fold{fold}.{shot}shot"]["sha256"]
        manifest = EpisodeSet.open(Path(built["path"])).manifest
        (split,) = manifest.splits
        assert (split.name, manifest.protocol.lists) == (f"pascal/val/fold{fold}.txt", "files")
        assert sum(pool.images for pool in manifest.classes) == {0: 346, 2: 725}[fold]
    assert fssbench("verify", tmp_path).code == 0
    ran = fssbench("eval", "-m", "all-foreground", "-b", "pascal", "-p", "hsnet", "-d", tmp_path, "-f", 0, "-n", 50,
                   "-o", tmp_path / "r", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    (finished,) = json.loads(ran.out)
    assert finished["result"]["headline"] == "model/ignore"


def test_derived_pascal_lists_are_hdmnets_and_not_hsnets(
    fssbench: Command, voc_validation: Path, tmp_path: Path
) -> None:
    """Image and class pairs of HDMNet's rule, which gives its lists, and with any pixel: not HSNet's lists."""
    counts = {"hdmnet": [365, 467, 734, 357], "hsnet": [440, 514, 804, 390]}
    for protocol, expected in counts.items():
        ran = fssbench("prepare", "pascal", "-p", protocol, "--splits", "derive", "--source", voc_validation,
                       "--output", tmp_path, "-n", 60)  # fmt: skip
        assert ran.code == 0, ran.err
        assert ("the lists are derived from the masks, not those of the publication" in ran.err) == (
            protocol == "hsnet"
        )
        manifests = [EpisodeSet.open(tmp_path / f"pascal-5i/{protocol}/fold{f}").manifest for f in range(4)]
        assert [sum(pool.images for pool in m.classes) for m in manifests] == expected
        assert {m.protocol.lists for m in manifests} == {"derived"}
        assert all(m.splits == () for m in manifests)
        assert {len(m.tracks) for m in manifests} == {10 if protocol == "hdmnet" else 1}
    assert fssbench("verify", tmp_path).code == 0


def test_coco_is_built_from_the_published_lists(fssbench: Command, published_splits: Path, tmp_path: Path) -> None:
    """With made-up images of the listed names, since the lists alone decide."""
    from fssbench.pipelines.sources.hsnet_splits import HsnetSplits

    case = GOLDEN["coco.fold1.1shot.1000"]
    pools = HsnetSplits(published_splits, COCO_20I).lists(1).pools
    data = content((1,))
    ids = sorted({int(image) for pool in pools.values() for image in pool})
    data["images"] = [{"id": image, "width": 40, "height": 30} for image in ids]
    pairs = [(c, int(image)) for c, pool in pools.items() for image in pool]
    data["annotations"] = [
        {
            "id": n,
            "image_id": image,
            "category_id": CATEGORY_IDS[c],
            "iscrowd": 0,
            "segmentation": [polygon(c // 2, 2, 0, 9)],
        }
        for n, (c, image) in enumerate(pairs)
    ]
    raw = tmp_path / "coco"
    (raw / "annotations").mkdir(parents=True)
    (raw / "val2014").mkdir()
    (raw / "annotations/instances_val2014.json").write_text(json.dumps(data))
    drawn = fssbench("episodes", *asked("coco.fold1.1shot.1000"), "--splits", published_splits).out
    for image_id in {i for line in drawn.splitlines() for i in line.split("\t")[1:]}:
        (raw / f"val2014/COCO_val2014_{image_id}.jpg").write_bytes(jpeg())
    ran = fssbench(
        "prepare", "coco", "-p", "hsnet", "--splits", published_splits, "--source", raw, "-o", tmp_path, "-f", 1
    )
    assert ran.code == 0, ran.err
    assert f"seed 0, digest {case['sha256']}\n" in ran.out
    assert fssbench("verify", tmp_path).code == 0


def test_fss_is_built_from_the_published_list_and_derived_it_is_the_same(
    fssbench: Command, published_splits: Path, tmp_path: Path
) -> None:
    """Where all ten images of the test classes are there, sorted folders are the published list."""
    raw = fss(tmp_path / "fss", (published_splits / "fss/test.txt").read_text().split())
    digest = GOLDEN["fss.test.1shot"]["sha256"]
    ran = fssbench("prepare", "fss", "-p", "hsnet", "--splits", published_splits, "--source", raw,
                   "--output", tmp_path / "sets", "--json")  # fmt: skip
    assert ran.code == 0, ran.err
    (built,) = json.loads(ran.out)
    assert (built["tracks"][0]["digest"], built["unofficial"]) == (digest, [])
    ran = fssbench("episodes", "fss", "-p", "hsnet", "--splits", "derive", "--source", raw, "--digest")
    assert ran.out == f"{digest}\n"
    assert "the lists are derived from the masks, not those of the publication" in ran.err


# --- small sets -----------------------------------------------------------------------------------------


PIXELS = {f"2008_00{c:02d}{n:02d}": {c + 1: 400 - n, 255: 9} for c in range(5) for n in range(3)}
# Image 0000 also shows class 3, by a few pixels: no list of HDMNet's names it for that class.
PIXELS["2008_000000"] = {1: 400, 4: 5}


@pytest.fixture
def small_voc(tmp_path: Path) -> Path:
    """Fifteen images, three for each class of fold 0."""
    return voc(tmp_path / "voc", {image: indices(values) for image, values in PIXELS.items()})


@pytest.fixture
def small_splits(tmp_path: Path) -> Path:
    """HSNet's list of all they show, in descending order; image 0000 stands there for two classes."""
    path = tmp_path / "splits/pascal/val/fold0.txt"
    path.parent.mkdir(parents=True)
    pairs = [f"{image}__{value:02d}" for image, values in PIXELS.items() for value in values if value != 255]
    path.write_text("".join(f"{pair}\n" for pair in sorted(pairs, reverse=True)))
    return tmp_path / "splits"


def test_a_set_of_split_files_repeats_supports_and_is_streamed_as_drawn(
    fssbench: Command, small_voc: Path, small_splits: Path, tmp_path: Path
) -> None:
    """5-shot episodes of classes with three images: repeats are certain, and every layer must bear them."""
    lists = ("--splits", small_splits, "-n", 32)
    ran = fssbench("prepare", "pascal", "-p", "hsnet", *lists, "-f", 0, "--shots", 5, "-s", small_voc, "-o", tmp_path)
    assert ran.code == 0, ran.err
    assert "pascal/val/fold0.txt is not the published split file" in ran.err
    episode_set = EpisodeSet.open(tmp_path / "pascal-5i/hsnet/fold0")
    (track,) = episode_set.tracks.values()
    assert all(len(set(e.supports)) < 5 for e in track.episodes)
    assert [e.query for e in track.episodes] == 2 * sorted([*PIXELS, "2008_000000"], reverse=True)
    assert {e.class_id for e in track.episodes if e.query == "2008_000000"} == {0, 3}
    assert {e.class_id for e in track.episodes if "2008_000000" in e.supports} == {0, 3}
    assert fssbench("episodes", "pascal", "-p", "hsnet", *lists, "-k", 5, "--digest").out == f"{track.digest}\n"
    assert fssbench("verify", tmp_path).code == 0
    for s in stream(episode_set, shot=5, seed=0, transform=as_frame):
        assert tuple(frame.image_id for frame in s.supports) == s.episode.supports
        assert s.query.ignore is None or not (s.query.ignore & s.query.mask).any()
    for model in ("copy-support", "all-foreground"):
        ran = fssbench("eval", "-m", model, "-b", "pascal", "-p", "hsnet", "-d", tmp_path, "-f", 0, "-k", 5,
                       "-o", tmp_path / "r", "--json")  # fmt: skip
        assert ran.code == 0, ran.err
        result = json.loads(ran.out)[0]["result"]
        assert result["headline"] == "model/ignore"
        assert result["episodes"]["digest"] == track.digest
    ran = fssbench("leaderboard", "build", tmp_path / "r", "-o", tmp_path / "board.json")
    assert ran.code == 0, ran.err
    assert "pascal-5i · hsnet/2 · 5-shot · model/ignore" in " ".join(ran.out.split())
    ran = fssbench("info", episode_set.path)
    assert f"pascal/val/fold0.txt {episode_set.manifest.splits[0].sha256}" in ran.out


def test_a_set_of_one_list_is_not_extended_by_another(
    fssbench: Command, small_voc: Path, small_splits: Path, tmp_path: Path
) -> None:
    arguments = ("prepare", "pascal", "-p", "hsnet", "-f", 0, "-s", small_voc, "-o", tmp_path, "-n", 20)
    assert fssbench(*arguments, "--splits", small_splits).code == 0
    path = small_splits / "pascal/val/fold0.txt"
    path.write_text("\n".join(sorted(path.read_text().split())))
    ran = fssbench(*arguments, "--splits", small_splits, "--shots", 2)
    assert ran.code == 2
    assert "was built with another splits (pascal/val/fold0.txt " in ran.error
    assert "was built with another protocol" in fssbench(*arguments, "--splits", "derive").error


def test_listed_images_without_a_mask_of_their_class_are_named(
    fssbench: Command, small_voc: Path, small_splits: Path, tmp_path: Path
) -> None:
    path = small_splits / "pascal/val/fold0.txt"
    path.write_text("2008_000100__03\n" + path.read_text())
    ran = fssbench("prepare", "pascal", "-p", "hsnet", "-f", 0, "-s", small_voc, "-o", tmp_path / "sets", "-n", 20,
                   "--splits", small_splits)  # fmt: skip
    assert ran.code == 2
    assert "ask for 1 of 17 images with a class that the source has no mask of: 2008_000100 (bird)" in ran.error
    assert not (tmp_path / "sets").exists()


def test_a_query_may_be_small_but_no_support(fssbench: Command, small_voc: Path, tmp_path: Path) -> None:
    arguments = ("prepare", "pascal", "-p", "hdmnet", "-f", 0, "-s", small_voc, "-o", tmp_path, "-n", 200)
    ran = fssbench(*arguments, "--min-pixels", 100, "--seeds", "510,365", "--loader-workers", 3)
    assert ran.code == 0, ran.err
    assert "images need 100 mask pixels, the protocol's need 2,048; 3 loader workers, the protocol's are 8" in ran.err
    path = tmp_path / "pascal-5i/hdmnet/fold0"
    episode_set = EpisodeSet.open(path)
    assert episode_set.manifest.protocol.loader_workers == 3
    episodes = [e for track in episode_set.tracks.values() for e in track.episodes]
    small = [e for e in episodes if (e.class_id, e.query) == (3, "2008_000000")]
    assert small
    assert not any("2008_000000" in e.supports for e in episodes if e.class_id == 3)
    assert fssbench("verify", path).code == 0
    # A set that claims more pixels for its supports than they have is caught.
    file = path / "manifest.json"
    file.write_text(file.read_text().replace('"min_pixels": 100', '"min_pixels": 399'))
    ran = fssbench("verify", path)
    assert ran.code == 2
    assert "whose mask has fewer than 399 pixels" in ran.out
    assert "its mask has" not in ran.out


@pytest.mark.parametrize("protocol", ["hsnet", "hdmnet"])
def test_the_protocols_hold_on_the_toy_from_data_to_result(
    fssbench: Command, toy_raw: Path, tmp_path: Path, protocol: str
) -> None:
    data = ("-p", protocol, "-s", toy_raw, "-n", 30)
    ran = fssbench("prepare", "toy", *data, "-f", 1, "--shots", "1,5", "-o", tmp_path)
    assert ran.code == 0, ran.err
    seeds = 10 if protocol == "hdmnet" else 1
    assert ran.out.count("30 1-shot episodes") == seeds
    first = fssbench("episodes", "toy", *data, "-f", 1, "--digest").out.strip()
    assert f"30 1-shot episodes, seed {510 if protocol == 'hdmnet' else 0}, digest {first}" in ran.out
    assert fssbench("verify", tmp_path).code == 0
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-p", protocol, "-d", tmp_path, "-f", 1, "-k", 5,
                   "-o", tmp_path / "r")  # fmt: skip
    assert ran.code == 0, ran.err
    assert len(list((tmp_path / "r").rglob("fold1-5shot-seed*.json"))) == seeds


def test_derived_hsnet_tracks_are_drawn_again_by_verify(fssbench: Command, tmp_path: Path) -> None:
    """A set that holds whole pools tells derived lists; another order of drawing is then noticed."""
    raw = write_coco(tmp_path / "coco", content(COCO_20I.novel_classes(0)))
    ran = fssbench("prepare", "coco", "-p", "hsnet", "--splits", "derive", "-f", 0, "-s", raw, "-o", tmp_path,
                   "--min-pixels", 1)  # fmt: skip
    assert ran.code == 0, ran.err
    assert "tracks drawn again and equal: 1" in fssbench("verify", tmp_path).out


def test_contiguous_folds_are_another_benchmark_of_the_same_data(fssbench: Command, tmp_path: Path) -> None:
    raw = write_coco(tmp_path / "home/raw/coco", content(tuple(range(80))))
    assert raw.is_dir()
    arguments = ("--min-pixels", 1, "-n", 40)
    ran = fssbench("prepare", "coco-panet", "-f", 1, *arguments)
    assert ran.code == 0, ran.err
    manifest = EpisodeSet.open(tmp_path / "home/episodes/coco-20i-contiguous/strict/fold1").manifest
    assert [pool.id for pool in manifest.classes] == list(range(20, 40))
    assert manifest.source.kind == "coco"
    digests = {fssbench("episodes", alias, "-f", 1, *arguments, "--digest").out for alias in ("coco", "coco-panet")}
    assert len(digests) == 2
    assert fssbench("verify", tmp_path / "home/episodes").code == 0


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["episodes", "fss", "-p", "hdmnet"], "the protocol hdmnet is not defined for FSS-1000; it is for pascal-5i"),
        (["prepare", "fss", "-p", "hdmnet"], "the protocol hdmnet is not defined for FSS-1000"),
        (["eval", "-m", "copy-support", "-b", "fss", "-p", "hdmnet"], "the protocol hdmnet is not defined for FSS"),
        (["prepare", "coco-panet", "-p", "hsnet"], "hsnet is not defined for COCO-20i with contiguous folds"),
        (["episodes", "coco-panet", "-p", "hdmnet", "--splits", "x"], "no split files of the protocol hdmnet for"),
        (["episodes", "pascal", "-p", "hdmnet", "--splits", "x"], "split file x/pascal/fss_list/val/data_list_0.txt"),
        (["episodes", "coco", "-p", "hdmnet", "--splits", "derive:x"], "there is no order of images x/coco/val.txt"),
        (["episodes", "coco", "-p", "hsnet", "--splits", "derive:x"], "hsnet derives lists in an order of its own"),
        (["episodes", "coco", "-p", "hsnet"], "there are none in"),
        (["episodes", "coco", "-p", "hsnet", "--splits", "x"], "there is no split file x/coco/val/fold0.pkl"),
        (["eval", "-m", "copy-support", "-p", "hsnet"], "fssbench prepare coco --protocol hsnet"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_gets_one_line(fssbench: Command, arguments: list[str], message: str) -> None:
    ran = fssbench(*arguments)
    assert ran.code == 2
    assert message in ran.error


def test_split_files_decide_alone(fssbench: Command, small_splits: Path, tmp_path: Path) -> None:
    """No data is needed, naming it is remarked on, and what would contradict the lists is refused."""
    arguments = ("episodes", "pascal", "-p", "hsnet", "--splits", small_splits, "-n", 9)
    plain, named = fssbench(*arguments), fssbench(*arguments, "--source", tmp_path / "nowhere")
    assert plain.out == named.out
    assert "so --source means nothing here" in named.err
    crowds = fssbench(*arguments, "--crowds", "paint", "--masks", tmp_path)
    assert crowds.out == plain.out
    assert "so --crowds and --masks mean nothing here" in crowds.err
    assert "split files decide which images serve a class" in fssbench(*arguments, "--min-pixels", 5).error
    other = fssbench(*arguments, "--seed", 3)
    assert other.out != plain.out
    assert "seed 3, the protocol's is 0" in other.err
    ran = fssbench(*arguments, "--fold", 1)
    assert "there is no split file" in ran.error
    path = small_splits / "pascal/val/fold0.txt"
    path.write_text("2008_000100__02\n2008_000101__02\n")
    message = fssbench(*arguments).error
    assert "4 classes have fewer than the 2 images that 1-shot episodes take, counting images in the split" in message
    assert "--min-pixels" not in message
    ran = fssbench(*arguments, "--allow-missing-classes")
    assert ran.code == 0
    assert "4 of 5 classes are absent" in ran.err


def test_split_files_are_looked_up_in_the_home(fssbench: Command, small_splits: Path, tmp_path: Path) -> None:
    arguments = ("episodes", "pascal", "-p", "hsnet", "-n", 9)
    named = fssbench(*arguments, "--splits", small_splits)
    small_splits.rename(tmp_path / "home-splits")
    (tmp_path / "home/splits").mkdir(parents=True)
    (tmp_path / "home-splits").rename(tmp_path / "home/splits/hsnet")
    assert fssbench(*arguments).out == named.out


def test_all_protocols_are_listed(fssbench: Command) -> None:
    listed = json.loads(fssbench("list", "protocols", "--json").out)["protocols"]
    assert [row["name"] for row in listed] == ["strict", "hsnet", "hdmnet"]
