"""Whether the source's images are still those that earlier shards were written from.

The fingerprint of a source is that of its annotations, since hashing every image before anything is built
would read the data twice. But the shards hold the images themselves, so whoever goes on with what an earlier
run wrote can compare.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from pathlib import Path

from fssbench.base.errors import EpisodeSetError, SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.shards import image_samples, read_images
from fssbench.pipelines.formats.truth import ImageId, image_truth
from fssbench.pipelines.sources import Source
from fssbench.pipelines.sources.files import shorten
from fssbench.schemas.manifest import ShardRecord
from fssbench.schemas.samples import ImageMeta, ImageSample

__all__ = ["first_change", "read_sample", "require_same_images"]


def read_sample(source: Source, key: str, *, class_id: int, image_id: str) -> ImageSample:
    """An image and the mask of one class from the source, as the sample of a shard."""
    raw = source.read(image_id, class_id)
    meta = ImageMeta(
        image_id=image_id,
        class_id=class_id,
        height=raw.height,
        width=raw.width,
        orientation=raw.orientation,
        mask=raw.mask,
        ignore=raw.ignore,
        n_classes=raw.n_classes,
    )
    return ImageSample(key, raw.jpeg, meta)


def first_change(path: Path, samples: Iterable[ImageSample]) -> str:
    """Why the finished shard at ``path`` is not the one that would be written of ``samples``; empty if it is."""
    try:
        there = list(image_samples(path.read_bytes(), where=path.name))
    except EpisodeSetError as error:
        return error.problem
    for old, new in zip_longest(there, samples):
        if old != new:
            return f"image {(new or old).meta.image_id} has changed since"
    return ""


def require_same_images(
    episode_set: EpisodeSet,
    images: Collection[tuple[int, str]],
    source: Source,
    *,
    workers: int = 1,
    advance: Advance = no_progress,
) -> dict[ImageId, str]:
    """Refuse to extend a set with episodes on images that the source has under the same id, but not the same bytes.

    Args:
        images: class and id of the images that the episodes use. The set may hold one for another class.
        advance: called with 1 for every one of ``images`` that the set holds.

    Returns:
        The hash of every image of the set with its mask, by class and id: see `fssbench.pipelines.formats.truth`.

    Raises:
        SourceError: such images, all of them counted and the first named; or one that is damaged.
        EpisodeSetError: a shard of the set is missing or damaged.
    """
    ids = {image_id for _, image_id in images}
    truths: dict[ImageId, str] = {}

    def changed(shard: ShardRecord) -> Iterator[str]:
        for sample in read_images(episode_set.path, shard):
            about = (sample.meta.class_id, sample.meta.image_id)
            truths[about] = image_truth(sample)
            if about[1] in ids and source.read(about[1], about[0]).jpeg != sample.jpeg:
                yield about[1]
            advance(int(about in images))

    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda shard: set(changed(shard)), episode_set.shards("images"))
        other = sorted(set().union(*found))
    if other:
        raise SourceError(
            f"{len(other):,} image files are not those that {episode_set.path} was built from: {shorten(other)}",
            remedy="restore the files as they were, or pass --overwrite to build the set anew",
        )
    return truths
