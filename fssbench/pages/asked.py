"""What a model was asked, as line charts by fold: HDMNet's figures 8 and 9."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fssbench.leaderboard.gathered import Gathered
from fssbench.pages.lines import LineChart, Series, line_chart
from fssbench.scoring.stability import observed

__all__ = ["by_class_count", "by_sample"]

SAMPLE = 1_000
"""Episodes of a sample, as the publications evaluate."""
LEAST = 4.0
"""Points of mIoU that an axis shows at least."""


def by_sample(runs: Sequence[Gathered]) -> LineChart | None:
    """mIoU of one sample of episodes after the other (HDMNet, figure 9); ``None`` if no fold has two.

    Samples are a fold's seeds where there are several, and else a result's own episodes, 1,000 by 1,000.
    """
    series = []
    for number, (fold, same) in enumerate(_by_fold(runs).items()):
        values = [run.result.score.miou.value for run in same]
        what = f"{same[0].result.episodes.n_episodes:,} episodes a seed"
        if len(same) == 1:
            classes = {one.id: one.name for one in same[0].result.score.per_class}
            cut = observed(same[0].table, classes, same[0].result.headline, SAMPLE)
            values, what = list(cut.values) if cut else [], f"{SAMPLE:,} episodes a sample"
        points = [(n, 100 * value) for n, value in enumerate(values, 1) if value is not None]
        if len(points) > 1:
            series.append(Series(name=f"fold {fold}, {what}", number=number, points=points))
    return line_chart(
        "mIoU from sample to sample of episodes",
        series,
        x_name="sample",
        y_name="mIoU, %",
        x_from=1,
        y_from=None,
        y_span=LEAST,
    )


def by_class_count(runs: Sequence[Gathered]) -> LineChart | None:
    """Query images by how many of the benchmark's classes they show (HDMNet, figure 8), in percent of a fold's.

    ``None`` if results do not say how many.
    """
    series = []
    for number, (fold, same) in enumerate(_by_fold(runs).items()):
        shown = {
            episode.query: query.n_classes
            for run in same
            for episode, query in zip(run.table.track.episodes, run.table.queries, strict=True)
        }
        counts = Counter(n for n in shown.values() if n is not None)
        if not counts or None in shown.values():
            continue
        points = [(n, 100 * counts[n] / len(shown)) for n in range(1, max(counts) + 1)]
        series.append(Series(name=f"fold {fold}, {len(shown):,} images", number=number, points=points))
    return line_chart(
        "Classes that query images show",
        series,
        x_name="classes of the benchmark in the image",
        y_name="images, %",
        x_from=1,
    )


def _by_fold(runs: Sequence[Gathered]) -> dict[int, list[Gathered]]:
    found: dict[int, list[Gathered]] = {}
    for run in runs:
        found.setdefault(run.fold, []).append(run)
    return found
