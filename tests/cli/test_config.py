"""Options of eval from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command import Command

from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

CONFIG = """
model = "prototype"
benchmark = "toy"
fold = 0
shots = [1, 2]
limit = 2
backbone = "resnet18"
backbone_weights = "none"
save-predictions = true
plain = true

[option]
size = 64
"""


def results(out: str) -> list[dict[str, Any]]:
    return [one["result"] for one in json.loads(out)]


def test_a_file_says_what_the_line_would_and_the_line_wins(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "eval.toml"
    config.write_text(f"{CONFIG}")
    asked = ("eval", "--config", config, "-d", toy_set.path, "--json")
    ran = fssbench(*asked, "-o", tmp_path / "r")
    assert ran.code == 0, ran.err
    found = results(ran.out)
    assert [(one["episodes"]["shot"], one["episodes"]["n_episodes"]) for one in found] == [(1, 2), (2, 2)]
    first = found[0]
    assert (first["model"]["options"]["size"], first["execution"]["path"]) == (64, "plain")
    assert first["predictions"] is not None
    words = ("-m", "prototype", "-b", "toy", "-f", 0, "-k", "1,2", "--limit", 2, "--backbone", "resnet18")
    more = ("--backbone-weights", "none", "--save-predictions", "--plain", "--option", "size=64")
    typed = fssbench("eval", *words, *more, "-d", toy_set.path, "--json", "-o", tmp_path / "r")
    assert [one["skipped"] for one in json.loads(typed.out)] == [True, True]
    (other,) = results(fssbench(*asked, "-o", tmp_path / "s", "--shot", 1, "--limit", 3).out)
    assert other["episodes"]["n_episodes"] == 3
    monkeypatch.setenv("FSSBENCH_EVAL_LIMIT", "4")
    (third,) = results(fssbench(*asked, "-o", tmp_path / "t", "--shot", 1).out)
    assert third["episodes"]["n_episodes"] == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'x'", "eval.toml: fssbench eval has no option --modle; did you mean 'model'?"),
        ("model = ['a', 'b']", "eval.toml: model has 2 values, and takes one; keep one of them"),
        ("xyzzy = 1", "has no option --xyzzy; see fssbench eval --help for its options"),
        ("model = ", "is not TOML"),
        ("config = 'x'", "fssbench eval has no option --config"),
        ("shot = 'x'", "--shots must be integers joined by commas, got 'x'"),
        ("limit = 0", "Invalid value for '--limit'"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_says_nonsense_is_refused(
    fssbench: Command, text: str | None, message: str, tmp_path: Path
) -> None:
    config = tmp_path / "eval.toml"
    if text is not None:
        config.write_text(text)
    ran = fssbench("eval", "-m", "copy-support", "--config", config)
    assert ran.code == 2
    assert message in ran.error
