"""What training and test have in common: classes and images, which they must not, and novel pixels, which they may.

Publications differ in the last: an image of a base class that also shows a novel one is dropped by some, and by
others learned from, with the novel class as background. Neither is wrong, but it has to be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from fssbench.base.errors import TrainingSetError
from fssbench.base.files import sha256_bytes
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.training import TrainingLists
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.shards import read_images
from fssbench.pipelines.sources.files import shorten
from fssbench.pipelines.training_sets.training_set import TrainingSet
from fssbench.schemas.leakage import LeakageRecord
from fssbench.schemas.manifest import SourceRecord

__all__ = ["Leakage", "audit"]


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What `audit` found.

    Attributes:
        record: to be stored.
        shared: ids of the images that are both trained and tested, as the training set has them, sorted.
    """

    record: LeakageRecord
    shared: tuple[str, ...]

    def require_none(self) -> None:
        """Raise `TrainingSetError` if a class or an image that is tested is trained on."""
        found = self.record
        if found.shared_classes:
            raise TrainingSetError(
                f"classes are both trained and tested: {shorten(found.shared_classes)}",
                remedy="train for the fold that is tested",
            )
        if found.shared_images:
            raise TrainingSetError(
                f"{found.shared_images:,} of {found.images:,} images to train on are tested: {shorten(self.shared)}",
                remedy="train on images that no episode uses, or drop those with novel classes; a score on images "
                "that were trained on says little",
            )

    def lines(self) -> list[str]:
        """For people: what is in common, and what novel classes there are in training."""
        found = self.record
        share = 100 * found.novel_pixels / found.pixels if found.pixels else 0.0
        return [
            f"tested: {', '.join(found.tested) or 'nothing'} ({found.tested_images:,} images)",
            f"classes both trained and tested: {shorten(found.shared_classes) or 'none'}",
            f"images both trained and tested: {found.shared_images:,}",
            f"images trained on: {found.images:,}; dropped for a novel class: {found.dropped_images:,}",
            f"of them with novel classes, learned as background: {found.novel_images:,} "
            f"({found.novel_pixels:,} pixels, {share:.2f} % of all)",
        ]


def audit(
    training_set: TrainingSet,
    lists: TrainingLists,
    test_sets: Sequence[EpisodeSet],
    *,
    advance: Advance = no_progress,
) -> Leakage:
    """Intersect what ``lists`` train on, held-out classes among it, with the classes and images of ``test_sets``.

    Classes are compared by name, so that sets of other benchmarks can be among those tested; that an aeroplane is an
    airplane is not known here. Every image of the tested sets is hashed, also those that no episode of some track uses.

    Args:
        advance: called with the bytes of each tested shard.

    Raises:
        EpisodeSetError: a tested set is missing or damaged.
        TrainingSetError: the training set's index is.
    """
    names = {pool.id: pool.name for pool in training_set.manifest.classes}
    trained = {names[c].casefold(): names[c] for c in (*lists.classes, *lists.held_out) if c in names}
    tested = {pool.name.casefold() for one in test_sets for pool in one.manifest.classes}
    hashes, ids = _tested_images(training_set, test_sets, advance)
    used = [
        training_set.entries[image_id]
        for image_id in sorted({*lists.images, *lists.validation_images, *chain(*lists.validation.values())})
    ]
    shared = tuple(e.image_id for e in used if e.image_sha256 in hashes or e.image_id in ids)
    areas = [sum(pixels for c, pixels in entry.areas.items() if c in lists.novel) for entry in used]
    return Leakage(
        record=LeakageRecord(
            tested=tuple(one.manifest.title for one in test_sets),
            shared_classes=tuple(trained[name] for name in sorted(trained.keys() & tested)),
            shared_images=len(shared),
            images=len(used),
            tested_images=len(hashes),
            novel_images=sum(area > 0 for area in areas),
            novel_pixels=sum(areas),
            pixels=sum(entry.height * entry.width for entry in used),
            dropped_images=lists.dropped,
        ),
        shared=shared,
    )


def _tested_images(
    training_set: TrainingSet, test_sets: Sequence[EpisodeSet], advance: Advance
) -> tuple[set[str], set[str]]:
    """SHA-256 of every tested image file, and the ids of those that come from the same data as the training set."""
    hashes: set[str] = set()
    ids: set[str] = set()
    for one in test_sets:
        same = _same_ids(one.manifest.source, training_set.manifest.source)
        for shard in one.shards("images"):
            for sample in read_images(one.place, shard):
                hashes.add(sha256_bytes(sample.jpeg))
                if same:
                    ids.add(sample.meta.image_id)
            advance(shard.bytes)
    return hashes, ids


def _same_ids(a: SourceRecord, b: SourceRecord) -> bool:
    """Whether an id means the same image in both; rows of a Hugging Face dataset may be numbered in each part anew."""
    return a.kind == b.kind and "hugging-face" not in (a.layout, b.layout)
