"""The line on small pieces of the real data sets."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from command import Command
from PIL import Image

from fssbench.base.files import sha256_bytes
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import as_frame, stream
from fssbench.pipelines.formats import masks, shards
from fssbench.results.counts_file import from_bytes, to_bytes

pytestmark = pytest.mark.real

FOLDS = range(4)
BASELINES = {
    "all-foreground": [],
    "copy-support": [],
    "prototype": ["--backbone", "resnet18", "--backbone-weights", "none", "--option", "size=96"],
}


def prepare(fssbench: Command, source: Path, output: Path, *more: object) -> str:
    arguments = ("prepare", "coco", "--source", source / "coco", "--output", output, "--episodes", 200, *more)
    ran = fssbench(*arguments, "--min-pixels", 1)
    assert ran.code == 0, ran.err
    return ran.out


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_all_folds_of_coco_are_built_verified_and_left_alone(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    out = prepare(fssbench, real_data, tmp_path / "a", "--shots", 1)
    assert out.count("built: ") == 4
    assert fssbench("verify", tmp_path / "a").out.count("sound ") == 4
    assert "seed 0, digest a2eb56b9ae47aed6d1b0f0153fecd6a53e3ec223292c007090630f7887c0daf1\n" in out  # fold 0's
    before = files(tmp_path / "a")
    assert prepare(fssbench, real_data, tmp_path / "a", "--shots", 1).count("up to date: ") == 4
    assert files(tmp_path / "a") == before
    prepare(fssbench, real_data, tmp_path / "b", "--shots", 1, "--workers", 7)
    assert files(tmp_path / "b") == before


def test_the_protocols_own_pixels_leave_twelve_classes_short(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    ran = fssbench("prepare", "coco", "--source", real_data / "coco", "--output", tmp_path / "sets", "--episodes", 200)
    assert ran.code == 2
    assert "error: 12 classes have fewer than the 2 images" in ran.error
    for name in ("sports ball (1)", "surfboard (1)", "hair drier (0)", "toothbrush (0)"):
        assert name in ran.error
    assert not (tmp_path / "sets").exists()


def test_five_shots_name_the_classes_that_lack_images_or_leave_them_out(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    arguments = ("prepare", "coco", "--source", real_data / "coco", "--output", tmp_path, "--episodes", 200)
    ran = fssbench(*arguments, "--min-pixels", 1, "--shots", 5)
    assert ran.code == 2
    assert "35 classes have fewer than the 6 images that 5-shot episodes take" in ran.error
    ran = fssbench(*arguments, "--min-pixels", 1, "--shots", 5, "--allow-missing-classes")
    assert ran.code == 0
    assert "classes are absent for want of images" in ran.err
    assert fssbench("verify", tmp_path).code == 0
    ran = fssbench("eval", "-m", "all-foreground", "-d", tmp_path, "-f", 0, "-k", 5, "-o", tmp_path / "r", "-n", 20)
    assert ran.code == 0
    (path,) = (tmp_path / "r").rglob("fold0-5shot-seed0.json")
    result = json.loads(path.read_text())
    assert result["official"] is False
    assert any("classes are absent" in reason for reason in result["unofficial"])
    headline = next(p for p in result["policies"] if p["policy"] == "original/ignore")
    assert headline["miou"]["value"] is None
    assert "(no episodes)" in headline["miou"]["reason"]


def test_baselines_over_four_folds_make_a_complete_leaderboard(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    prepare(fssbench, real_data, tmp_path / "sets", "--shots", 1)
    for model, options in BASELINES.items():
        ran = fssbench("eval", "-m", model, "-d", tmp_path / "sets", "-o", tmp_path / "results", *options)
        assert ran.code == 0, ran.err
    drawn = fssbench(
        "eval", "-m", "copy-support", "-d", tmp_path / "sets", "-o", tmp_path / "results", "-f", 2, "--visualize", 3
    )
    assert "note: 3 episodes are drawn in" in drawn.err
    assert fssbench("leaderboard", "build", tmp_path / "results", "-o", tmp_path / "board.json").code == 0
    paged = fssbench(
        "leaderboard", "page", tmp_path / "board.json", "-o", tmp_path / "site", "-r", tmp_path / "results"
    )
    assert paged.code == 0, paged.err
    (page,) = (tmp_path / "site" / "models").glob("*copy-support*")
    assert page.read_text().count("<img ") == 3 * 4
    board = json.loads((tmp_path / "board.json").read_text())
    assert {entry["model"]["name"] for entry in board["entries"]} == set(BASELINES)
    for entry in board["entries"]:
        assert [run["fold"] for run in entry["runs"]] == list(FOLDS)
        assert all(run["n_episodes"] == 200 for run in entry["runs"])
        assert entry["miou"]["value"] == pytest.approx(np.mean([run["miou"] for run in entry["runs"]]), abs=1e-12)
        assert entry["official"] is False
    assert sorted(entry["rank"] for entry in board["entries"]) == [1, 2, 3]
    all_foreground = next(e for e in board["entries"] if e["model"]["name"] == "all-foreground")
    assert all_foreground["runs"][0]["miou"] == pytest.approx(
        coverage(tmp_path / "sets/coco-20i/strict/fold0"), abs=1e-12
    )


def coverage(path: Path) -> float:
    """Mean over classes of the share of query pixels that the class covers: what all-foreground must score."""
    inter: dict[int, int] = {}
    union: dict[int, int] = {}
    for s in stream(EpisodeSet.open(path), shot=1, seed=0, transform=as_frame):
        c = s.episode.class_id
        inter[c] = inter.get(c, 0) + int(s.query.mask.sum())
        union[c] = union.get(c, 0) + s.query.mask.size
    return float(np.mean([inter[c] / union[c] for c in inter]))


@pytest.mark.parametrize("cut", [False, True], ids=["flipped byte", "cut at a member boundary"])
def test_damage_to_a_shard_stops_verify_and_eval_with_its_name(
    fssbench: Command, real_data: Path, tmp_path: Path, cut: bool
) -> None:
    prepare(fssbench, real_data, tmp_path / "sets", "--shots", 1, "--fold", 0)
    path = tmp_path / "sets/coco-20i/strict/fold0/images-000000.tar"
    content = bytearray(path.read_bytes())
    if cut:
        with tarfile.open(path) as tar:
            content = content[: tar.getmembers()[-2].offset]
    else:
        content[len(content) // 3] ^= 1
    path.write_bytes(content)
    ran = fssbench("verify", tmp_path / "sets")
    assert ran.code == 2
    assert "images-000000.tar" in ran.out
    ran = fssbench("eval", "-m", "copy-support", "-d", tmp_path / "sets", "-f", 0, "-o", tmp_path / "results")
    assert ran.code == 2
    assert "images-000000.tar" in ran.error
    assert not list((tmp_path / "results").rglob("*.json"))


def test_a_truncated_image_and_a_missing_one_are_named(fssbench: Command, real_data: Path, tmp_path: Path) -> None:
    raw = Path(shutil.copytree(real_data / "coco", tmp_path / "coco", copy_function=shutil.copyfile))
    arguments = (
        "prepare",
        "coco",
        "--source",
        raw,
        "--output",
        tmp_path / "sets",
        "--min-pixels",
        1,
        "--episodes",
        200,
    )
    victim = raw / "val2017" / "000000005001.jpg"
    whole = victim.read_bytes()
    victim.write_bytes(whole[: len(whole) // 2])
    ran = fssbench(*arguments)
    assert ran.code == 2
    assert "000000005001.jpg is damaged: image file is truncated" in ran.error
    assert not list((tmp_path / "sets").rglob("manifest.json"))
    victim.unlink()
    ran = fssbench(*arguments)
    assert ran.code == 2
    assert "image files needed are missing: 000000005001;" in ran.error
    victim.write_bytes(whole)
    assert fssbench(*arguments).code == 0
    assert fssbench("verify", tmp_path / "sets").code == 0


def test_pascal_keeps_its_ignore_border_and_scores_with_and_without_it(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    ran = fssbench(
        "prepare", "pascal", "--source", real_data / "pascal/VOC2012", "--output", tmp_path / "sets",
        "--episodes", 20, "--allow-missing-classes", "-f", 3,
    )  # fmt: skip
    assert ran.code == 0, ran.err
    path = tmp_path / "sets/pascal-5i/strict/fold3"
    episode_set = EpisodeSet.open(path)
    samples = [s for record in episode_set.shards("images") for s in shards.read_images(path, record)]
    assert samples
    assert all(sample.meta.ignore is not None for sample in samples)
    ran = fssbench(
        "eval", "-m", "all-foreground", "-b", "pascal", "-d", tmp_path / "sets", "-f", 3, "-o", tmp_path / "r"
    )
    assert ran.code == 0, ran.err
    (result,) = (json.loads(p.read_text()) for p in (tmp_path / "r").rglob("fold3-1shot-seed0.json"))
    by_policy = {p["policy"]: p["fb_iou"]["value"] for p in result["policies"]}
    assert set(by_policy) == {"original/ignore", "original/no-ignore", "model/ignore", "model/no-ignore"}
    assert result["headline"] == "original/ignore"
    arguments = ("eval", "-m", "all-foreground", "-b", "pascal", "-d", tmp_path / "sets", "-f", 3, "--no-ignore-label")
    assert "has original/ignore as its headline" in fssbench(*arguments, "-o", tmp_path / "r").error
    ran = fssbench(*arguments, "-o", tmp_path / "n")
    (other,) = (json.loads(p.read_text()) for p in (tmp_path / "n").rglob("fold3-1shot-seed0.json"))
    assert other["headline"] == "original/no-ignore"
    assert other["policies"] == result["policies"]
    assert "the headline is original/no-ignore, which is not the protocol's" in other["unofficial"]
    # Predicting everything, the border only adds false foreground.
    assert by_policy["original/ignore"] > by_policy["original/no-ignore"]
    assert fssbench(*arguments[:-1], "-o", tmp_path / "r", "--visualize", 3).code == 0
    for picture in (tmp_path / "r").rglob("*-errors.jpg"):
        with Image.open(picture) as image:
            # The image is grey and no more than mid-bright there: white are only the stripes over the border.
            assert (np.asarray(image).min(axis=2) > 200).mean() > 0.001


def test_fss_reads_both_mask_encodings_in_circulation(fssbench: Command, real_data: Path, tmp_path: Path) -> None:
    ran = fssbench(
        "prepare", "fss", "--source", real_data / "fss", "--output", tmp_path / "sets", "--shots", "1,4",
        "--episodes", 20, "--allow-missing-classes",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "masks of values 0 and 1, read as such" in ran.err
    assert fssbench("verify", tmp_path / "sets").code == 0
    episode_set = EpisodeSet.open(tmp_path / "sets/fss-1000/strict/fold0")
    for s in stream(episode_set, shot=4, seed=0, transform=as_frame):
        assert 0.01 < s.query.mask.mean() < 0.9


def test_masks_of_four_folds_give_back_the_very_counts_that_were_deleted(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    prepare(fssbench, real_data, tmp_path / "sets", "--shots", 1)
    ran = fssbench("eval", "-m", "copy-support", "-d", tmp_path / "sets", "-o", tmp_path / "r", "--save-predictions")
    assert ran.code == 0, ran.err
    assert fssbench("score", "--check", tmp_path / "r", "-d", tmp_path / "sets").out.count("sound ") == len(FOLDS)
    tables = {path: path.read_bytes() for path in (tmp_path / "r").rglob("*.counts.parquet")}
    assert len(tables) == len(FOLDS)
    for path in tables:
        path.unlink()
    assert fssbench("score", "--check", tmp_path / "r", "-d", tmp_path / "sets").code == 2
    for folder in (tmp_path / "r").rglob("*.predictions"):
        ran = fssbench("score", folder, "-d", tmp_path / "sets")
        assert ran.code == 0, ran.err
        assert "its counts are restored" in ran.out
    assert {path: path.read_bytes() for path in tables} == tables


def test_one_count_one_mask_one_figure_and_one_digest_are_all_found_at_once(
    fssbench: Command, real_data: Path, tmp_path: Path
) -> None:
    prepare(fssbench, real_data, tmp_path / "sets", "--shots", 1, "--fold", 0)
    arguments = ("-d", tmp_path / "sets", "-f", 0, "-n", 40, "-o", tmp_path / "r")
    assert fssbench("eval", "-m", "copy-support", *arguments, "--save-predictions").code == 0
    (path,) = (tmp_path / "r").rglob("fold0-1shot-seed0.json")
    result = json.loads(path.read_text())
    original = [p["policy"] for p in result["policies"]].index("original/ignore")
    class_name = result["policies"][original]["per_class"][7]["name"]

    table = from_bytes(path.with_suffix(".counts.parquet").read_bytes(), where="here")
    table.counts[11, original] += [-1, 0, 0, 1, 0]  # still counts that masks can have
    data = to_bytes(table)
    path.with_suffix(".counts.parquet").write_bytes(data)
    result["counts"]["sha256"] = sha256_bytes(data)

    folder = path.with_suffix(".predictions")
    (shard,) = folder.glob("*.tar")
    samples = list(shards.prediction_samples(shard.read_bytes(), where="here"))
    size = samples[5].masks["original"]["size"]
    samples[5].masks["original"].update(masks.encode(np.ones(size, dtype=bool)))
    file = shards.write_predictions(shard, samples)
    index = json.loads((folder / "predictions.json").read_text())
    index["shards"][0] |= {"sha256": file.sha256, "bytes": file.bytes}
    (folder / "predictions.json").write_text(json.dumps(index))
    result["predictions"]["sha256"] = sha256_bytes((folder / "predictions.json").read_bytes())

    result["policies"][original]["fb_iou"]["value"] += 0.01
    result["episodes"]["track_digest"] = "0" * 64
    path.write_text(json.dumps(result))

    ran = fssbench("score", "--check", path, "-d", tmp_path / "sets")
    assert ran.code == 2
    assert "episode 11 under original/ignore: counted" in ran.out
    assert "episode 5 under original/ignore: counted" in ran.out
    assert "original/ignore.fb_iou.value: the result says" in ran.out
    assert f"original/ignore.per_class.{class_name}.iou.value" not in ran.out  # only what the count touches
    assert "episodes.track_digest: the result says" in ran.out
    assert fssbench("leaderboard", "build", tmp_path / "r", "-o", tmp_path / "board.json").code == 2
