"""Chosen episodes beside each other: the masks of several models, or of several numbers of shots, in one figure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fssbench.base.errors import ResultError, UsageError
from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.model import LoadedModel
from fssbench.models.interface import FewShotSegmenter
from fssbench.pages.answers import Map, correlation_maps, draw_answers, support_maps
from fssbench.pages.contact_sheet import SOFTWARE
from fssbench.pages.overlays import HeatCell
from fssbench.pages.pictures import Row
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.pipelines.formats import masks
from fssbench.results.counting import policy_counts
from fssbench.results.policies import policies_for, query_facts
from fssbench.results.rescore import Predictions
from fssbench.schemas.result import read_result
from fssbench.schemas.samples import MaskSize

__all__ = ["Column", "columns_of", "draw_chosen"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Column:
    """A model on a track.

    Attributes:
        name: what the figure calls it.
        answers: to the chosen episodes, by index.
        loaded: the model itself, if it is at hand.
    """

    name: str
    shot: int
    answers: Sequence[Answer]
    loaded: LoadedModel | None = None
    device: str = "cpu"


def columns_of(
    results: Sequence[Path],
    models: Iterable[LoadedModel],
    *,
    tracks: Sequence[LoadedTrack],
    chosen: Mapping[str, Sequence[int]],
    device: str,
) -> list[Column]:
    """Each result on its own track, then each model on every track.

    Args:
        results: with their masks, each on one of the tracks.
        models: one is needed at a time, unless its maps are.
        chosen: by track the indices of the episodes: see `fssbench.pages.choice`.

    Raises:
        ResultError: a result has no masks, or was made on another set.
        ModelError: a model's masks are not what they must be.
    """
    by_name = {track.track.name: track for track in tracks}
    columns = []
    for path in results:
        track = by_name[_track_name(path)]
        columns.append(kept(path, track, chosen[track.track.name]))
    for loaded in models:
        columns += [asked(loaded, track, chosen[name], device=device) for name, track in by_name.items()]
    return columns


def _track_name(result: Path) -> str:
    """The name of the track that a result is of."""
    episodes = read_result(result).episodes
    return f"{episodes.shot}shot-seed{episodes.seed}"


def asked(loaded: LoadedModel, track: LoadedTrack, indices: Sequence[int], *, device: str) -> Column:
    """Ask a model the episodes of a track that have these indices, as an evaluation does."""
    wanted = frozenset(indices)
    found = answers(
        loaded.model,
        track.episode_set,
        shot=track.shot,
        seed=track.seed,
        episodes=max(wanted) + 1,
        skip=frozenset(range(max(wanted))) - wanted,
        device=device,
    )
    by_index = {answer.index: answer for answer in found}
    ordered = tuple(by_index[index] for index in indices)
    return Column(name=loaded.record.name, shot=track.shot, answers=ordered, loaded=loaded, device=device)


def kept(path: Path, track: LoadedTrack, indices: Sequence[int]) -> Column:
    """A result's own masks of the episodes of its track that have these indices.

    Raises `ResultError` if it has none, or was made on another set.
    """
    result = read_result(path)
    if result.predictions is None:
        raise ResultError(
            f"{path} was made without keeping its masks",
            remedy="evaluate again with --save-predictions, or pass the model itself with --model",
        )
    there = Predictions.stored(path.parent / result.predictions.folder, track.episode_set)
    predicted = {sample.index: sample.masks for sample in there.samples}
    found = []
    for index in indices:
        if "original" not in predicted[index]:
            raise ResultError(f"{path} has masks at the model's size alone", remedy="pass the model with --model")
        found.append(_answer(track, index, torch.from_numpy(masks.decode(predicted[index]["original"]))))
    return Column(name=result.model.name, shot=track.shot, answers=tuple(found))


def _answer(track: LoadedTrack, index: int, mask: Tensor) -> Answer:
    """An episode with a mask (H, W) bool of its query, scored."""
    shown = track[index]
    query = shown.query
    predicted: dict[MaskSize, Tensor] = {"original": mask.to(torch.uint8)}
    ignore = None if query.ignore is None else torch.from_numpy(query.ignore)
    policies = [policy for policy in policies_for(track.episode_set) if policy.size == "original"]
    counts = policy_counts(predicted, torch.from_numpy(query.mask), ignore, policies)
    facts = query_facts(query.mask, query.n_classes)
    return Answer(index, track.track.episodes[index], query, shown.supports, predicted, counts, facts)


def draw_chosen(
    path: Path,
    columns: Sequence[Column],
    *,
    episode_set: EpisodeSet,
    maps: bool = False,
    channel: int | None = None,
) -> dict[str, list[float | None]]:
    """Write a figure with a row an episode: its supports, its query's truth, and each column's mask with its IoU.

    Args:
        columns: on the same queries, in the same order.
        maps: draw below each episode what the models at hand show of their maps.
        channel: of features; see `support_maps`.

    Returns:
        The IoUs, ``None`` where one is undefined, by the names that the figure has.

    Raises:
        UsageError: no model shows maps.
        StorageError: the picture cannot be written.
    """
    named = _named(columns)
    below = _maps(named, channel) if maps else {}
    if maps and not any(below.values()):
        raise UsageError("no model here shows maps", remedy="leave out --maps, or ask one of hsnet, hmfs and hdmnet")
    manifest, first = episode_set.manifest, columns[0].answers
    heading = [
        f"{manifest.title} · {len(first):,} episode{'' if len(first) == 1 else 's'}",
        "blue: supports · green: query, with the object's share of the image · red: predictions"
        + ("" if manifest.ignore_label is None else " · white stripes: not scored"),
        *(["maps: light where they are high, each on its own scale"] if maps else []),
    ]
    draw_answers(
        path,
        {name: column.answers for name, column in named.items()},
        class_names={pool.id: pool.name for pool in manifest.classes},
        heading=heading,
        titles=True,
        below=below,
        made_with=SOFTWARE,
    )
    return {name: [_iou(answer) for answer in column.answers] for name, column in named.items()}


def _named(columns: Sequence[Column]) -> dict[str, Column]:
    """Columns by what they are called: with their shots where these differ, and numbered where that is not enough."""
    shots = len({column.shot for column in columns}) > 1
    names = [f"{column.name}, {column.shot}-shot" if shots else column.name for column in columns]
    return {
        f"{name} ({names[: n + 1].count(name)})" if names.count(name) > 1 else name: column
        for n, (name, column) in enumerate(zip(names, columns, strict=True))
    }


def _maps(columns: Mapping[str, Column], channel: int | None) -> dict[int, list[Row]]:
    """The rows below each episode."""
    below: dict[int, list[Row]] = {}
    for name, column in columns.items():
        if column.loaded is None:
            continue
        for place, answer in enumerate(column.answers):
            below.setdefault(place, []).extend(_rows(name, column, column.loaded.model, answer, channel))
    return below


def _rows(name: str, column: Column, model: FewShotSegmenter, answer: Answer, channel: int | None) -> Iterator[Row]:
    compared = correlation_maps(model, answer, device=column.device)
    if compared:
        query = answer.query.image
        cells = [HeatCell(image=query, heat=heat, caption=f"{what}, {_shape(heat)}") for what, heat in compared.items()]
        yield Row(cells=cells, title=f"{name}: how like the supports' object, coarse to fine")
    what = "what is positive of all channels" if channel is None else f"channel {channel}"
    for kind, maps in support_maps(model, answer, device=column.device, channel=channel).items():
        image = answer.supports[0].image
        cells = [HeatCell(image=image, heat=heat, caption=_shape(heat)) for heat in maps]
        yield Row(cells=cells, title=f"{name}: {kind} features of support 1, fine to coarse ({what})")


def _shape(heat: Map) -> str:
    return f"{heat.shape[0]} x {heat.shape[1]}"  # the font has no other sign for it


def _iou(answer: Answer) -> float | None:
    inter, union = answer.counts[0, :2].tolist()
    return inter / union if union else None
