"""Answers as pictures: a model's masks beside the truth, where they err, and what the model compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from fssbench.engine.evaluate import Answer
from fssbench.models.interface import FewShotSegmenter
from fssbench.pages.overlays import error_tile, heat_tile
from fssbench.pages.pictures import RED, Cell, draw_sheet, query_cell, support_cell, tile

__all__ = ["Pictures", "correlation_maps", "draw_answers", "picture"]

Pictures = dict[str, Image.Image]
"""The pictures of one answer, by what they show."""


def draw_answers(path: Path, answers: Mapping[str, Sequence[Answer]], *, class_names: Mapping[int, str]) -> None:
    """Write a PNG of episodes: their supports, the query's truth, and each model's mask with its IoU.

    Args:
        answers: by model, its answers to the same episodes in the same order.
        class_names: by class index.
    """
    first = next(iter(answers.values()))
    rows = []
    for number, shown in enumerate(first):
        row = [support_cell(frame, class_names[frame.class_id]) for frame in shown.supports]
        row.append(query_cell(shown.query, shown.query.image_id))
        row += [_predicted(found[number]) for found in answers.values()]
        rows.append(row)
    supports = [f"support {n + 1}" for n in range(len(first[0].supports))]
    draw_sheet(path, columns=[*supports, "query, truth", *answers], rows=rows)


def picture(answer: Answer, *, maps: Mapping[str, npt.NDArray[np.float32]], side: int) -> Pictures:
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


@torch.inference_mode()
def correlation_maps(model: FewShotSegmenter, answer: Answer, *, device: str) -> dict[str, npt.NDArray[np.float32]]:
    """What the model compared in an episode, (h, w) by name; none if it has no such maps."""
    if type(model).correlation_maps is FewShotSegmenter.correlation_maps:
        return {}
    frames = (answer.query, *answer.supports)
    show = model.preprocess
    images = show.normalise(torch.stack([show.image(frame.image) for frame in frames]).to(device))
    masks = torch.stack([show.mask(frame.mask) for frame in answer.supports]).to(device).float()
    found = model.correlation_maps(images[:1], images[None, 1:], masks[None])
    return {name: one[0].float().cpu().numpy() for name, one in found.items()}


def _mask(answer: Answer) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = answer.masks["original"].cpu().numpy().astype(bool)
    return mask


def _predicted(answer: Answer) -> Cell:
    inter, union = answer.counts[0, :2].tolist()
    iou = f"IoU {100 * inter / union:.0f} %" if union else "IoU undefined"
    return Cell(image=answer.query.image, mask=_mask(answer), ignore=answer.query.ignore, colour=RED, caption=iou)
