"""How long work tells how far it is, and what is worth knowing about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["SILENT", "Advance", "Bar", "Report", "duration", "no_progress"]


Advance = Callable[[int], None]
"""Called with the number of items just done, so that long work can show progress."""


def no_progress(_: int) -> None:
    """An `Advance` that shows nothing."""


class Bar:
    """A progress bar to report to: call it with the number of items just done; threads may call it."""

    def __call__(self, n: int) -> None:
        """Count ``n`` more items as done."""

    def begin(self, n: int) -> None:
        """Count ``n`` items of an earlier run as done: they do not measure how long the others will take."""

    def say(self, text: str) -> None:
        """Show a few words behind the bar, in place of what was said before."""


class Report:
    """Where work says how it goes. This one shows no progress, and hands remarks to Python's logging."""

    def note(self, text: str) -> None:
        """Make a remark that is worth reading, though nothing is wrong."""
        logging.getLogger("fssbench").warning(text)

    def say(self, text: str) -> None:
        """Tell a step of the work that people follow, such as a validation; this one logs it."""
        logging.getLogger("fssbench").info(text)

    @contextmanager
    def progress(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Bar]:
        """A bar while the block runs; ``total`` is ``None`` where nobody knows."""
        yield Bar()


def duration(seconds: float) -> str:
    """A time for people, such as ``3 min``."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} days"


SILENT = Report()
