"""What an episode set consists of, class by class: images, episodes, object sizes.

What is said of a class, and of all classes, counts pairs of class and image, as a set stores them: an image that
serves two classes is two of them. How many classes images show is what makes PASCAL-5i easy and COCO-20i hard
(HDMNet, appendix A and figure 8).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fssbench.base.errors import EpisodeSetError, SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.episodes import Episode, Track
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats.shards import REBUILD, images_ahead
from fssbench.schemas.manifest import ClassPool
from fssbench.schemas.samples import ImageMeta
from fssbench.scoring.groups import LARGE

__all__ = ["ClassSummary", "ImageFacts", "SetSummary", "image_facts", "summarise", "summarise_set"]

ImageKey = tuple[int, str]
"""A class index and an image id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What a summary needs to know of an image that serves a class.

    Attributes:
        pixels: of the image.
        object_pixels: of the class.
        ignored_pixels: that are not scored.
        n_classes: classes of the benchmark that the image shows, ``None`` if the data does not say.
    """

    pixels: int
    object_pixels: int
    ignored_pixels: int
    n_classes: int | None

    @staticmethod
    def of(meta: ImageMeta) -> ImageFacts:
        """The facts in an image sample's JSON; `EpisodeSetError` if its masks are not encodings."""
        try:
            object_pixels = masks.area(meta.mask)
            ignored_pixels = 0 if meta.ignore is None else masks.area(meta.ignore)
        except SourceError as error:
            raise EpisodeSetError(f"image {meta.image_id}: {error}", remedy=REBUILD) from error
        return ImageFacts(
            pixels=meta.height * meta.width,
            object_pixels=object_pixels,
            ignored_pixels=ignored_pixels,
            n_classes=meta.n_classes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassSummary:
    """One class, or all of them.

    Attributes:
        id: the class index; ``None`` for all classes.
        eligible: images that may serve the class.
        episodes: by track, such as ``1shot-seed0``.
        images: eligible images that some episode uses.
        queries: images that some episode asks about.
        supports: images that are a support of some episode.
        reused_supports: those that are a support of more than one.
        repeated_supports: episodes that name an image twice among their supports.
        object_share: quartiles of the share of its image, in [0, 1], that the class covers; ``None`` without images.
        small: images in which it covers less than `LARGE`.
        alone: images that show no other class of the benchmark; ``None`` if the data does not say.
        ignored_share: of all pixels, those that are not scored, in [0, 1].
    """

    id: int | None
    name: str
    eligible: int
    episodes: dict[str, int]
    images: int
    queries: int
    supports: int
    reused_supports: int
    repeated_supports: int
    object_share: tuple[float, float, float] | None
    small: int
    alone: int | None
    ignored_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSummary:
    """A set.

    Attributes:
        classes: by class index.
        total: of all classes.
        different_images: images, each counted once whatever classes it serves.
        classes_in_image: how many of those show 1, 2, 3, … classes of the benchmark, of any fold; ``None`` if
            the data does not say.
    """

    classes: tuple[ClassSummary, ...]
    total: ClassSummary
    different_images: int
    classes_in_image: dict[int, int] | None


def summarise_set(episode_set: EpisodeSet, *, advance: Advance = no_progress) -> SetSummary:
    """Summarise a set from its lock and the JSON of its image shards; no image is decoded.

    Args:
        advance: called with the bytes of each shard read.

    Raises:
        EpisodeSetError: the lock or a shard is missing or damaged.
    """
    return summarise(episode_set.manifest.classes, episode_set.tracks, image_facts(episode_set, advance=advance))


def image_facts(episode_set: EpisodeSet, *, advance: Advance = no_progress) -> dict[ImageKey, ImageFacts]:
    """The facts of every image in a set's shards, which are checked as they are read."""
    facts: dict[ImageKey, ImageFacts] = {}
    shards = episode_set.shards("images")
    for shard, samples in zip(shards, images_ahead(episode_set.place, shards), strict=True):
        for sample in samples:
            facts[sample.meta.class_id, sample.meta.image_id] = ImageFacts.of(sample.meta)
        advance(shard.bytes)
    return facts


def summarise(
    pools: Sequence[ClassPool], tracks: Mapping[str, Track], facts: Mapping[ImageKey, ImageFacts]
) -> SetSummary:
    """Summarise tracks, given how many images each class has and what is known of those in use.

    Raises:
        EpisodeSetError: an episode uses an image that there are no facts of.
    """
    episodes = {name: track.episodes for name, track in tracks.items()}
    used = {key for chosen in episodes.values() for episode in chosen for key in _keys(episode)}
    if absent := used - facts.keys():
        class_id, image_id = min(absent)
        raise EpisodeSetError(
            f"no image shard has {image_id} of class {class_id}, which an episode uses",
            remedy="prepare the set again with --overwrite",
        )
    in_use = {key: facts[key] for key in sorted(used)}
    classes = [
        _describe(
            pool.id,
            pool.name,
            pool.images,
            {name: [e for e in chosen if e.class_id == pool.id] for name, chosen in episodes.items()},
            [one for (class_id, _), one in in_use.items() if class_id == pool.id],
        )
        for pool in pools
    ]
    shown = {image_id: one.n_classes for (_, image_id), one in in_use.items()}
    counts = Counter(n for n in shown.values() if n is not None)
    return SetSummary(
        classes=tuple(classes),
        total=_describe(None, "all", sum(pool.images for pool in pools), episodes, list(in_use.values())),
        different_images=len(shown),
        classes_in_image=None if None in shown.values() else dict(sorted(counts.items())),
    )


def _keys(episode: Episode) -> list[ImageKey]:
    return [(episode.class_id, image_id) for image_id in (episode.query, *episode.supports)]


def _describe(
    class_id: int | None,
    name: str,
    eligible: int,
    episodes: Mapping[str, Sequence[Episode]],
    facts: Sequence[ImageFacts],
) -> ClassSummary:
    every = [episode for chosen in episodes.values() for episode in chosen]
    serving = Counter(key for episode in every for key in {(episode.class_id, i) for i in episode.supports})
    shares = [one.object_pixels / one.pixels for one in facts]
    low, middle, high = np.percentile(shares, [25, 50, 75]).tolist() if shares else (0.0, 0.0, 0.0)
    return ClassSummary(
        id=class_id,
        name=name,
        eligible=eligible,
        episodes={track: len(chosen) for track, chosen in episodes.items()},
        images=len(facts),
        queries=len({(episode.class_id, episode.query) for episode in every}),
        supports=len(serving),
        reused_supports=sum(n > 1 for n in serving.values()),
        repeated_supports=sum(len(set(episode.supports)) < len(episode.supports) for episode in every),
        object_share=(low, middle, high) if shares else None,
        small=sum(share < LARGE for share in shares),
        alone=_alone(facts),
        ignored_share=sum(one.ignored_pixels for one in facts) / max(1, sum(one.pixels for one in facts)),
    )


def _alone(facts: Iterable[ImageFacts]) -> int | None:
    numbers = [one.n_classes for one in facts]
    return None if None in numbers else sum(n == 1 for n in numbers)
