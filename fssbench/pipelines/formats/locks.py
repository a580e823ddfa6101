"""Locks: tracks as a Parquet file that opens as a Hugging Face dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from fssbench.base import parquet
from fssbench.base.errors import EpisodeSetError
from fssbench.episodes.episodes import Episode, Track

if TYPE_CHECKING:
    import datasets

__all__ = ["COLUMNS", "Truths", "dataset", "from_bytes", "to_bytes", "truths_from_bytes"]

COLUMNS = ("seed", "shot", "index", "class_id", "query", "supports")
TRUTH = "truth"
"""The column with the hash of each episode's masks and images, where these are known."""

Truths = Mapping[str, Sequence[str]]
"""By the track's name, the hash of each of its episodes: see `fssbench.pipelines.formats.truth`."""


def _features(*, truths: bool) -> datasets.Features:
    import datasets

    more = {TRUTH: datasets.Value("string")} if truths else {}
    return datasets.Features(
        seed=datasets.Value("int64"),
        shot=datasets.Value("int32"),
        index=datasets.Value("int32"),
        class_id=datasets.Value("int32"),
        query=datasets.Value("string"),
        supports=datasets.List(datasets.Value("string"))
        if hasattr(datasets, "List")
        else datasets.Sequence(datasets.Value("string")),
        **more,
    )


def dataset(tracks: Sequence[Track], truths: Truths | None = None) -> datasets.Dataset:
    """Tracks as one `datasets.Dataset`: a row an episode, by shot, seed and index.

    Args:
        truths: of every track, for one more column.
    """
    import datasets

    ordered = sorted(tracks, key=lambda track: (track.shot, track.seed))
    rows = [
        (track.seed, track.shot, index, episode.class_id, episode.query, list(episode.supports))
        for track in ordered
        for index, episode in enumerate(track.episodes)
    ]
    columns = dict(zip(COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
    if truths is not None:
        columns[TRUTH] = [truth for track in ordered for truth in truths[track.name]]
    return datasets.Dataset.from_dict(columns, features=_features(truths=truths is not None))


def to_bytes(tracks: Sequence[Track], truths: Truths | None = None) -> bytes:
    """Tracks as a Parquet file, with the schema that makes ``datasets`` give the right types back.

    Args:
        truths: of every track, for one more column.
    """
    table = dataset(tracks, truths).data.table.cast(_features(truths=truths is not None).arrow_schema)
    return parquet.encode(table)


def from_bytes(data: bytes, *, benchmark: str, protocol: str, fold: int, where: str) -> dict[str, Track]:
    """The tracks of a Parquet lock by name (``1shot-seed0``).

    Raises:
        EpisodeSetError: it is not such a file, a column is missing, or indices do not count from 0.
    """
    try:
        columns = parquet.read(data, columns=COLUMNS).to_pydict()
        rows = list(zip(*(columns[name] for name in COLUMNS), strict=True))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise EpisodeSetError(f"{where} is not a lock of episodes: {error}", remedy="prepare the set again") from error
    episodes: dict[tuple[int, int], list[Episode]] = {}
    for seed, shot, index, class_id, query, supports in rows:
        track = episodes.setdefault((shot, seed), [])
        if index != len(track):
            raise EpisodeSetError(
                f"{where}: {shot}-shot seed {seed} has index {index} in place {len(track)}",
                remedy="prepare the set again",
            )
        track.append(Episode(class_id, query, tuple(supports)))
    tracks = (
        Track(benchmark=benchmark, protocol=protocol, fold=fold, shot=shot, seed=seed, episodes=tuple(rows))
        for (shot, seed), rows in episodes.items()
    )
    return {track.name: track for track in tracks}


def truths_from_bytes(data: bytes) -> dict[str, tuple[str, ...]] | None:
    """By track, the hash of each episode of a Parquet lock that `from_bytes` reads; ``None`` if it has none."""
    columns = parquet.read(data, columns=("seed", "shot", TRUTH)).to_pydict()
    if TRUTH not in columns:
        return None
    found: dict[str, list[str]] = {}
    for seed, shot, truth in zip(columns["seed"], columns["shot"], columns[TRUTH], strict=True):
        found.setdefault(f"{shot}shot-seed{seed}", []).append(truth)
    return {name: tuple(truths) for name, truths in found.items()}
