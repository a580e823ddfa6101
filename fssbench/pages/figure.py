"""Figures that go into a paper: vectors of one column's width, as PDF or SVG, drawn by matplotlib.

Letters are seven to eight points high at the width that is asked for. Colours are of Okabe and Ito's palette, which
colour-blind people can tell apart, and nothing is told by colour alone. Every letter of a PDF is a font's (type 42), as
conferences ask; those of an SVG are outlines, so that it needs no font.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fssbench.base.errors import UsageError
from fssbench.leaderboard.closing import reported_for
from fssbench.pages.plotted import Plotted, arms_of, panels_of
from fssbench.pages.render import benchmark_title
from fssbench.schemas.leaderboard import ClassScore, Entry, ReportedEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLUMN", "FIGURES", "FORMS", "classes_figure", "form_of", "means_figure", "speed_figure"]

COLUMN = 3.3
"""The width of one of two columns on a page, in inches."""
FORMS = (".pdf", ".svg")
MEASURED, REPORTED, FOLD = "#0072b2", "#d55e00", "#767676"
ROW, CLASS_ROW = 0.19, 0.125
"""Inches for a model and for a class."""
POINTS = 72
"""Of an inch."""
LETTERS = 7
"""Points of the smallest letters."""

STYLE: dict[str, Any] = {
    "font.family": "STIXGeneral",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": LETTERS,
    "ytick.labelsize": 8,
    "legend.fontsize": LETTERS,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "xtick.major.width": 0.5,
    "ytick.major.width": 0.5,
    "lines.markersize": 4,
    "legend.frameon": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "fssbench",
    "mathtext.fontset": "stix",
}


def form_of(file: Path) -> str:
    """``pdf`` or ``svg``, by the file's name; `UsageError` if it is another."""
    if (suffix := file.suffix.lower()) not in FORMS:
        raise UsageError(f"a figure is a PDF or an SVG, and {file} ends in neither", remedy="name it .pdf or .svg")
    return suffix[1:]


def means_figure(
    groups: Sequence[Sequence[Entry]], form: str, *, width: float = COLUMN, reported: Sequence[ReportedEntry] = ()
) -> bytes:
    """Rankings as dot plots: a model's mean over folds with its interval, its folds, and what its paper reports.

    Args:
        groups: rankings; each becomes a panel. Controls, and entries without a mean or a single fold, are left out.
        form: ``pdf`` or ``svg``.
        width: of the figure, in inches.
        reported: rows of papers; those of the models shown stand beside what was measured.

    Raises:
        UsageError: nothing is left, or matplotlib is not installed.
    """
    panels = panels_of(groups)
    with _figure(width, [0.34 + ROW * len(panel) for panel in panels], legend=0.32) as (figure, axes):
        beside = {row.id for row in reported}
        for axis, panel in zip(axes, panels, strict=True):
            _means(axis, panel, beside, titled=len(panels) > 1)
            if panel is panels[-1] or panel[0].of != panels[-1][0].of:
                axis.set_xlabel(f"mIoU{panel[0].of} (%)")
        _legend(figure, axes)
        return _written(figure, form)


def _means(axis: Axes, panel: Sequence[Plotted], beside: set[str], *, titled: bool) -> None:
    rows = range(len(panel))
    for y, shown in zip(rows, panel, strict=True):
        axis.errorbar(
            shown.percent, y, xerr=shown.arms, fmt="o", color=MEASURED, elinewidth=1.1, label="mIoU, 95 % interval"
        )
        folds = [100 * fold.miou.value for fold in shown.entry.folds if fold.miou.value is not None]
        if len(folds) > 1:
            axis.plot(folds, [y] * len(folds), "|", color=FOLD, markersize=7, markeredgewidth=0.7, label="fold")
        row = None if shown.of else reported_for(shown.entry)
        if row is not None and row.id in beside and row.miou is not None:
            style: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": REPORTED, "markeredgewidth": 0.9}
            axis.plot([100 * row.miou], [y], "D", label="as reported", **style)
    axis.set_yticks(rows, [_plain(shown.entry.label) for shown in panel])
    _as_rows(axis, len(panel))
    if titled:
        axis.set_title(_asked(panel[0].entry), loc="left", pad=3)


def speed_figure(
    groups: Sequence[Sequence[Entry]], form: str, *, width: float = COLUMN, reported: Sequence[ReportedEntry] = ()
) -> bytes:
    """Rankings as scatter plots: mIoU with its interval over episodes a second, which only one device makes comparable.

    Args:
        groups: rankings; each becomes a panel. What `means_figure` leaves out is left out, and who has no speed.
        form: ``pdf`` or ``svg``.
        width: of the figure, in inches.
        reported: not shown, since papers time other things on other devices.

    Raises:
        UsageError: nothing is left, or matplotlib is not installed.
    """
    panels = panels_of([[entry for entry in group if entry.episodes_per_second] for group in groups])
    with _figure(width, [0.62 * width] * len(panels)) as (figure, axes):
        for axis, panel in zip(axes, panels, strict=True):
            _speeds(axis, panel, height=0.62 * width, titled=len(panels) > 1)
        axes[-1].set_xlabel("episodes per second")
        return _written(figure, form)


def _speeds(axis: Axes, panel: Sequence[Plotted], *, height: float, titled: bool) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    speeds = [shown.speed for shown in panel]
    for shown in panel:
        axis.errorbar(shown.speed, shown.percent, yerr=shown.arms, fmt="o", color=MEASURED, elinewidth=0.9)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlim(min(speeds) / 1.6, max(speeds) * 1.6)
    axis.set_ylim(bottom=0)
    _name(axis, panel, height=0.8 * height)  # the rest is the axis' own
    axis.set_ylabel(f"mIoU{panel[0].of} (%)")
    axis.grid(axis="both")
    if titled:
        axis.set_title(_asked(panel[0].entry), loc="left", pad=3)


def _name(axis: Axes, panel: Sequence[Plotted], *, height: float) -> None:
    """Write each model's name beside its dot, where there is room for it, and no name over another."""
    top = axis.get_ylim()[1]
    first, last = axis.get_xlim()
    lowest = -float(LETTERS)
    for shown in reversed(panel):
        at = shown.percent / top * height * POINTS
        lowest = max(at, lowest + LETTERS)
        side, away = ("left", 5) if shown.speed <= (first * last) ** 0.5 else ("right", -5)
        place: dict[str, Any] = {"textcoords": "offset points", "ha": side, "va": "center", "fontsize": LETTERS}
        axis.annotate(_plain(shown.entry.label), (shown.speed, shown.percent), xytext=(away, lowest - at), **place)


def classes_figure(
    groups: Sequence[Sequence[Entry]], form: str, *, width: float = COLUMN, reported: Sequence[ReportedEntry] = ()
) -> bytes:
    """One model's IoU of every class with its interval: a panel for each fold, best classes first.

    Args:
        groups: rankings, which hold a single entry.
        form: ``pdf`` or ``svg``.
        width: of the figure, in inches.
        reported: not shown, since papers print no classes.

    Raises:
        UsageError: there are several entries, no class has an IoU, or matplotlib is not installed.
    """
    entries = [entry for group in groups for entry in group]
    if len(entries) != 1:
        raise UsageError(
            f"classes are drawn of one model on one question, and there are {len(entries)} such entries",
            remedy="pass the folder of one model's results, and choose with --benchmark and --shot",
        )
    folds: dict[int, list[ClassScore]] = {}
    for one in sorted(entries[0].per_class, key=lambda one: (one.fold, -(one.iou.value or 0.0))):
        if one.iou.value is not None:
            folds.setdefault(one.fold, []).append(one)
    if not folds:
        raise UsageError("there is nothing to draw: not one class has an IoU", remedy="evaluate more episodes")
    most = max(map(len, folds.values()))
    heights = [0.38 + CLASS_ROW * most] * -(-len(folds) // 2)
    with _figure(width, heights, columns=min(2, len(folds))) as (figure, axes):
        for axis, (fold, own) in zip(axes, folds.items(), strict=False):
            for y, one in enumerate(own):
                bar: dict[str, Any] = {"color": MEASURED, "elinewidth": 0.9, "markersize": 3}
                axis.errorbar(100 * (one.iou.value or 0.0), y, xerr=arms_of(one.iou), fmt="o", **bar)
            axis.set_yticks(range(len(own)), [_plain(one.name) for one in own], fontsize=LETTERS)
            _as_rows(axis, most)
            axis.set_title(f"fold {fold}", loc="left", pad=3)
        for axis in axes[len(folds) :]:
            axis.set_axis_off()
        end = max(axis.get_xlim()[1] for axis in axes[: len(folds)])
        for axis in axes[: len(folds)]:
            axis.set_xlim(0, end)  # folds can be compared by eye
        for axis in axes[max(0, len(folds) - 2) : len(folds)]:
            axis.set_xlabel("IoU (%)")
        return _written(figure, form)


FIGURES: dict[str, Callable[..., bytes]] = {"means": means_figure, "speed": speed_figure, "classes": classes_figure}
"""What can be drawn, by name."""


def _asked(entry: Entry) -> str:
    return _plain(f"{benchmark_title(entry.benchmark)}, {entry.shot}-shot, {entry.protocol}, {entry.regime}")


def _plain(text: str) -> str:
    """Text whose dollars do not begin a formula."""
    return text.replace("$", r"\$")


def _as_rows(axis: Axes, n: int) -> None:
    axis.set_ylim(n - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    axis.set_xlim(left=0)
    axis.grid(axis="x")


@contextmanager
def _figure(
    width: float, heights: Sequence[float], *, legend: float = 0.0, columns: int = 1
) -> Iterator[tuple[Figure, list[Axes]]]:
    """An empty figure with a panel of each height in inches, and room for a legend below."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise UsageError("figures are drawn by matplotlib", remedy="pip install 'fssbench[paper]'") from error
    with rc_context(STYLE):
        figure = Figure(
            figsize=(width, sum(heights) + 0.25 + legend), layout=ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
        )
        panels = figure.subplots(len(heights), columns, squeeze=False, gridspec_kw={"height_ratios": list(heights)})
        yield figure, list(panels.flat)


def _legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Name every mark once."""
    marks = {label: mark for axis in axes for mark, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    place = {"loc": "outside lower center", "ncols": len(marks), "handletextpad": 0.2, "columnspacing": 1.0}
    figure.legend(list(marks.values()), list(marks), borderpad=0.3, **place)


def _written(figure: Figure, form: str) -> bytes:
    """The figure's file: the same bytes whenever it is written."""
    data = io.BytesIO()
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    figure.savefig(data, format=form, metadata=undated[form])
    return data.getvalue()
