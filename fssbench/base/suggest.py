"""What somebody who mistyped a name may have meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean", "known_are"]


def known_are(name: str, known: Iterable[str]) -> str:
    """``did you mean 'hsnet'? known are a, hsnet``; without the question where no name is like ``name``."""
    names = list(known)
    question = did_you_mean(name, names)
    return f"{question}{' ' if question else ''}known are {', '.join(names)}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean 'hsnet'?``, or nothing where no name is like ``name``."""
    close = get_close_matches(name.lower(), list(known), n=1)
    return f"did you mean '{close[0]}'?" if close else ""
