"""What an evaluation gave: its figures for people and programs, and the files that others can check."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.base.errors import ResultError
from fssbench.results.load import load_result
from fssbench.results.outcome import Outcome, result_path
from fssbench.schemas.result import FigureRecord, IntervalRecord, PolicyResult, Result
from fssbench.scoring.counts import CountsTable

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Evaluation", "Score", "figure_text"]


class Score:
    """The figures of a model on a track, under one scoring policy.

    A figure is a share in [0, 1], or ``None`` where it is undefined.
    """

    def __init__(self, figures: PolicyResult) -> None:
        self.figures = figures

    @property
    def policy(self) -> str:
        """Size and treatment of ignored pixels, such as ``original/ignore``."""
        return self.figures.policy

    @property
    def miou(self) -> float | None:
        """Mean over classes of the intersection over union, each summed over the class's episodes."""
        return self.figures.miou.value

    @property
    def fb_iou(self) -> float | None:
        """Mean of the IoU of foreground and of background, summed over all episodes."""
        return self.figures.fb_iou.value

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of `miou` if the images had been others; with too few images, if the episodes had been.

        ``None`` where there are too few episodes to say.
        """
        sure = _sure(self.figures.miou)
        return None if sure is None else (sure.low, sure.high)

    @property
    def per_class(self) -> dict[str, float | None]:
        """IoU by class name."""
        return {one.name: one.iou.value for one in self.figures.per_class}

    def to_pandas(self) -> pd.DataFrame:
        """A row a class: ``class_id``, ``class``, ``iou``, ``low``, ``high`` and ``episodes``."""
        import pandas as pd

        return pd.DataFrame([self._row(one.id, one.name, one.iou) for one in self.figures.per_class])

    def _row(self, class_id: int, name: str, iou: FigureRecord) -> dict[str, Any]:
        sure = _sure(iou)
        bounds = {"low": sure.low if sure else None, "high": sure.high if sure else None}
        return {"class_id": class_id, "class": name, "iou": iou.value, **bounds, "episodes": iou.n_episodes}

    def __str__(self) -> str:
        return f"mIoU {figure_text(self.figures.miou)}, FB-IoU {figure_text(self.figures.fb_iou)}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the figures and a table of classes."""
        table = self.to_pandas().to_html(index=False, na_rep="—", float_format="%.4f")
        return f"<p>{html.escape(str(self))}</p>{table}"


class Evaluation(Score):
    """A model's result on a track: `Score` of the headline policy, with everything needed to compute it again.

    Attributes:
        record: the result as it is stored, with all policies.
        skipped: whether it was there already and nothing was asked.
    """

    def __init__(
        self, record: Result, *, outcome: Outcome | None = None, path: Path | None = None, skipped: bool = False
    ) -> None:
        """Wrap a result.

        Args:
            outcome: what it was made of, if it is not on disk.
            path: the file it lies in, if it is.
        """
        super().__init__(record.score)
        self.record, self.skipped = record, skipped
        self._outcome, self._path = outcome, path

    @staticmethod
    def of(outcome: Outcome) -> Evaluation:
        """The result of a scored track, not written yet."""
        return Evaluation(outcome.record, outcome=outcome)

    @staticmethod
    def open(path: Path) -> Evaluation:
        """Read a result file and the counts beside it; `ResultError` if either is damaged."""
        found = load_result(path)
        evaluation = Evaluation(found.result, path=path, skipped=True)
        evaluation.table = found.table
        return evaluation

    @property
    def saved(self) -> bool:
        """Whether it lies in a file."""
        return self._path is not None

    @property
    def path(self) -> Path:
        """The file it lies in; `ResultError` if it was not written yet."""
        if self._path is None:
            raise ResultError("this result was not written to a file", remedy="call save(folder) first")
        return self._path

    @cached_property
    def table(self) -> CountsTable:
        """The counts of every episode, which all figures follow from."""
        return load_result(self.path).table if self._outcome is None else self._outcome.table

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write the result, its counts and any masks below ``folder``, as ``fssbench eval --output`` does.

        Returns the path of the result.

        Raises:
            ResultError: a result with other counts is in the way, unless ``overwrite`` is set.
        """
        if self._outcome is None:
            raise ResultError(f"this result is stored already, as {self.path}", remedy="copy it with all beside it")
        path = result_path(Path(folder), self.record.episodes, self.record.model)
        if path.exists() and not overwrite:
            there = load_result(path)
            if unlike := there.result.episodes.identity.unlike(self.record.episodes.identity):
                raise ResultError(
                    f"{path} is a result on {unlike}", remedy="pass overwrite=True to replace it, or another folder"
                )
            if there.result.counts.sha256 != self.record.counts.sha256:
                raise ResultError(
                    f"{path} was computed from other counts than this result",
                    remedy="pass overwrite=True to replace it, or another folder",
                )
        self.record, self._path = self._outcome.write(path), path
        return path

    def to_pandas(self) -> pd.DataFrame:
        """`Score.to_pandas` with columns that tell results apart, so that several can be joined by ``pd.concat``."""
        table = super().to_pandas()
        episodes = self.record.episodes
        told = {"model": self.record.model.name, "benchmark": episodes.benchmark, "protocol": episodes.protocol}
        told_apart: Mapping[str, Any] = {**told, "fold": episodes.fold, "shot": episodes.shot, "seed": episodes.seed}
        for place, (name, value) in enumerate(told_apart.items()):
            table.insert(place, name, value)
        return table

    @property
    def unofficial(self) -> Sequence[str]:
        """Why the result is not official; empty if it is."""
        return self.record.unofficial

    def __str__(self) -> str:
        episodes = self.record.episodes
        head = f"fold {episodes.fold}, {episodes.shot}-shot, seed {episodes.seed}, {episodes.n_episodes:,} episodes"
        return f"{head}: {super().__str__()}"


def figure_text(figure: FigureRecord) -> str:
    """A figure in percent with the interval of the harder question that can be answered."""
    if figure.value is None:
        reason = figure.reason or ""
        return reason if reason.startswith("undefined") else f"undefined ({reason})"
    sure = _sure(figure)
    what = "other images" if figure.other_images is not None else "other episodes"
    between = f" [{100 * sure.low:.1f}, {100 * sure.high:.1f} with {what}]" if sure else ""
    return f"{100 * figure.value:.2f}{between}"


def _sure(figure: FigureRecord) -> IntervalRecord | None:
    """The interval over other images, or where that cannot be said, over other episodes."""
    return figure.other_images or figure.other_episodes
