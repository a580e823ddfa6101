"""The controls by name; `fssbench.engine.controls` says what they are and does them."""

from __future__ import annotations

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are

__all__ = ["CONTROLS", "require_control"]


CONTROLS = {
    "no-support": "the masks of its supports were all zero",
    "wrong-class": "its supports were of another class",
}
"""By name, what was done to the model."""


def require_control(name: str) -> None:
    """Raise `UsageError` unless ``name`` is one of `CONTROLS`."""
    if name not in CONTROLS:
        raise UsageError(f"there is no control '{name}'", remedy=known_are(name, CONTROLS))
