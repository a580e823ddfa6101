"""A track with its images, opened: episodes by index, in order, as tensors, or as a WebDataset stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from fssbench.base.errors import EpisodeIndexError, EpisodeSetError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.episodes import Track
from fssbench.episodes.identity import Identity
from fssbench.pipelines.episode_sets.access import ImageAccess
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.loaded_episode import LoadedEpisode
from fssbench.pipelines.episode_sets.stream import Frame, decode_frame, require_agreement
from fssbench.pipelines.formats.shards import episodes_ahead
from fssbench.schemas.samples import EpisodeSample, ImageMeta

if TYPE_CHECKING:
    import webdataset

    from fssbench.models.interface import Preprocess
    from fssbench.pipelines.episode_sets.tensors import EpisodeTensors

__all__ = ["LoadedTrack"]

THREADS = 4
AHEAD = 8
"""Episodes that are decoded ahead of the one in use when a track is gone through."""


class LoadedTrack(Sequence[LoadedEpisode]):
    """The episodes of one fold, shot and seed, each decoded when it is asked for.

    ``track[17]`` reads the images of episode 17 alone, from where they stand in their shards. Going through a track
    in a ``for`` loop decodes a few episodes ahead. No image is kept. A track can be pickled, and read by the worker
    processes of a ``DataLoader``.
    """

    def __init__(self, episode_set: EpisodeSet, *, shot: int, seed: int, n: int | None = None) -> None:
        """Open a track.

        Args:
            shot: of the track.
            seed: of the track.
            n: the first so many episodes, or ``None`` for all.

        Raises:
            EpisodeSetError: the set has no such track, or is damaged.
            UsageError: the track has fewer episodes.
        """
        self.episode_set = episode_set
        whole = episode_set.tracks[episode_set.record(shot=shot, seed=seed).label]
        self.track: Track = whole if n is None else whole.first(n)
        self.images = ImageAccess(episode_set)

    @property
    def benchmark(self) -> Benchmark:
        """What the episodes are of."""
        return self.episode_set.benchmark

    @property
    def protocol(self) -> str:
        """The name of the protocol they were drawn by."""
        return self.episode_set.manifest.protocol.name

    @property
    def fold(self) -> int:
        """Whose novel classes they ask for."""
        return self.track.fold

    @property
    def shot(self) -> int:
        """Supports of an episode."""
        return self.track.shot

    @property
    def seed(self) -> int:
        """The seed they were drawn with."""
        return self.track.seed

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the episodes: two tracks ask the same if and only if it agrees."""
        return self.track.digest

    @cached_property
    def truth_digest(self) -> str:
        """SHA-256 (hex) of the masks and images under the episodes: see `fssbench.pipelines.formats.truth`."""
        return self.episode_set.truth_digest(self.track)

    @property
    def identity(self) -> Identity:
        """Both digests: what two measurements must agree in to be compared."""
        return Identity(self.digest, self.truth_digest)

    @cached_property
    def classes(self) -> Mapping[int, str]:
        """The fold's novel classes: index → name."""
        return {pool.id: pool.name for pool in self.episode_set.manifest.classes}

    def __repr__(self) -> str:
        title = self.episode_set.manifest.title
        return f"<{title}: {len(self):,} {self.shot}-shot episodes, seed {self.seed}, digest {self.digest[:12]}…>"

    def __len__(self) -> int:
        return len(self.track.episodes)

    def first(self, n: int) -> LoadedTrack:
        """The track cut to its first ``n`` episodes; `UsageError` if it has fewer."""
        return LoadedTrack(self.episode_set, shot=self.shot, seed=self.seed, n=len(self.track.first(n).episodes))

    def __getitem__(self, index: int) -> LoadedEpisode:  # type: ignore[override]  # of one at a time
        """The episode with an index, counted from the end if it is negative, with its images decoded.

        Raises:
            EpisodeIndexError: the track has no such episode; it is an ``IndexError`` too.
            EpisodeSetError: the set is damaged.
        """
        number = self.number(index)
        episode, sample = self.track.episodes[number], self.samples[number]
        query, *supports = (self.frame(key) for key in (sample.query, *sample.supports))
        require_agreement(self.episode_set, episode, sample, [one.image_id for one in (query, *supports)])
        return LoadedEpisode(number, episode.class_id, self.classes[episode.class_id], query, tuple(supports))

    def __iter__(self) -> Iterator[LoadedEpisode]:
        """All episodes by ascending index: classes take turns, so that every prefix is balanced."""
        ahead: deque[Future[LoadedEpisode]] = deque()
        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for index in range(len(self)):
                    ahead.append(pool.submit(self.__getitem__, index))
                    if len(ahead) > AHEAD:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                pool.shutdown(cancel_futures=True)

    def number(self, index: int) -> int:
        """An index as a number from 0 on; `EpisodeIndexError` if the track has no such episode."""
        number = index.__index__()
        number += len(self) if number < 0 else 0
        if not 0 <= number < len(self):
            raise EpisodeIndexError(
                f"the track has {len(self):,} episodes, and episode {index} was asked for",
                remedy=f"indices are 0 to {len(self) - 1}",
            )
        return number

    def frame(self, key: str) -> Frame:
        """The image under a key of the set, decoded."""
        return decode_frame(self.episode_set, self.images[key])

    def query_meta(self, index: int) -> ImageMeta:
        """What the set says of an episode's query, its mask among it, without decoding the image."""
        return self.images[self.samples[self.number(index)].query].meta

    @cached_property
    def samples(self) -> Sequence[EpisodeSample]:
        """The episodes as the shards have them, by index: their images by key."""
        found: dict[int, EpisodeSample] = {}
        shards = self.episode_set.shards("episodes", track=self.track.name)
        for read in episodes_ahead(self.episode_set.place, shards):
            found.update((sample.index, sample) for sample in read if sample.index < len(self))
        if len(found) != len(self):
            raise EpisodeSetError(
                f"{self.episode_set.place}: the shards of {self.track.name} hold {len(found)} of its first "
                f"{len(self)} episodes",
                remedy="prepare the set again with --overwrite",
            )
        return [found[index] for index in range(len(self))]

    def torch(self, *, size: int = 400, preprocess: Preprocess | None = None) -> EpisodeTensors:
        """The track as a map-style ``torch.utils.data.Dataset`` of tensors that collate; see `EpisodeTensors`.

        Args:
            size: the side that images and masks are squashed to, in pixels.
            preprocess: another way to make a model's input of an image, in place of ``size``.
        """
        from fssbench.models.interface import Preprocess
        from fssbench.pipelines.episode_sets.tensors import EpisodeTensors

        self.images.check()  # here, so that worker processes need not
        _ = self.samples
        return EpisodeTensors(self, preprocess or Preprocess(size=size))

    def webdataset(self, *, decode: bool = True) -> webdataset.WebDataset:
        """The track as a ``webdataset.WebDataset`` pipeline; see `fssbench.pipelines.episode_sets.web_stream`.

        Args:
            decode: whether images and masks are arrays, or still the bytes that stand in the shards.
        """
        from fssbench.pipelines.episode_sets.web_stream import EpisodeStream

        return EpisodeStream(len(self), partial(self._web_sample, decode=decode))

    def _web_sample(self, index: int, *, decode: bool) -> dict[str, Any]:
        from fssbench.pipelines.episode_sets.web_stream import decoded, encoded

        if decode:
            return decoded(self[index])
        episode = self.samples[index]
        return encoded(episode, [self.images[key] for key in (episode.query, *episode.supports)])
