"""What travels: a set or a result, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Shared"]


@dataclass(frozen=True, kw_only=True)
class Shared:
    """A set or a result that was pushed or pulled.

    Attributes:
        kind: what it is.
        path: the folder or address where it lies now; of a result, its file's.
        n_files: how many files it has.
        n_bytes: of all of them.
        there: whether it was there already, so that nothing travelled.
    """

    kind: Literal["set", "result"]
    path: str
    n_files: int
    n_bytes: int
    there: bool
