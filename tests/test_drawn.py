"""The line on drawn data that is as odd as the real sets, whose every pixel is known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from drawn_coco import DrawnCoco, draw_coco

from fssbench.episodes.benchmarks import COCO_20I
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import as_frame, stream

sys.path.insert(0, str(Path(__file__).parent / "pipelines"))
from raw_voc_fss import blob, fss, indices, png, voc

FOLDS = range(4)


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> DrawnCoco:
    return draw_coco(tmp_path_factory.mktemp("raw") / "coco")


def results(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """Result files by model and fold."""
    found = [json.loads(path.read_text()) for path in folder.rglob("fold*-seed*.json")]
    return {(one["model"]["name"], one["episodes"]["fold"]): one for one in found}


def headline(result: dict[str, Any]) -> dict[str, Any]:
    return next(p for p in result["policies"] if p["policy"] == result["headline"])


def test_every_pixel_of_coco_arrives_and_every_figure_follows(
    fssbench: Command, coco: DrawnCoco, tmp_path: Path
) -> None:
    """Masks are those drawn, images lie as their masks do, and predicting everything scores the covered share."""
    sets, scored = tmp_path / "sets", tmp_path / "results"
    ran = fssbench("prepare", "coco", "-s", coco.folder, "-o", sets, "-n", 20, "--min-pixels", 1, "--shots", 1)
    assert ran.code == 0, ran.err
    assert fssbench("verify", sets).out.count("sound ") == len(FOLDS)
    for model in ("all-foreground", "copy-support"):
        ran = fssbench("eval", "-m", model, "-d", sets, "-o", scored, "--save-predictions")
        assert ran.code == 0, ran.err
    assert fssbench("score", "--check", scored, "-d", sets).out.count("sound ") == 2 * len(FOLDS)
    for fold in FOLDS:
        inter, union = dict.fromkeys(COCO_20I.novel_classes(fold), 0), dict.fromkeys(COCO_20I.novel_classes(fold), 0)
        for s in stream(EpisodeSet.open(sets / f"coco-20i/strict/fold{fold}"), shot=1, seed=0, transform=as_frame):
            for frame in (s.query, *s.supports):
                assert (frame.mask == coco.masks[frame.image_id, s.episode.class_id]).all()
                assert ((frame.image.mean(axis=2) > 128) == coco.shown[frame.image_id]).all()
            inter[s.episode.class_id] += int(s.query.mask.sum())
            union[s.episode.class_id] += s.query.mask.size
        figures = headline(results(scored)["all-foreground", fold])
        assert figures["miou"]["value"] == pytest.approx(np.mean([inter[c] / union[c] for c in inter]), abs=1e-12)
    assert fssbench("leaderboard", "build", scored, "-o", tmp_path / "board.json").code == 0
    board = json.loads((tmp_path / "board.json").read_text())
    assert [[run["fold"] for run in entry["runs"]] for entry in board["entries"]] == 2 * [list(FOLDS)]


def test_doctor_tells_what_is_odd_about_it(fssbench: Command, coco: DrawnCoco) -> None:
    report = json.loads(fssbench("doctor", coco.folder, "--json").out)
    counted = {finding["what"]: finding["count"] for finding in report["findings"]}
    expected = {"crowds, left out": 40, "several polygons": 160, "grey images": 32, "CMYK images": 32, "EXIF asks": 64}
    for words, count in expected.items():
        assert [n for what, n in counted.items() if words in what] == [count], words


def test_pascal_is_scored_with_and_without_its_border(fssbench: Command, tmp_path: Path) -> None:
    """Predicting everything, the border's pixels are either left out or false foreground."""
    pixels, border, size = 40, 9, 24 * 32
    drawn = {f"2008_{n:06d}": indices({c: pixels + n, 255: border}, start=n)
             for n, c in enumerate((16, 17, 18, 19, 20) * 2)}  # fmt: skip
    raw, sets = voc(tmp_path / "voc", drawn), tmp_path / "sets"
    data = ("-s", raw, "-o", sets, "-f", 3, "-n", 10, "--min-pixels", 1)
    assert fssbench("prepare", "pascal", *data).code == 0
    asked = ("eval", "-m", "all-foreground", "-b", "pascal", "-d", sets, "-f", 3, "-o", tmp_path / "r")
    assert fssbench(*asked, "--visualize", 2).code == 0
    for s in stream(EpisodeSet.open(sets / "pascal-5i/strict/fold3"), shot=1, seed=0, transform=as_frame):
        for frame in (s.query, *s.supports):
            assert (frame.mask == (drawn[frame.image_id] == s.episode.class_id + 1)).all()
            assert frame.ignore is not None
            assert (frame.ignore == (drawn[frame.image_id] == 255)).all()
    result = results(tmp_path / "r")["all-foreground", 3]
    assert result["headline"] == "original/ignore"
    scores = {p["policy"]: p["miou"]["value"] for p in result["policies"]}
    # Both images of a class are asked about once each.
    covered = [2 * pixels + 2 * n + 5 for n in range(5)]
    assert scores["original/ignore"] == pytest.approx(np.mean(covered) / (2 * size - 2 * border), abs=1e-12)
    assert scores["original/no-ignore"] == pytest.approx(np.mean(covered) / (2 * size), abs=1e-12)
    other = ("--no-ignore-label", "-o", tmp_path / "n")
    assert fssbench(*asked[:-2], *other).code == 0
    assert results(tmp_path / "n")["all-foreground", 3]["headline"] == "original/no-ignore"


def test_both_encodings_of_fss_masks_are_one_mask(fssbench: Command, tmp_path: Path) -> None:
    """RGBA with soft edges, and RGB of 0 and 1."""
    raw, sets = fss(tmp_path / "fss", ("abacus", "zither"), numbers=range(1, 6)), tmp_path / "sets"
    soft, hard = blob(), blob() >= 128
    for n in range(1, 6):
        png(raw / f"abacus/{n}.png", np.dstack([soft, soft, soft, np.full_like(soft, 255)]))
        png(raw / f"zither/{n}.png", np.dstack([hard.astype(np.uint8)] * 3))
    ran = fssbench("prepare", "fss", "-s", raw, "-o", sets, "--shots", "1,4", "-n", 20, "--allow-missing-classes")
    assert ran.code == 0, ran.err
    assert "masks of values 0 and 1, read as such: 5 " in ran.err
    assert fssbench("verify", sets).code == 0
    for s in stream(EpisodeSet.open(sets / "fss-1000/strict/fold0"), shot=4, seed=0, transform=as_frame):
        assert all((frame.mask == hard).all() for frame in (s.query, *s.supports))
