"""Answers as pictures: a model's masks beside the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from fssbench.engine.evaluate import Answer
from fssbench.pipelines.pictures import RED, Cell, draw_sheet, query_cell, support_cell

__all__ = ["draw_answers"]


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


def _predicted(answer: Answer) -> Cell:
    mask = answer.masks["original"].cpu().numpy().astype(bool)
    inter, union = answer.counts[0, :2].tolist()
    iou = f"IoU {100 * inter / union:.0f} %" if union else "IoU undefined"
    return Cell(image=answer.query.image, mask=mask, ignore=answer.query.ignore, colour=RED, caption=iou)
