"""Variables of the environment that were meant for fssbench, and that it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

__all__ = ["unknown_variables"]

PREFIX = "FSSBENCH_"
OWN = ("FSSBENCH_HOME", "FSSBENCH_SHARD_CACHE", "FSSBENCH_DEBUG", "FSSBENCH_QUIET")
TESTS = ("FSSBENCH_REAL_DATA", "FSSBENCH_SPLITS")
"""What the tests look for."""


def unknown_variables(environment: Iterable[str], options: Iterable[str]) -> Iterator[str]:
    """What to tell of every variable that begins with FSSBENCH_ and is neither an option nor read otherwise."""
    known = sorted({*OWN, *TESTS, *options})
    for name in sorted(environment):
        if name.startswith(PREFIX) and name not in known and not _of_a_training(name):
            close = get_close_matches(
                name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1, cutoff=0.8
            )
            question = f"; did you mean {PREFIX}{close[0]}?" if close else ""
            yield f"{name} is set, but fssbench reads no such variable{question}"


def _of_a_training(name: str) -> bool:
    """Whether it is for one training of ``reproduce``, such as FSSBENCH_TRAIN_HSNET_PASCAL_BATCH."""
    from fssbench.models import model_names
    from fssbench.models.registry import PARTS

    models = (one.upper().replace("-", "_") for one in (*model_names(), *PARTS))
    return name.startswith(tuple(f"FSSBENCH_TRAIN_{one}_" for one in models))
