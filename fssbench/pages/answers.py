"""Answers as pictures: a model's masks beside the truth, where they err, and what the model compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from fssbench.base.errors import UsageError
from fssbench.engine.evaluate import Answer
from fssbench.models.interface import FewShotSegmenter
from fssbench.pages.overlays import error_tile, heat_tile
from fssbench.pages.pictures import RED, Cell, Row, draw_sheet, query_cell, support_cell, tile

__all__ = ["Map", "Pictures", "correlation_maps", "draw_answers", "picture", "support_maps"]

Map = npt.NDArray[np.float32]
"""A map (h, w) of any range."""

Pictures = dict[str, Image.Image]
"""The pictures of one answer, by what they show."""


def draw_answers(
    path: Path,
    answers: Mapping[str, Sequence[Answer]],
    *,
    class_names: Mapping[int, str],
    heading: Sequence[str] = (),
    titles: bool = False,
    below: Mapping[int, Sequence[Row]] | None = None,
    made_with: str = "",
) -> None:
    """Write a PNG of episodes: their supports, the query's truth, and each model's mask with its IoU.

    Supports of fewer shots are left out where all of them are the first of others.

    Args:
        answers: by model, its answers to the same queries in the same order.
        class_names: by class index.
        heading: see `draw_sheet`, and likewise ``made_with``.
        titles: write each episode's index and class above it.
        below: further rows of episodes, by the place of the first of their answers.
    """
    shown = _shown(list(answers.values()))
    rows = []
    for place, first in enumerate(next(iter(answers.values()))):
        cells = [support_cell(frame, frame.image_id) for given in shown for frame in given[place].supports]
        share = f"{100 * first.query.mask.mean():.2g} %"
        cells.append(query_cell(first.query, f"{first.query.image_id} · {share}"))
        cells += [_predicted(found[place]) for found in answers.values()]
        title = f"{first.index:,}  {class_names[first.query.class_id]}" if titles else ""
        rows += [Row(cells=cells, title=title), *(below or {}).get(place, ())]
    supports = [
        f"support {n + 1}" + (f" of {len(given[0].supports)}" if len(shown) > 1 else "")
        for given in shown
        for n in range(len(given[0].supports))
    ]
    columns = [*supports, "query, truth", *answers]
    draw_sheet(path, columns=columns, rows=rows, heading=heading, made_with=made_with)


def _shown(given: Sequence[Sequence[Answer]]) -> list[Sequence[Answer]]:
    """Of several models' answers those whose supports are to be shown: none whose are the first of another's."""

    def supports(answers: Sequence[Answer]) -> list[tuple[str, ...]]:
        return [tuple(frame.key for frame in answer.supports) for answer in answers]

    kept: list[Sequence[Answer]] = []
    for answers in sorted(given, key=lambda one: -len(one[0].supports)):
        mine = supports(answers)
        if not any(
            all(long[: len(short)] == short for short, long in zip(mine, supports(one), strict=True)) for one in kept
        ):
            kept.append(answers)
    return kept


def picture(answer: Answer, *, maps: Mapping[str, Map], side: int) -> Pictures:
    """The pictures of one answer: each support, the query's truth, the mask, its errors, and what was compared.

    Args:
        maps: the model's correlation maps (h, w), by name; see `correlation_maps`.
        side: pixels of a picture's longer side.
    """
    query = answer.query
    shown = {f"support {n}": tile(support_cell(frame, ""), side) for n, frame in enumerate(answer.supports, 1)}
    shown["truth"] = tile(query_cell(query, ""), side)
    shown["prediction"] = tile(_predicted(answer), side)
    shown["errors"] = error_tile(
        query.image, truth=query.mask, prediction=_mask(answer), ignore=query.ignore, side=side
    )
    return shown | {name: heat_tile(query.image, found, side=side) for name, found in maps.items()}


def correlation_maps(model: FewShotSegmenter, answer: Answer, *, device: str) -> dict[str, Map]:
    """What the model compared in an episode, (h, w) by name; none if it has no such maps."""
    if type(model).correlation_maps is FewShotSegmenter.correlation_maps:
        return {}
    query, supports, masks = _inputs(model, answer, device=device)
    with torch.inference_mode():
        found = model.correlation_maps(query, supports, masks)
    return {name: one[0].float().cpu().numpy() for name, one in found.items()}


def support_maps(
    model: FewShotSegmenter, answer: Answer, *, device: str, channel: int | None = None
) -> dict[str, list[Map]]:
    """The features of an episode's first support, by name maps (h, w), fine to coarse; none if it shows none.

    Args:
        channel: the one that is shown; ``None`` for what is positive, averaged over all of them.

    Raises:
        UsageError: a map has no such channel.
    """
    if type(model).support_maps is FewShotSegmenter.support_maps:
        return {}
    _, supports, masks = _inputs(model, answer, device=device)
    with torch.inference_mode():
        found = model.support_maps(supports[:, :1], masks[:, :1])
    return {name: [_flat(one[0, 0].float(), channel) for one in maps] for name, maps in found.items()}


def _flat(maps: Tensor, channel: int | None) -> Map:
    """Maps (C, h, w) as one."""
    if channel is None:
        return maps.relu().mean(dim=0).cpu().numpy()
    if channel >= len(maps):
        raise UsageError(
            f"a map has {len(maps)} channels, so there is no channel {channel}", remedy="they count from 0"
        )
    return maps[channel].cpu().numpy()


def _inputs(model: FewShotSegmenter, answer: Answer, *, device: str) -> tuple[Tensor, Tensor, Tensor]:
    """An episode as the model gets it: query (1, 3, H, W), supports (1, K, 3, h, w) and masks (1, K, h, w)."""
    show = model.preprocess
    query, *supports = [show.input(frame.image)[None].to(device) for frame in (answer.query, *answer.supports)]
    masks = [show.mask(frame.mask)[None].to(device).float() for frame in answer.supports]
    return query, model.together(supports), model.together(masks)


def _mask(answer: Answer) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = answer.masks["original"].cpu().numpy().astype(bool)
    return mask


def _predicted(answer: Answer) -> Cell:
    inter, union = answer.counts[0, :2].tolist()
    iou = f"IoU {100 * inter / union:.0f} %" if union else "IoU undefined"
    return Cell(image=answer.query.image, mask=_mask(answer), ignore=answer.query.ignore, colour=RED, caption=iou)
