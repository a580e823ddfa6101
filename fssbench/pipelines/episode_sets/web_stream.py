"""A track as a WebDataset pipeline: episodes joined with their images, shared by nodes and workers without repeats.

Stock ``webdataset.WebDataset`` reads every shard of a set, but an episode and its images stand in different shards.
This pipeline joins them, and keeps the checks of every hash. `fssbench.pipelines.episode_sets.stream` is what the
engine takes: it goes class by class and shares decoded images, for models that keep features. Take this one to
train a model of your own, or wherever a WebDataset pipeline is at home.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import webdataset

from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.pipelines.formats import images
from fssbench.schemas.samples import episode_key

__all__ = ["EpisodeStream"]


class EpisodeStream(webdataset.WebDataset):  # type: ignore[misc]  # WebDataset has no types
    """Samples of a track, in index order, split by node and then by worker.

    Decoded, a sample has ``index``, ``class_id``, ``class_name``, ``query.image`` (H, W, 3) uint8, ``query.mask``
    (H, W) bool, ``query.ignore`` likewise or ``None``, and for each shot ``support0.image`` and so on. Not decoded,
    it has the shards' own bytes: ``query.jpg`` (or ``query.png``), ``query.json``, ``support0.jpg``, … An EXIF
    orientation in ``query.json`` is then the reader's to apply.
    """

    def __init__(self, track: LoadedTrack, *, decode: bool) -> None:
        webdataset.DataPipeline.__init__(self)  # the stages that open tar files from end to end are not wanted
        self.track = track
        self.append(self._indices)
        self.append(webdataset.split_by_node)
        self.append(webdataset.split_by_worker)
        self.append(self._decoded if decode else self._encoded)

    def _indices(self) -> Iterator[int]:
        yield from range(len(self.track))

    def _decoded(self, indices: Iterator[int]) -> Iterator[dict[str, Any]]:
        for index in indices:
            episode = self.track[index]
            sample: dict[str, Any] = {
                "__key__": episode_key(index),
                "index": index,
                "class_id": episode.class_id,
                "class_name": episode.class_name,
            }
            for name, frame in zip(self._names, (episode.query, *episode.supports), strict=True):
                sample |= {f"{name}.image": frame.image, f"{name}.mask": frame.mask, f"{name}.ignore": frame.ignore}
            yield sample

    def _encoded(self, indices: Iterator[int]) -> Iterator[dict[str, Any]]:
        for index in indices:
            episode = self.track.samples[index]
            sample: dict[str, Any] = {"__key__": episode_key(index), "json": episode.model_dump_json().encode()}
            for name, key in zip(self._names, (episode.query, *episode.supports), strict=True):
                image = self.track.images[key]
                sample[f"{name}.{images.suffix(image.jpeg)}"] = image.jpeg
                sample[f"{name}.json"] = image.meta.model_dump_json().encode()
            yield sample

    @property
    def _names(self) -> tuple[str, ...]:
        return ("query", *(f"support{k}" for k in range(self.track.shot)))
