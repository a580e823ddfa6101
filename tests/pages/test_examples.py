"""The episodes of a result that are drawn: which they are, and what lies beside the result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from toys import copy_support

from fssbench.base.errors import ResultError
from fssbench.engine.job import Job
from fssbench.engine.run import run
from fssbench.pages.draw_examples import SIDE, extremes, keep_examples
from fssbench.pages.examples import INDEX, SHEET, Examples, examples_folder
from fssbench.pages.pictures import BLUE
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.evaluation import Evaluation
from fssbench.results.load import load_result

ious = st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), max_size=40)


@given(values=ious, n=st.integers(0, 30))
def test_worst_median_and_best_are_even_and_in_order(values: list[float], n: int) -> None:
    """No episode outside the worst is worse than they are, none outside the best is better, none is there twice."""
    found = extremes(np.array(values, dtype=np.float64), n)
    chosen = [index for indices in found.values() for index in indices]
    defined = sorted(value for value in values if not np.isnan(value))
    sizes = [len(indices) for indices in found.values()]
    assert len(chosen) == len(set(chosen)) == min(n, len(defined))
    assert max(sizes) - min(sizes) <= 1
    in_order = [values[index] for index in chosen]
    assert in_order == sorted(in_order)
    assert [values[i] for i in found["worst"]] == defined[: sizes[0]]
    assert [values[i] for i in found["best"]] == defined[len(defined) - sizes[2] :]


def test_the_median_ones_are_around_the_median() -> None:
    assert extremes(np.arange(101) / 100, 9)["median"] == [49, 50, 51]
    assert extremes(np.arange(3) / 3, 9) == {"worst": [0], "median": [1], "best": [2]}


@pytest.fixture(scope="module")
def job(toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory) -> Job:
    return Job(episode_set=toy_set, shot=2, seed=0, episodes=20, output=tmp_path_factory.mktemp("results"), workers=2)


@pytest.fixture(scope="module")
def finished(job: Job) -> Evaluation:
    return run(copy_support(), job)


def keep(job: Job, finished: Evaluation, n: int) -> tuple[Path, Examples]:
    kept = keep_examples(copy_support(), job, finished, n=n)
    return examples_folder(finished.path), kept


def test_examples_are_those_of_the_counts(job: Job, finished: Evaluation) -> None:
    """Chosen by the headline's IoU, which is the counts'; every file named is there, and no other."""
    folder, kept = keep(job, finished, 6)
    table = load_result(finished.path).table
    inter, union = table.under(finished.record.headline)[:, :2].T
    assert [e.choice for e in kept.examples] == ["worst"] * 2 + ["median"] * 2 + ["best"] * 2
    assert kept.examples[0].iou == (inter / union).min()
    assert kept.examples[-1].iou == (inter / union).max()
    for example in kept.examples:
        episode = table.track.episodes[example.index]
        assert (example.query, example.supports) == (episode.query, episode.supports)
        assert example.iou == inter[example.index] / union[example.index]
        assert set(example.pictures) == {"support 1", "support 2", "truth", "prediction", "errors"}
    named = {file for example in kept.examples for file in example.pictures.values()}
    assert {file.name for file in folder.iterdir()} == named | {INDEX, SHEET}
    with Image.open(folder / kept.examples[0].pictures["errors"]) as picture:
        assert (picture.format, max(picture.size)) == ("JPEG", SIDE)
    assert Examples.beside(finished.path, finished.record) == kept


def test_drawing_again_leaves_nothing_of_before(job: Job, finished: Evaluation) -> None:
    """The same bytes for the same number; with a smaller one, fewer files."""
    folder, _ = keep(job, finished, 6)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    keep(job, finished, 6)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    keep(job, finished, 1)
    assert len(list(folder.iterdir())) == 5 + 2


def test_examples_of_other_counts_are_not_shown(job: Job, finished: Evaluation) -> None:
    folder, _ = keep(job, finished, 1)
    other = finished.record.model_copy(
        update={"counts": finished.record.counts.model_copy(update={"sha256": "0" * 64})}
    )
    assert Examples.beside(finished.path, other) is None
    assert Examples.beside(finished.path.with_name("nothing.json"), other) is None
    index = json.loads((folder / INDEX).read_text())
    (folder / INDEX).write_text(json.dumps(index | {"kind": "something"}))
    with pytest.raises(ResultError, match=r"is not a list of examples: kind: .*draw them again with eval --visualize"):
        Examples.beside(finished.path, finished.record)


def test_examples_of_a_control_show_what_the_model_saw(job: Job, finished: Evaluation) -> None:
    """With the masks taken away, copying one finds nothing; the supports drawn have no outline."""
    loaded = copy_support()
    loaded = replace(loaded, record=loaded.record.model_copy(update={"control": "no-support"}))
    done = run(loaded, job)
    kept = keep_examples(loaded, job, done, n=3)
    assert {example.iou for example in kept.examples} == {0.0}
    with Image.open(examples_folder(done.path) / kept.examples[0].pictures["support 1"]) as picture:
        assert np.abs(np.asarray(picture).astype(int) - BLUE).sum(axis=2).min() > 60
