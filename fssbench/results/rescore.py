"""Scores from masks that are there: no model, no GPU, the same counts to the byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import EpisodeIndexError, MaskShapeError, ResultError, SourceError
from fssbench.base.files import is_file_name, sha256_bytes, sha256_file, write_atomic
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import ScoringPolicy, find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import truth_of
from fssbench.pipelines.formats import masks
from fssbench.results.counts_file import to_bytes
from fssbench.results.environment import describe_environment
from fssbench.results.foreign import read_foreign
from fssbench.results.model_size import model_size
from fssbench.results.outcome import Outcome, episodes_record
from fssbench.results.policies import policies_for, query_facts
from fssbench.results.predictions import INDEX, StoredPredictions
from fssbench.schemas.result import EpisodesRecord, ModelRecord, Request, Result, read_result
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import ImageMeta, MaskSize, PredictionSample
from fssbench.scoring.counts import CountsTable, EpisodeCounts

__all__ = ["Predictions", "recount", "rescore", "settle"]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Masks of every episode of a track, and what is known of the model that made them.

    Attributes:
        samples: one after the other, as often as they are wanted.
    """

    model: ModelRecord
    episodes: EpisodesRecord
    samples: Iterable[PredictionSample]

    @staticmethod
    def stored(path: Path, episode_set: EpisodeSet) -> Predictions:
        """Read a folder that ``eval --save-predictions`` or ``score`` left.

        Raises `ResultError` if it is damaged, or about other episodes than the set's.
        """
        there = StoredPredictions.open(path)
        asked = there.manifest.episodes
        here = episodes_record(episode_set, shot=asked.shot, seed=asked.seed, n_episodes=asked.n_episodes)
        # Masks of old do not say on which truth they were made; what they are scored on, the result says.
        known = here if asked.truth_digest else here.model_copy(update={"truth_digest": None})
        if known != asked:
            name = next(name for name in EpisodesRecord.model_fields if getattr(known, name) != getattr(asked, name))
            if name == "truth_digest":
                raise ResultError(
                    f"{path / INDEX} and {episode_set.place} are of {asked.identity.unlike(here.identity)}",
                    remedy="pass the set they were made on as --data",
                )
            raise ResultError(
                f"{path / INDEX} is about other episodes than {episode_set.place}: {name} is "
                f"{getattr(asked, name)}, the set's is {getattr(here, name)}",
                remedy="pass the set they were made on as --data",
            )
        return Predictions(model=there.manifest.model, episodes=here, samples=there)

    @staticmethod
    def foreign(
        path: Path,
        episode_set: EpisodeSet,
        queries: Mapping[int, ImageMeta],
        *,
        name: str,
        episodes: EpisodesRecord,
        advance: Callable[[int], None],
    ) -> Predictions:
        """Read masks that another tool left, in one of the formats of `fssbench.results.foreign`.

        Raises:
            MetricError: as `read_foreign`; and `MaskShapeError` if the masks have neither their queries' sizes
                nor one square size.
        """
        found = read_foreign(path, n_episodes=episodes.n_episodes, advance=advance)
        size, side = _size_of(found, queries, path)
        model = ModelRecord.unseen(name, input_size=side)
        samples = [PredictionSample(index=index, masks={size: mask}) for index, mask in sorted(found.items())]
        return Predictions(model=model, episodes=episodes, samples=samples)


def _size_of(found: Mapping[int, Rle], queries: Mapping[int, ImageMeta], path: Path) -> tuple[MaskSize, int | None]:
    """At which size masks are: the queries' own, or one square that a model works at."""
    other = [i for i, mask in sorted(found.items()) if mask["size"] != [queries[i].height, queries[i].width]]
    if not other:
        return "original", None
    height, width = found[other[0]]["size"]
    if height == width and all(mask["size"] == [height, width] for mask in found.values()):
        return "model", height
    query = queries[other[0]]
    raise MaskShapeError(
        f"{path}: the mask of episode {other[0]} is {height}×{width} (height × width), its query "
        f"{query.image_id} is {query.height}×{query.width}",
        remedy="give every mask its query's size, or all one square size that the model works at",
    )


def recount(
    samples: Iterable[PredictionSample],
    queries: Mapping[int, ImageMeta],
    policies: Sequence[ScoringPolicy],
    *,
    model: ModelRecord,
) -> Iterator[EpisodeCounts]:
    """Count masks against what the episode set says of their queries.

    Args:
        samples: with a mask at every size that ``policies`` score at.
        queries: by episode index.
        model: what made them, which says how large masks at its size are.

    Raises:
        EpisodeIndexError: there is no such episode.
        MaskShapeError: a mask has not the size it should have, or is missing at one.
        MetricError: a mask is not a valid encoding.
    """
    # Here, since results without masks are checked without torch.
    import torch

    from fssbench.results.counting import policy_counts

    for sample in samples:
        if sample.index not in queries:
            raise EpisodeIndexError(f"there is a mask of episode {sample.index}, the track has {len(queries)} episodes")
        meta = queries[sample.index]
        truth, ignore = truth_of(meta, where=f"image {meta.image_id}")
        height, width = truth.shape
        shapes = {"original": (height, width), "model": model_size(model, (height, width))}
        predicted = {
            size: torch.from_numpy(_decoded(sample, size, shapes[size]))
            for size in dict.fromkeys(policy.size for policy in policies)
        }
        counts = policy_counts(
            predicted,
            torch.from_numpy(truth),
            None if ignore is None else torch.from_numpy(ignore),
            policies,
        )
        yield EpisodeCounts(sample.index, counts, query_facts(truth, meta.n_classes))


def _decoded(sample: PredictionSample, size: MaskSize, shape: tuple[int, ...] | None) -> npt.NDArray[np.bool_]:
    """One stored mask (H, W) bool, checked."""
    if size not in sample.masks:
        raise MaskShapeError(f"episode {sample.index} has no mask at {size} size")
    encoded = sample.masks[size]
    if len(encoded["size"]) == 2 and tuple(encoded["size"]) != shape:  # before memory is taken for it
        raise MaskShapeError(
            f"the mask of episode {sample.index} at {size} size is {tuple(encoded['size'])}, expected {shape}"
        )
    try:
        return masks.decode(encoded)
    except SourceError as error:
        raise MaskShapeError(
            f"the mask of episode {sample.index} at {size} size is not an encoding: {error}"
        ) from error


def scorable(episode_set: EpisodeSet, sizes: Iterable[MaskSize]) -> tuple[ScoringPolicy, ...]:
    """The set's policies that masks of these sizes can be scored by."""
    there = set(sizes)
    return tuple(policy for policy in policies_for(episode_set) if policy.size in there)


def headline_of(episode_set: EpisodeSet, policies: Sequence[ScoringPolicy]) -> ScoringPolicy:
    """The protocol's headline, or where its size was not predicted, the same at the size that was."""
    wanted = find_protocol(episode_set.manifest.protocol.name).headline
    return wanted if wanted in policies else replace(wanted, size=policies[0].size)


def rescore(
    predictions: Predictions,
    episode_set: EpisodeSet,
    track: Track,
    queries: Mapping[int, ImageMeta],
    *,
    command: Request,
    advance: Callable[[int], None],
) -> Outcome:
    """Score masks, for the policies whose masks exist.

    Raises:
        EpisodeIndexError: an episode has two masks or none.
    """
    if (first := next(iter(predictions.samples), None)) is None:
        raise EpisodeIndexError("there is no mask of any episode", remedy="evaluate again with --overwrite")
    policies = scorable(episode_set, first.masks)

    def counted() -> Iterator[EpisodeCounts]:
        for row in recount(predictions.samples, queries, policies, model=predictions.model):
            advance(1)
            yield row

    names, truth = tuple(policy.name for policy in policies), episode_set.truth_digest(track)
    table = CountsTable.of(track, names, counted(), truth_digest=truth)
    return Outcome(
        model=predictions.model,
        episode_set=episode_set,
        table=table,
        headline=headline_of(episode_set, policies),
        source="recomputed",
        execution=None,
        environment=describe_environment(),
        command=command,
        masks=predictions.samples,
    )


def settle(outcome: Outcome, path: Path, *, overwrite: bool) -> tuple[Result, Literal["written", "agrees", "restored"]]:
    """Write an outcome to ``path``, unless a result is there that says the same.

    A result with the very same counts keeps what it knows of its making; if its table of counts is missing or
    damaged, that alone is written again.

    Raises `ResultError` if a result with other counts is in the way.
    """
    if not path.exists() or overwrite:
        return outcome.write(path), "written"
    there = read_result(path)
    if there.episodes.truth_digest is None:  # a result of old, whose table says no more
        outcome = replace(outcome, table=replace(outcome.table, truth_digest=None))
    elif unlike := there.episodes.identity.unlike(outcome.table.identity):
        raise ResultError(
            f"{path} and these masks are of {unlike}", remedy="pass --overwrite to replace it, or another --output"
        )
    counts = to_bytes(outcome.table)
    if there.counts.sha256 != sha256_bytes(counts):
        raise ResultError(
            f"{path} was computed from other counts than these masks give",
            remedy="see what differs with fssbench score --check, or pass --overwrite to replace it",
        )
    if not is_file_name(there.counts.file):
        raise ResultError(
            f"{path}: counts.file '{there.counts.file}' does not lie beside it", remedy="pass --overwrite to replace it"
        )
    file = path.with_name(there.counts.file)
    if file.is_file() and sha256_file(file) == there.counts.sha256:
        return there, "agrees"
    write_atomic(file, counts)
    return there, "restored"
