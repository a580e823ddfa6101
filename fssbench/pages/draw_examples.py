"""A result's worst, median and best episodes, as pictures beside it.

They are chosen from the table of counts once it is complete, and those few are asked again: nothing has to be kept
while a model is evaluated, and it does not matter how many processes, or runs, answered the episodes.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fssbench.base.files import atomic_folder, write_atomic
from fssbench.base.progress import Advance, no_progress
from fssbench.engine.evaluate import Answer
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel
from fssbench.engine.run import ask
from fssbench.pages.answers import correlation_maps, draw_answers, picture
from fssbench.pages.examples import INDEX, SHEET, Choice, Example, Examples, examples_folder
from fssbench.results.evaluation import Evaluation
from fssbench.results.load import load_result

__all__ = ["SIDE", "extremes", "keep_examples"]

SIDE = 320
"""Pixels of a picture's longer side."""
QUALITY = 88


def extremes(ious: npt.NDArray[np.float64], n: int) -> dict[Choice, list[int]]:
    """Indices of the worst, median and best of (N,) IoUs, ``n`` in all, as even as may be and none twice.

    Each by ascending IoU, equals by index; NaN is none of them.
    """
    order = [int(i) for i in np.argsort(ious, kind="stable") if not np.isnan(ious[i])]
    n = min(n, len(order))
    worst, best = (n + 2) // 3, (n + 1) // 3
    median = n - worst - best
    start = min(max((len(order) - median) // 2, worst), len(order) - best - median)
    return {
        "worst": order[:worst],
        "median": order[start : start + median],
        "best": order[len(order) - best :],
    }


def keep_examples(
    loaded: LoadedModel, job: Job, finished: Evaluation, *, n: int, advance: Advance = no_progress
) -> Examples:
    """Draw ``n`` episodes of a finished result into its folder of examples, in place of what is there.

    Args:
        advance: called with 1 for every episode asked again.
    """
    table = load_result(finished.path).table
    policy = finished.record.headline
    inter, union = table.under(policy)[:, :2].T
    with np.errstate(invalid="ignore"):
        ious = inter / union
    chosen = extremes(ious, n)
    wanted = frozenset(index for indices in chosen.values() for index in indices)
    answers: dict[int, Answer] = {}
    for answer in ask(loaded, job, skip=frozenset(range(job.n_episodes)) - wanted):
        answers[answer.index] = answer
        advance(1)
    names = {pool.id: pool.name for pool in job.episode_set.manifest.classes}
    folder = examples_folder(finished.path)
    with atomic_folder(folder) as partial:
        kept = Examples(
            schema_version=1,
            kind="fssbench-examples",
            counts_sha256=finished.record.counts.sha256,
            policy=policy,
            examples=tuple(
                _example(partial, answers[index], choice, float(ious[index]), names, loaded, job)
                for choice, indices in chosen.items()
                for index in indices
            ),
        )
        shown = [answers[example.index] for example in kept.examples]
        draw_answers(
            partial / SHEET, {loaded.record.name: shown}, class_names=names, heading=_heading(kept, job), titles=True
        )
        write_atomic(partial / INDEX, kept.to_json())
    return kept


def _heading(kept: Examples, job: Job) -> tuple[str, ...]:
    """What the sheet shows, and how to read it."""
    asked = job.asked_episodes
    counts = Counter(example.choice for example in kept.examples)
    chosen = ", ".join(f"{n} {choice}" for choice, n in counts.items())
    return (
        f"{asked.benchmark} {asked.protocol} fold {asked.fold}, {asked.shot}-shot: {chosen}",
        "blue: support, green: truth, red: prediction",
    )


def _example(
    folder: Path, answer: Answer, choice: Choice, iou: float, names: dict[int, str], loaded: LoadedModel, job: Job
) -> Example:
    """Draw one answer into ``folder``."""
    maps = correlation_maps(loaded.model, answer, device=job.device)
    files = {}
    for name, image in picture(answer, maps=maps, side=SIDE).items():
        files[name] = f"{answer.index:06d}-{name.replace(' ', '-')}.jpg"
        # Full chroma: outlines one pixel wide keep their colour.
        image.save(folder / files[name], quality=QUALITY, subsampling=0)
    query = answer.query
    return Example(
        index=answer.index,
        choice=choice,
        class_id=query.class_id,
        class_name=names[query.class_id],
        query=query.image_id,
        supports=tuple(frame.image_id for frame in answer.supports),
        iou=iou,
        object_share=float(query.mask.mean()),
        pictures=files,
    )
