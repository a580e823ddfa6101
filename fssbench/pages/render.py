"""The templates' environment: everything escaped, nothing undefined, nothing from another host."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fssbench.base.errors import UsageError
from fssbench.base.version import __version__
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.leaderboard.at_hand import at_hand
from fssbench.leaderboard.cited import printed_by
from fssbench.leaderboard.typeset import signed
from fssbench.pages.charts import scale_top
from fssbench.pages.speeds import by_speed
from fssbench.schemas.leaderboard import Entry, ReportedEntry
from fssbench.schemas.result import Ends
from fssbench.scoring.comparison import p_of, p_text
from fssbench.scoring.uncertainty import Difference, Uncertainty

__all__ = [
    "MARK",
    "SITE_POLICY",
    "amount",
    "asset",
    "benchmark_title",
    "between",
    "environment",
    "one_file_policy",
    "setting",
]

TEMPLATES = "templates"
MARK = '<meta name="generator" content="fssbench '
"""What every page says of itself."""
SITE_POLICY = "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; base-uri 'none'"
"""What a page of the site may load: what lies beside it."""


class Sure(Protocol):
    """A figure with its two intervals."""

    @property
    def value(self) -> float | None:
        """The figure itself."""

    @property
    def other_images(self) -> Ends | None:
        """If the images had been others."""

    @property
    def other_episodes(self) -> Ends | None:
        """If other episodes had been drawn from the same images."""


def environment() -> Environment:
    """The templates, with the filters that they use."""
    made = Environment(
        loader=PackageLoader("fssbench.pages", TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals["version"] = __version__
    made.filters |= {
        "amount": amount,
        "at_hand": at_hand,
        "bests": _bests,
        "between": between,
        "between_differences": _between_differences,
        "p_number": lambda difference: "" if (p := _p(difference)) is None else p,
        "p_value": lambda difference: "—" if (p := _p(difference)) is None else p_text(p),
        "percent": _percent,
        "points": lambda value, digits=1: signed(value, digits),
        "printed_by": printed_by,
        "question": _question,
        "setting": setting,
        "speeds": by_speed,
        "thousands": lambda n: f"{n:,}",
        "title": benchmark_title,
        "top": _top,
        "tops": lambda rows: scale_top([row.miou for row in rows if row.miou is not None]),
    }
    return made


def amount(value: float) -> str:
    """A number of epochs or steps."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def asset(name: str) -> Markup:
    """A style sheet or script as it is, to be put into a page."""
    return Markup(files("fssbench.pages").joinpath(TEMPLATES, name).read_text(encoding="utf-8"))


def one_file_policy(*, style: str, script: str) -> str:
    """What a page that is one file may load: its own style and script, and pictures within it."""
    return f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def between(figure: Sure) -> Ends | None:
    """The interval of the harder question that can be answered: other images, else other episodes."""
    return figure.other_episodes if figure.other_images is None else figure.other_images


def _between_differences(sure: Uncertainty) -> Ends | None:
    """Likewise of a difference."""
    return sure.episodes if sure.images is None else sure.images


def _p(difference: Difference | None) -> float | None:
    return None if difference is None else p_of(difference)


def _question(figure: Sure) -> str:
    """What its interval answers, in words."""
    return "with other episodes" if figure.other_images is None else "with other images"


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def _top(figures: Sequence[Sure]) -> float:
    """Where the scale of some figures and their intervals ends."""
    values = [figure.value for figure in figures if figure.value is not None]
    return scale_top([*values, *(sure.high for figure in figures if (sure := between(figure)))])


def _bests(rows: Sequence[Entry] | Sequence[ReportedEntry]) -> dict[str | int, float]:
    """The highest mIoU, FB-IoU and mIoU of a fold among some rows, by name or fold; nothing of one row alone."""
    found: dict[str | int, float] = {}
    for row in rows if len(rows) > 1 else ():
        figures: dict[str | int, float | None]
        if isinstance(row, Entry):
            figures = {"miou": row.miou.value, "fb_iou": row.fb_iou.value}
            figures |= {one.fold: one.miou.value for one in row.folds}
        else:
            figures = {"miou": row.miou, "fb_iou": row.fb_iou, **dict(enumerate(row.folds))}
        for name, value in figures.items():
            if value is not None:
                found[name] = max(value, found.get(name, 0.0))
    return found


def benchmark_title(name: str) -> str:
    """What to call a benchmark; its name if it is not built in."""
    try:
        return find_benchmark(name).title
    except UsageError:
        return name


def setting(entry: Entry | ReportedEntry) -> str:
    """What a model was asked, in words."""
    parts: list[Any] = [benchmark_title(entry.benchmark)]
    if isinstance(entry, Entry):
        parts += [f"{entry.protocol}/{entry.protocol_version}", f"{entry.shot}-shot", f"scored at {entry.policy}"]
    else:
        parts += [f"protocol {entry.protocol or 'not known'}", f"{entry.shot}-shot"]
    return " · ".join(parts)
