"""Attempts at what may fail for a while: how many, and how long to wait between them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["AttemptError", "FurtherError", "GaveUpError", "Patience", "persist"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to put up with a server.

    Attributes:
        silence: seconds without a byte until an attempt is given up.
        attempts: how many in a row may bring nothing new.
        pause: seconds until the second attempt; every further pause is twice as long.
    """

    silence: float = 30.0
    attempts: int = 5
    pause: float = 1.0


class AttemptError(Exception):
    """What another attempt may help."""


class FurtherError(AttemptError):
    """The attempt failed, but came further than any before it."""


class GaveUpError(Exception):
    """Too many attempts in a row brought nothing new."""


def persist(attempt: Callable[[], T], patience: Patience, *, wait: Callable[[float], None] = time.sleep) -> T:
    """What ``attempt`` returns, which is called again after every `AttemptError`, as often as patience allows.

    Raises `GaveUpError` from the last error.
    """
    failures = 0
    while True:
        try:
            return attempt()
        except AttemptError as error:
            failures = 0 if isinstance(error, FurtherError) else failures + 1
            if failures >= patience.attempts:
                raise GaveUpError(f"{error} ({failures} attempts brought nothing new)") from error
        wait(patience.pause * 2 ** max(failures - 1, 0))
