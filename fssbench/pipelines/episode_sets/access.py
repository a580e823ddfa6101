"""Any image of an episode set at any time: where it stands in its shard, which is checked before its first use."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from fssbench.base.errors import EpisodeSetError
from fssbench.base.files import sha256_bytes
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.shards import REBUILD, image_samples, read_checked, sample_spans
from fssbench.pipelines.transport import Remote
from fssbench.schemas.manifest import ShardRecord
from fssbench.schemas.samples import ImageSample

__all__ = ["ImageAccess"]


@dataclass(frozen=True, slots=True)
class Span:
    """Where a sample stands in its shard, in bytes, and the SHA-256 of what stood there when the shard was checked."""

    start: int
    end: int
    sha256: str


class ImageAccess:
    """The image samples of a set by key.

    Nothing of a shard is used before its hash has been checked, and no sample that has changed since. Positions are
    kept and images are not, so memory stays small. It can be pickled and shared by forked processes: every read opens
    the file anew.
    """

    def __init__(self, episode_set: EpisodeSet) -> None:
        self.place = episode_set.place
        self._shards = episode_set.shards("images")
        self._ends = list(accumulate(shard.samples for shard in self._shards))  # keys count on from shard to shard
        self._spans: dict[int, dict[str, Span]] = {}
        self._latest: tuple[int, bytes] | None = None  # a shard from elsewhere that no cache keeps

    def __getitem__(self, key: str) -> ImageSample:
        """The sample under a key, its image still encoded.

        Raises:
            EpisodeSetError: no shard holds it, or its shard is missing or damaged.
        """
        number = bisect_right(self._ends, int(key[1:]))
        span = self._positions(number).get(key) if number < len(self._shards) else None
        if span is None:
            raise EpisodeSetError(f"{self.place}: no image shard holds {key}, which an episode names", remedy=REBUILD)
        where = str(self.place / self._shards[number].name)
        data = self._read(number, span)
        if sha256_bytes(data) != span.sha256:
            raise EpisodeSetError(f"{where} has changed while it was in use", remedy=REBUILD)
        return next(image_samples(data, where=where))

    def check(self) -> None:
        """Check every shard now, so that processes forked later need not."""
        for number in range(len(self._shards)):
            self._positions(number)

    def _positions(self, number: int) -> dict[str, Span]:
        if number not in self._spans:
            shard = self._shards[number]
            data = read_checked(self.place, shard)
            where = str(self.place / shard.name)
            spans = sample_spans(data, where=where)
            if len(spans) != shard.samples:
                raise EpisodeSetError(
                    f"{where} has {len(spans)} samples, the manifest says {shard.samples}", remedy=REBUILD
                )
            self._spans[number] = {
                key: Span(start, end, sha256_bytes(data[start:end])) for key, (start, end) in spans.items()
            }
        return self._spans[number]

    def _read(self, number: int, span: Span) -> bytes:
        shard = self._shards[number]
        file = self._file(shard)
        if file is None:
            if self._latest is None or self._latest[0] != number:
                self._latest = (number, read_checked(self.place, shard))
            return self._latest[1][span.start : span.end]
        try:
            with file.open("rb") as opened:
                opened.seek(span.start)
                return opened.read(span.end - span.start)
        except OSError as error:
            raise EpisodeSetError(f"{file} cannot be read: {error.strerror}", remedy=REBUILD) from error

    def _file(self, shard: ShardRecord) -> Path | None:
        """The shard as a file of this machine: the set's own, or the cache's copy; ``None`` if there is neither."""
        if isinstance(self.place, Remote):
            return None if self.place.cache is None else self.place.cache.path(shard)
        return self.place / shard.name
