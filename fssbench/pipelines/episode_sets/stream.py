"""Reading an episode set: shards checked, images decoded ahead of need, frames shared by episodes."""

from __future__ import annotations

import io
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import EpisodeSetError, SourceError
from fssbench.episodes.episodes import Episode
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.formats.lookahead import Lookahead
from fssbench.pipelines.formats.shards import REBUILD, episodes_ahead, images_ahead
from fssbench.pipelines.formats.tar import TarSample
from fssbench.schemas.manifest import ShardRecord
from fssbench.schemas.samples import EpisodeSample, ImageMeta, ImageSample

__all__ = ["Frame", "StreamedEpisode", "decode_frame", "require_agreement", "stream", "truth_of"]

T = TypeVar("T")

RESIDENT_BYTES = 384 << 20
"""Decoded frames held at a time, 300 of COCO's; what is dropped for want of room is decoded again."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded image with the mask of one class.

    Attributes:
        key: the image's key in the set.
        image: RGB pixels (H, W, 3) uint8.
        mask: (H, W) bool, where the class is.
        ignore: (H, W) bool, pixels that are not scored, or ``None`` if there are none; never in ``mask``.
        n_classes: classes of the benchmark that the image shows, or ``None`` if the data does not say.
    """

    key: str
    image_id: str
    class_id: int
    image: npt.NDArray[np.uint8]
    mask: npt.NDArray[np.bool_]
    ignore: npt.NDArray[np.bool_] | None
    n_classes: int | None


@dataclass(frozen=True, slots=True)
class StreamedEpisode(Generic[T]):
    """An episode with its images: `Frame` objects, or whatever they were turned into."""

    index: int
    episode: Episode
    query: T
    supports: tuple[T, ...]


def as_frame(frame: Frame) -> Frame:
    """Leave a frame as it is: the plainest thing to `stream`."""
    return frame


def stream(
    episode_set: EpisodeSet,
    *,
    shot: int,
    seed: int,
    transform: Callable[[Frame], T],
    episodes: int | None = None,
    skip: Container[int] = frozenset(),
    workers: int = 4,
    resident: int = RESIDENT_BYTES,
    arrange: Callable[[list[EpisodeSample]], list[EpisodeSample]] | None = None,
) -> Iterator[StreamedEpisode[T]]:
    """The episodes of a track in the order of the evaluation plan: class by class, then by index.

    Shards are read once each, and nothing of a shard is used before its hash and counts have been checked.
    Images are decoded and transformed by a pool of threads a little ahead of need; while a frame is held,
    all episodes of its class share one object.

    Args:
        shot: of the track.
        seed: of the track.
        transform: makes of a `Frame` what the caller needs; called in the threads.
        episodes: only those with an index below this; ``None`` for all.
        skip: indices to leave out, because they were asked before.
        workers: decoding threads, ≥ 1.
        resident: bytes of pixels and masks held at a time, what ``transform`` adds to them not counted.
        arrange: puts the episodes of a class into another order.

    Raises:
        EpisodeSetError: a shard is missing or damaged, or shards and lock disagree.
        SourceError: an image cannot be decoded.
    """
    record = episode_set.record(shot=shot, seed=seed)
    track = episode_set.tracks[record.label]
    limit = record.episodes if episodes is None else len(track.first(episodes).episodes)
    by_class = _samples_by_class(episode_set, track.name, limit)
    found = sum(map(len, by_class.values()))
    if found != limit:
        raise EpisodeSetError(
            f"{episode_set.place}: the shards of {track.name} hold {found} of its first {limit} episodes",
            remedy="prepare the set again with --overwrite",
        )
    asked = {c: [s for s in samples if s.index not in skip] for c, samples in by_class.items()}
    wanted = {c: arrange(samples) if arrange else samples for c, samples in asked.items() if samples}
    with ThreadPoolExecutor(workers) as executor:
        for samples, frames in _classes(episode_set, wanted):

            def make(key: str, frames: dict[str, ImageSample] = frames) -> T:
                return transform(decode_frame(episode_set, frames[key]))

            def size(key: str, frames: dict[str, ImageSample] = frames) -> int:
                meta = frames[key].meta
                return meta.height * meta.width * (4 if meta.ignore is None else 5)

            keys = [key for sample in samples for key in (sample.query, *sample.supports)]
            _require_frames(episode_set, keys, frames)
            upcoming = Lookahead(keys, make, executor=executor, capacity=resident, ahead=4 * workers, size=size)
            for sample in samples:
                episode = track.episodes[sample.index]
                shown = [frames[key].meta.image_id for key in (sample.query, *sample.supports)]
                require_agreement(episode_set, episode, sample, shown)
                query, *supports = [upcoming.take() for _ in range(1 + shot)]
                yield StreamedEpisode(sample.index, episode, query, tuple(supports))


def by_webdataset(data: bytes) -> Iterator[TarSample]:
    """A shard's samples as WebDataset's own stages expand and group them: the same as `tar.unpack`."""
    # Here, since WebDataset brings torch: whoever only looks at a set is spared both.
    from webdataset.tariterators import group_by_keys, tar_file_expander

    for sample in group_by_keys(tar_file_expander([{"url": "", "stream": io.BytesIO(data)}])):
        yield sample["__key__"], {suffix: member for suffix, member in sample.items() if not suffix.startswith("__")}


def _samples_by_class(episode_set: EpisodeSet, track: str, limit: int) -> dict[int, list[EpisodeSample]]:
    by_class: dict[int, list[EpisodeSample]] = {}
    shards = episode_set.shards("episodes", track=track)
    for read in episodes_ahead(episode_set.place, shards, unpack=by_webdataset):
        for sample in read:
            if sample.index < limit:
                by_class.setdefault(sample.class_id, []).append(sample)
    return {c: sorted(by_class[c], key=lambda sample: sample.index) for c in sorted(by_class)}


def _classes(
    episode_set: EpisodeSet, by_class: dict[int, list[EpisodeSample]]
) -> Iterator[tuple[list[EpisodeSample], dict[str, ImageSample]]]:
    """Each class's episodes with its images, still encoded; a shard two classes share is read once."""
    used = {key for samples in by_class.values() for s in samples for key in (s.query, *s.supports)}
    first_for: dict[int, list[ShardRecord]] = {class_id: [] for class_id in by_class}
    for shard in episode_set.shards("images"):
        if (first := next((c for c in by_class if c in shard.classes), None)) is not None:
            first_for[first].append(shard)
    reading = images_ahead(episode_set.place, chain.from_iterable(first_for.values()), unpack=by_webdataset)
    waiting: dict[int, dict[str, ImageSample]] = {class_id: {} for class_id in by_class}
    for class_id, samples in by_class.items():
        for image in chain.from_iterable(islice(reading, len(first_for[class_id]))):
            if image.key in used and image.meta.class_id in waiting:
                waiting[image.meta.class_id][image.key] = image
        yield samples, waiting.pop(class_id)


def _require_frames(episode_set: EpisodeSet, keys: list[str], frames: dict[str, ImageSample]) -> None:
    if absent := [key for key in keys if key not in frames]:
        raise EpisodeSetError(
            f"{episode_set.place}: no image shard has {absent[0]}, which an episode names",
            remedy="prepare the set again with --overwrite",
        )


def require_agreement(episode_set: EpisodeSet, episode: Episode, sample: EpisodeSample, shown: Sequence[str]) -> None:
    """The shards must hold the very episode that the lock pins.

    Args:
        shown: the ids of the images that the sample's keys lead to, the query's first.
    """
    ids = tuple(shown)
    if (sample.class_id, *ids) != (episode.class_id, episode.query, *episode.supports):
        raise EpisodeSetError(
            f"{episode_set.place}: episode {sample.index} is {ids} of class {sample.class_id} in the shards, "
            f"the lock says {(episode.query, *episode.supports)} of class {episode.class_id}",
            remedy="prepare the set again with --overwrite",
        )


def decode_frame(episode_set: EpisodeSet, sample: ImageSample) -> Frame:
    """Decode an image of the set; `EpisodeSetError` or `SourceError` if it is not what its shard says."""
    meta = sample.meta
    where = f"{episode_set.place}: image {sample.key} ({meta.image_id})"
    image = images.decode(sample.jpeg, orientation=meta.orientation, where=where)
    if image.shape[:2] != (meta.height, meta.width):
        raise EpisodeSetError(
            f"{where} decodes to {image.shape[1]}×{image.shape[0]} pixels, its mask has {meta.width}×{meta.height}",
            remedy="prepare the set again with --overwrite",
        )
    mask, ignore = truth_of(meta, where=where)
    return Frame(
        key=sample.key,
        image_id=meta.image_id,
        class_id=meta.class_id,
        image=image,
        mask=mask,
        ignore=ignore,
        n_classes=meta.n_classes,
    )


def truth_of(meta: ImageMeta, *, where: str) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_] | None]:
    """An image's class mask (H, W) bool and the pixels not to score, if any.

    Raises `EpisodeSetError` if they overlap, or are not of the image's size.
    """
    size = (meta.height, meta.width)
    try:
        mask = masks.decode(meta.mask, size=size)
        ignore = None if meta.ignore is None else masks.decode(meta.ignore, size=size)
    except SourceError as error:
        raise EpisodeSetError(f"{where}: {error}", remedy=REBUILD) from error
    if ignore is not None and (both := int((mask & ignore).sum())):
        raise EpisodeSetError(
            f"{where} has {both} pixels that are both the class and ignored", remedy="prepare the set again"
        )
    return mask, ignore
