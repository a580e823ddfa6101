"""How a model was asked is what the options said, and stands in the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command import Command

from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.schemas.result import Execution, Result, read_result

MODEL = ("-m", "prototype", "--backbone", "resnet18", "--backbone-weights", "none")
ASKED = ("eval", *MODEL, "-b", "toy", "-f", 0, "-n", 6)


def evaluate(fssbench: Command, episode_set: EpisodeSet, output: Path, *options: object) -> Result:
    ran = fssbench(*ASKED, "--option", "size=48", "-d", episode_set.path, "-o", output, *options)
    assert ran.code == 0, ran.err
    (path,) = output.rglob("*seed0.json")
    return read_result(path)


def execution(result: Result) -> Execution:
    assert result.execution is not None
    return result.execution


def test_what_was_done_stands_in_the_result(fssbench: Command, toy_set: EpisodeSet, tmp_path: Path) -> None:
    fast = evaluate(fssbench, toy_set, tmp_path / "a", "--batch", 2, "--feature-cache", "1MiB")
    assert (execution(fast).path, execution(fast).batch, execution(fast).feature_cache) == ("fast", 2, 1 << 20)
    assert (execution(fast).precision, execution(fast).precision_check, execution(fast).shortages) == (
        "float32",
        None,
        0,
    )
    plain = evaluate(fssbench, toy_set, tmp_path / "b", "--plain")
    assert (execution(plain).path, execution(plain).batch, execution(plain).feature_cache) == ("plain", 1, None)
    assert execution(plain).encoded_images == 12
    assert fast.command.resolved["path"] == "fast"
    assert plain.command.resolved["path"] == "plain"


def test_a_lower_precision_is_compared_with_float32(fssbench: Command, toy_set: EpisodeSet, tmp_path: Path) -> None:
    result = evaluate(fssbench, toy_set, tmp_path, "--precision", "bf16")
    check = execution(result).precision_check
    assert execution(result).precision == "bf16"
    assert check is not None
    assert check.episodes == 6
    assert 0 < check.differing_pixels < 0.2 * check.pixels
    assert check.miou == pytest.approx(result.score.miou.value)
    assert check.miou_float32 == pytest.approx(evaluate(fssbench, toy_set, tmp_path / "whole").score.miou.value)
    ran = fssbench(*ASKED, "--option", "size=48", "-d", toy_set.path, "-o", tmp_path)
    assert ran.code == 2
    assert "was computed in bf16, not in float32; pass --overwrite" in ran.error


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    ran = fssbench(*ASKED, "-d", toy_set.path, "-o", tmp_path / "out", "--dry-run", "--json")
    assert ran.code == 0, ran.err
    (told,) = json.loads(ran.out)
    episodes = toy_set.tracks["1shot-seed0"].first(6).episodes
    distinct = {(e.class_id, image) for e in episodes for image in (e.query, *e.supports)}
    supports = {(e.class_id, image) for e in episodes for image in e.supports}
    assert (told["episodes"], told["images"]) == (6, len(distinct))
    assert told["encoded"] == len(distinct) + len(supports), "supports are kept as what is made of them"
    assert told["feature_bytes"] == 4 * 256 * 25 * 25
    assert told["memory"] == told["weights"] + told["features"] + told["working"]
    assert told["seconds"] > 0
    assert not (tmp_path / "out").exists()
    ran = fssbench(*ASKED, "-d", toy_set.path, "-o", tmp_path / "out", "--dry-run", "--plain")
    assert "fold 0, 1-shot, seed 0: 6 episodes" in ran.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--precision", "fp16", "--device", "cpu"), "fp16 needs a GPU"),
        (("--feature-cache", "much"), "'much' is not an amount of memory"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    fssbench: Command, toy_set: EpisodeSet, options: tuple[str, ...], message: str
) -> None:
    ran = fssbench(*ASKED, "-d", toy_set.path, *options)
    assert ran.code == 2
    assert message in ran.error
