"""A track as a WebDataset pipeline: episodes joined with their images, shared by nodes and workers without repeats.

Stock ``webdataset.WebDataset`` reads every shard of a set, but an episode and its images stand in different shards.
This pipeline joins them, and keeps the checks of every hash. `fssbench.pipelines.episode_sets.stream` is what the
engine takes: it goes class by class and shares decoded images, for models that keep features. Take this one to
train a model of your own, or wherever a WebDataset pipeline is at home.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import webdataset

from fssbench.pipelines.episode_sets.loaded_episode import LoadedEpisode
from fssbench.pipelines.formats import images
from fssbench.schemas.samples import EpisodeSample, ImageSample, episode_key

__all__ = ["EpisodeStream", "decoded", "encoded"]


class EpisodeStream(webdataset.WebDataset):  # type: ignore[misc]  # WebDataset has no types
    """Samples of a track, in index order, split by node and then by worker; its own stages can follow."""

    def __init__(self, count: int, sample: Callable[[int], dict[str, Any]]) -> None:
        webdataset.DataPipeline.__init__(self)  # the stages that open tar files from end to end are not wanted
        self.count, self.sample = count, sample
        self.append(self._indices)
        self.append(webdataset.split_by_node)
        self.append(webdataset.split_by_worker)
        self.append(self._samples)

    def _indices(self) -> Iterator[int]:
        yield from range(self.count)

    def _samples(self, indices: Iterator[int]) -> Iterator[dict[str, Any]]:
        for index in indices:
            yield self.sample(index)


def decoded(episode: LoadedEpisode) -> dict[str, Any]:
    """``index``, ``class_id``, ``class_name``, and as arrays ``query.image``, ``query.mask``, ``support0.image``, …

    Where the query or a support has ignored pixels, ``query.ignore`` and the like are masks (H, W) bool; else ``None``.
    """
    sample: dict[str, Any] = {
        "__key__": episode_key(episode.index),
        "index": episode.index,
        "class_id": episode.class_id,
        "class_name": episode.class_name,
    }
    for name, frame in zip(_names(episode.supports), (episode.query, *episode.supports), strict=True):
        sample |= {f"{name}.image": frame.image, f"{name}.mask": frame.mask, f"{name}.ignore": frame.ignore}
    return sample


def encoded(episode: EpisodeSample, shown: Sequence[ImageSample]) -> dict[str, Any]:
    """The shards' own bytes: ``json``, ``query.jpg`` (or ``query.png``), ``query.json``, ``support0.jpg``, …

    The EXIF orientation that ``query.json`` names is then the reader's to apply.

    Args:
        shown: the query's image and the supports', in this order.
    """
    sample: dict[str, Any] = {"__key__": episode_key(episode.index), "json": episode.model_dump_json().encode()}
    for name, image in zip(_names(episode.supports), shown, strict=True):
        sample[f"{name}.{images.suffix(image.jpeg)}"] = image.jpeg
        sample[f"{name}.json"] = image.meta.model_dump_json().encode()
    return sample


def _names(supports: Sequence[object]) -> tuple[str, ...]:
    return ("query", *(f"support{k}" for k in range(len(supports))))
