"""``fssbench verify``: is this episode set what its manifest says?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.base.listing import is_litter
from fssbench.cli import complete
from fssbench.cli.console import PLACE, JsonFlag, Place, print_json, progress

if TYPE_CHECKING:
    from fssbench.pipelines.episode_sets.check_set import Verdict

__all__ = ["verify"]


def verify(
    folder: Annotated[
        Place,
        typer.Argument(
            help="A set, or a folder with sets below it, here or at an address. Training sets count too.",
            autocompletion=complete.sets,
            **PLACE,
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """Check every hash, count and key of episode sets and training sets, and list all that is wrong."""
    from fssbench.base.errors import EpisodeSetError
    from fssbench.pipelines.episode_sets.check_episode_set import verify_set
    from fssbench.pipelines.episode_sets.episode_set import find_sets
    from fssbench.pipelines.training_sets.check_training_set import verify_training_set
    from fssbench.pipelines.training_sets.training_set import find_training_sets

    found: list[tuple[Place, Callable[..., Verdict]]] = [(path, verify_set) for path in find_sets(folder)]
    found += [(path, verify_training_set) for path in find_training_sets(folder)]
    if not found:
        missing = isinstance(folder, Path) and not folder.exists()
        raise EpisodeSetError(
            f"there is no folder {folder}" if missing else f"there is no episode set in {folder}",
            remedy=_where_they_are(folder)
            or "pass the folder that was given to prepare as --output, or build a set with fssbench prepare",
        )
    verdicts = []
    for path, check in found:
        with progress(f"verifying {path.name}", _size(path), unit="bytes") as advance:
            verdicts.append(check(path, advance=advance))
    if as_json:
        print_json([{"path": str(v.path), "sound": not v.problems, "problems": v.problems} for v in verdicts])
    else:
        for v in verdicts:
            if v.problems:
                print(f"DAMAGED {v.path}: {len(v.problems)} problems")
                print("\n".join(f"  {problem}" for problem in v.problems))
            else:
                episodes = f", {v.episodes:,} episodes" if v.episodes else ""
                redrawn = f", tracks drawn again and equal: {v.redrawn}" if v.redrawn else ""
                print(f"sound {v.path}: {v.files} files, {v.images:,} images{episodes}{redrawn}")
    if damaged := sum(bool(v.problems) for v in verdicts):
        raise EpisodeSetError(
            f"{damaged} of {len(verdicts)} sets are damaged", remedy="prepare them again with --overwrite"
        )


def _where_they_are(folder: Place) -> str | None:
    """What to pass instead of a folder that lies too far above sets."""
    from fssbench.pipelines.episode_sets.episode_set import find_sets

    if not isinstance(folder, Path) or not folder.is_dir():
        return None
    for deeper in ("*", "*/*", "*/*/*"):
        for inner in sorted(folder.glob(deeper)):
            if inner.is_dir() and not is_litter(inner.name) and find_sets(inner):
                return f"sets lie deeper; pass {inner}"
    return None


def _size(place: Place) -> int | None:
    """Bytes of the files of a set, if it is a folder of this machine."""
    if not isinstance(place, Path):
        return None
    return sum(file.stat().st_size for file in place.iterdir() if file.is_file())
