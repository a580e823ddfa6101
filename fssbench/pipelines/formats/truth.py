"""The truth digest: which masks, ignored pixels and images a track asks about.

`Track.digest` pins episodes by the ids of their images. The truth digest pins what lies under these ids. It is the
same for the same episodes on the same data, however they are dealt into shards and whatever else a set holds. All
hashes are SHA-256 in small hexadecimal digits, all text is UTF-8, and every line ends in a newline:

- **An image with the mask of one class**, which may be a query or a support, is the hash of one line of six fields
  joined by tabs: the hash of the image file as it was published, the EXIF orientation applied when it is decoded,
  height, width, the mask, and the ignored region, or ``-`` if there is none. Mask and region are the ``counts`` of
  their run-length encoding as the set stores it; both have the image's size.
- **An episode** is the hash of one line joined by tabs: the class index, and for the query and every support, in the
  track's order, its id and its hash from above.
- **The truth digest** of a track's first N episodes is the hash of N lines, the hash of each episode by index.

A lock keeps the hash of every episode, so that the digest of any first N needs no image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from fssbench.base.files import sha256_bytes
from fssbench.episodes.episodes import Episode, Track
from fssbench.schemas.samples import ImageSample

__all__ = ["ImageId", "episode_truth", "image_truth", "track_truths", "truth_digest"]

ImageId = tuple[int, str]
"""A class index and an image id: what one image sample is about."""


def image_truth(sample: ImageSample) -> str:
    """The hash of an image with the mask of one class."""
    meta = sample.meta
    ignore = "-" if meta.ignore is None else meta.ignore["counts"]
    size = map(str, (meta.orientation, meta.height, meta.width))
    return _line(sha256_bytes(sample.jpeg), *size, meta.mask["counts"], ignore)


def episode_truth(episode: Episode, images: Sequence[str]) -> str:
    """The hash of an episode; ``images`` are the hashes of its query and its supports."""
    ids = (episode.query, *episode.supports)
    return _line(str(episode.class_id), *chain.from_iterable(zip(ids, images, strict=True)))


def track_truths(track: Track, images: Mapping[ImageId, str]) -> tuple[str, ...]:
    """The hash of each episode of a track, from those of all images it uses."""
    return tuple(
        episode_truth(episode, [images[episode.class_id, image] for image in (episode.query, *episode.supports)])
        for episode in track.episodes
    )


def truth_digest(episodes: Iterable[str]) -> str:
    """The truth digest of some first episodes, from their hashes."""
    return sha256_bytes("".join(f"{one}\n" for one in episodes).encode())


def _line(*fields: str) -> str:
    return sha256_bytes("\t".join((*fields[:-1], f"{fields[-1]}\n")).encode())
