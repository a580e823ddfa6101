"""Scoring masks as they come, whoever makes them: update, merge, compute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from fssbench.base.errors import EpisodeIndexError, MaskShapeError, ResultError
from fssbench.episodes.protocols import ScoringPolicy, find_protocol
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.pipelines.episode_sets.stream import truth_of
from fssbench.pipelines.formats import masks as rle
from fssbench.results.environment import describe_environment
from fssbench.results.evaluation import Evaluation, Score
from fssbench.results.figures import policy_results
from fssbench.results.outcome import Outcome
from fssbench.results.policies import policies_for, query_facts
from fssbench.schemas.result import ModelRecord, Request
from fssbench.schemas.samples import MaskSize, PredictionSample
from fssbench.scoring.counts import CountsTable, EpisodeCounts
from fssbench.scoring.metrics import counts_of, tally

__all__ = ["Meter"]


class Meter:
    """Counts the masks of a track's episodes, in any order and over any number of processes.

    It is as strict as the benchmark: a figure exists only once every episode was answered, exactly once. To score
    part of a track, measure ``track.first(n)``.
    """

    def __init__(self, track: LoadedTrack, *, size: int | None = None, keep_masks: bool = False) -> None:
        """Measure a track.

        Args:
            size: the side of the square masks, for protocols whose headline is scored at the size the model works
                at, such as ``hsnet``; ``None`` for masks of their query's own size.
            keep_masks: remember the masks (run-length encoded), so that a saved result can be counted again.
        """
        self.track, self.size, self.keep_masks = track, size, keep_masks
        self.mask_size: MaskSize = "original" if size is None else "model"
        self.policies = tuple(policy for policy in policies_for(track.episode_set) if policy.size == self.mask_size)
        self._rows: dict[int, EpisodeCounts] = {}
        self._masks: dict[int, PredictionSample] = {}

    def __len__(self) -> int:
        """Episodes answered so far."""
        return len(self._rows)

    def update(self, index: SupportsIndex, mask: Any) -> None:
        """Count the mask of one episode.

        Args:
            index: the episode's ``index`` in its track.
            mask: (H, W) bool or integer in {0, 1}: an array, or a tensor on any device.

        Raises:
            EpisodeIndexError: the track has no such episode, or it was answered before.
            MaskShapeError: the mask does not have the size it should have.
            MaskTypeError: it is neither bool nor integer.
            MaskValueError: it holds other values than 0 and 1.
        """
        number = self.track.number(index.__index__())
        if number in self._rows:
            raise EpisodeIndexError(f"episode {number} was answered before", remedy="update each episode once")
        meta = self.track.query_meta(number)
        whole, ignored = truth_of(meta, where=f"image {meta.image_id}")
        truth, ignore = self._scaled(whole), None if ignored is None else self._scaled(ignored)
        predicted = _array(mask)
        if predicted.shape != truth.shape:
            raise MaskShapeError(
                f"the mask of episode {number} (query {meta.image_id}) has shape {predicted.shape}, expected "
                f"{truth.shape}",
                remedy="resize the model's answer before it is scored, or pass Meter the size that masks have",
            )
        tallied = tally(predicted, truth, ignore=ignore)
        counts = np.stack([counts_of(tallied, exclude_ignored=policy.exclude_ignored) for policy in self.policies])
        self._rows[number] = EpisodeCounts(number, counts, query_facts(whole, meta.n_classes))
        if self.keep_masks:
            encoded = rle.encode(predicted.astype(bool))
            self._masks[number] = PredictionSample(index=number, masks={self.mask_size: encoded})

    def _scaled(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """A mask (H, W) at the size that is scored."""
        if self.size is None:
            return mask
        from fssbench.models.interface import Preprocess

        scaled: npt.NDArray[np.bool_] = Preprocess(size=self.size).mask(mask).numpy()
        return scaled

    def merge(self, *others: Meter) -> Meter:
        """Take over what other meters counted on the same episodes, such as those of other processes.

        Returns this meter.

        Raises:
            EpisodeIndexError: an episode was answered in two of them.
            ResultError: one measures another track, or does not keep masks where this one does.
        """
        for other in others:
            unlike = self.track.identity.unlike(other.track.identity)
            if unlike or (other.size, other.keep_masks) != (self.size, self.keep_masks):
                raise ResultError(
                    f"a meter of {other.track!r} cannot be merged into one of {self.track!r}"
                    f"{f': they measure {unlike}' if unlike else ''}",
                    remedy="make all meters of the same track, with the same size and keep_masks",
                )
            if twice := sorted(self._rows.keys() & other._rows.keys()):
                raise EpisodeIndexError(
                    f"{len(twice)} episodes were answered in both meters, the first is {twice[0]}",
                    remedy="share the episodes without repeats",
                )
            self._rows |= other._rows
            self._masks |= other._masks
        return self

    def compute(self) -> Score:
        """The figures of all episodes under the headline policy.

        Raises:
            EpisodeIndexError: episodes are missing.
        """
        table = self._table()
        figures = policy_results(table, classes=self.track.classes)
        return Score(next(one for one in figures if one.policy == self.headline.name))

    def result(self, *, model: str, options: dict[str, Any] | None = None) -> Evaluation:
        """The figures as a result that ``leaderboard build`` takes, with its counts and any masks.

        fssbench did not see the model, so the result says that, and is not official.

        Args:
            model: what the model is called.
            options: what else tells it from others of this name, such as the checkpoint.

        Raises:
            EpisodeIndexError: episodes are missing.
        """
        record = ModelRecord.unseen(model, options=options or {}, input_size=self.size)
        table = self._table()
        masks: Sequence[PredictionSample] = [self._masks[index] for index in sorted(self._masks)]
        return Evaluation.of(
            Outcome(
                model=record,
                episode_set=self.track.episode_set,
                table=table,
                headline=self.headline,
                source="recomputed",
                execution=None,
                environment=describe_environment(),
                command=Request(asked=("fssbench.Meter",), resolved={"model": model, **record.options}),
                masks=masks if self.keep_masks else None,
            )
        )

    @property
    def headline(self) -> ScoringPolicy:
        """The protocol's headline policy, at the size that masks have."""
        return replace(find_protocol(self.track.protocol).headline, size=self.mask_size)

    def _table(self) -> CountsTable:
        names = tuple(policy.name for policy in self.policies)
        return CountsTable.of(self.track.track, names, self._rows.values(), truth_digest=self.track.truth_digest)


def _array(mask: Any) -> npt.NDArray[Any]:
    """A mask as an array on this machine."""
    if hasattr(mask, "detach"):  # a tensor, without importing torch to find out
        mask = mask.detach().cpu().numpy()
    return np.asarray(mask)
