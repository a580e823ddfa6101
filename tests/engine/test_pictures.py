"""Answers drawn beside the truth: every mask in its own column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from fssbench.engine.evaluate import answers
from fssbench.engine.pictures import draw_answers
from fssbench.models.baselines import CopySupport
from fssbench.pipelines.episode_set import EpisodeSet
from fssbench.pipelines.pictures import BLUE, CELL, GAP, GREEN, LINE, RED


def test_answers_are_drawn_a_row_an_episode(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """All supports, the query's truth, and a cell for each model: of 2 shots and 2 models, five cells."""
    given = list(answers(CopySupport(size=32), toy_set, shot=2, seed=0, episodes=3, workers=1))
    names = {pool.id: pool.name for pool in toy_set.manifest.classes}
    path = tmp_path / "answers.png"
    draw_answers(path, {"one": given, "other": given}, class_names=names)
    with Image.open(path) as image:
        pixels = np.asarray(image)
    assert pixels.shape == (LINE + 2 * GAP + 3 * (CELL + LINE + GAP), GAP + 5 * (CELL + GAP), 3)
    for c, colour in enumerate((BLUE, BLUE, GREEN, RED, RED)):
        column = pixels[:, GAP + c * (CELL + GAP) :][:, :CELL].reshape(-1, 3)
        found = {other for other in (RED, GREEN, BLUE) if (column == other).all(axis=1).any()}
        assert found == {colour}
