"""The audit: what is trained and tested is found by content and by name, and novel pixels are counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fssbench.base.errors import TrainingSetError
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.episodes.training import TrainingPolicy
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.shards import read_images
from fssbench.pipelines.formats.training_index import Entry
from fssbench.pipelines.sources import open_source
from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training
from fssbench.pipelines.training_sets.leakage import audit
from fssbench.pipelines.training_sets.lists import training_lists
from fssbench.pipelines.training_sets.training_set import TrainingSet


def test_training_and_test_images_of_the_toy_have_nothing_in_common(
    toy_training: TrainingSet, toy_set: EpisodeSet
) -> None:
    lists = training_lists(toy_training, 0, TrainingPolicy())
    found = audit(toy_training, lists, [toy_set])
    found.require_none()
    assert (found.record.shared_images, found.record.shared_classes) == (0, ())
    assert found.record.tested == ("toy-20i strict fold 0",)
    assert found.record.images == len(lists.images)


def test_novel_classes_in_training_are_counted_and_dropped_by_policy(
    toy_training: TrainingSet, toy_set: EpisodeSet
) -> None:
    novel = set(TOY_20I.novel_classes(0))
    entries = [e for e in toy_training.entries.values() if set(e.areas) - novel]
    both = [e for e in entries if set(e.areas) & novel]
    kept = audit(toy_training, training_lists(toy_training, 0, TrainingPolicy()), [toy_set]).record
    assert kept.novel_images == len(both) > 100
    assert kept.novel_pixels == sum(area for e in both for c, area in e.areas.items() if c in novel)
    assert kept.pixels == sum(e.height * e.width for e in entries)
    dropped = audit(toy_training, training_lists(toy_training, 0, TrainingPolicy(drop_novel=True)), [toy_set])
    assert (dropped.record.novel_images, dropped.record.novel_pixels) == (0, 0)
    assert dropped.record.images == len(entries) - len(both)
    assert "of them with novel classes, learned as background: 0 (0 pixels, 0.00 % of all)" in dropped.lines()


def test_training_for_another_fold_shares_its_classes(toy_training: TrainingSet, toy_set: EpisodeSet) -> None:
    found = audit(toy_training, training_lists(toy_training, 1, TrainingPolicy()), [toy_set])
    names = {pool.name for pool in toy_set.manifest.classes}
    assert set(found.record.shared_classes) == names
    with pytest.raises(TrainingSetError, match="classes are both trained and tested: amber diamond, amber triangle"):
        found.require_none()


@pytest.fixture(scope="module")
def leaking(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    """The images that are tested, as a training set."""
    source = open_source(TOY_20I, toy_raw)
    return TrainingSet.open(build_training(plan_training(source, tmp_path_factory.mktemp("leaking")), source).path)


def changed(training_set: TrainingSet, change: Callable[[Entry], Entry]) -> TrainingSet:
    """A set whose index says something else of every image."""
    other = TrainingSet(training_set.path, training_set.manifest)
    entries = map(change, training_set.entries.values())
    other.__dict__["entries"] = {entry.image_id: entry for entry in entries}
    return other


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda entry: entry, id="as it is"),
        pytest.param(lambda entry: replace(entry, image_id=f"other/{entry.image_id}"), id="under another id"),
        pytest.param(lambda entry: replace(entry, image_sha256="0" * 64), id="compressed anew"),
    ],
)
def test_an_image_that_is_tested_is_found_by_its_bytes_or_by_its_id(
    leaking: TrainingSet, toy_set: EpisodeSet, change: Callable[[Entry], Entry]
) -> None:
    training_set = changed(leaking, change)
    lists = training_lists(training_set, 0, TrainingPolicy())
    found = audit(training_set, lists, [toy_set])
    tested = {s.meta.image_id for shard in toy_set.shards("images") for s in read_images(toy_set.path, shard)}
    assert {i.removeprefix("other/") for i in found.shared} == {
        i.removeprefix("other/") for i in lists.images if i.removeprefix("other/") in tested
    }
    assert found.record.shared_images == len(found.shared) > 10
    with pytest.raises(TrainingSetError, match="images to train on are tested"):
        found.require_none()


def test_dropping_novel_classes_drops_all_that_is_tested(leaking: TrainingSet, toy_set: EpisodeSet) -> None:
    """Every tested image shows a novel class."""
    audit(leaking, training_lists(leaking, 0, TrainingPolicy(drop_novel=True)), [toy_set]).require_none()
