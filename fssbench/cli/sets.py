"""Finding the set that a command is given."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete
from fssbench.cli.console import PLACE, Place

if TYPE_CHECKING:
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

__all__ = ["SetArgument", "open_set"]

SetArgument = Annotated[
    Place,
    typer.Argument(
        help="A set's folder or address, or a folder with one set below it.", autocompletion=complete.sets, **PLACE
    ),
]


def open_set(place: Place) -> EpisodeSet:
    """Open the set at ``place``: its folder, its manifest, or a folder that prepare wrote one set to.

    Raises:
        UsageError: there are several sets below the folder.
        EpisodeSetError: there is none.
    """
    from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet, find_sets

    folder = place.parent if isinstance(place, Path) and place.name == MANIFEST else place
    found = find_sets(folder)
    if len(found) > 1:
        names = ", ".join(str(one) for one in found[:5]) + (", …" if len(found) > 5 else "")
        raise UsageError(f"{folder} holds {len(found)} sets: {names}", remedy="name one of them")
    return EpisodeSet.open(found[0] if found else folder)
