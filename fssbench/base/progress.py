"""How long work tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Advance", "no_progress"]


Advance = Callable[[int], None]
"""Called with the number of items just done, so that long work can show progress."""


def no_progress(_: int) -> None:
    """An `Advance` that shows nothing."""
