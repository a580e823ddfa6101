"""A contact sheet of an episode set: supports and queries with their masks, on one picture."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fssbench.base.errors import StorageError
from fssbench.base.files import storage_errors
from fssbench.base.progress import Advance, no_progress
from fssbench.pages.pictures import FAINT, GAP, LINE, Cell, Sheet, query_cell, support_cell, tile_size
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, StreamedEpisode, as_frame, stream
from fssbench.schemas.manifest import TrackRecord

__all__ = ["SOFTWARE", "Strip", "draw_episodes", "draw_strips", "require_own"]

SIDE = 210
"""Pixels of an image's longer side."""

SHAPE = 1.5
"""Width to height that a contact sheet comes close to."""

SOFTWARE = "fssbench show"
"""What a contact sheet says it was made with: only such a file is written over."""

BETWEEN = 3 * GAP


@dataclass(frozen=True, kw_only=True, eq=False)
class Strip:
    """Cells that belong together, under a title: an episode's supports and its query."""

    title: str
    cells: Sequence[Cell]


def draw_episodes(
    path: Path,
    episode_set: EpisodeSet,
    record: TrackRecord,
    indices: Collection[int],
    *,
    advance: Advance = no_progress,
) -> None:
    """Write a PNG of some episodes of a track, by ascending index.

    Args:
        record: of the track.
        indices: of the episodes, at least one; all in the track.
        advance: called with 1 for every episode read.

    Raises:
        EpisodeSetError: a shard is missing or damaged.
        StorageError: the picture cannot be written.
    """
    manifest = episode_set.manifest
    names = {pool.id: pool.name for pool in manifest.classes}
    wanted = frozenset(indices)
    shown: dict[int, StreamedEpisode[Frame]] = {}
    for episode in stream(
        episode_set,
        shot=record.shot,
        seed=record.seed,
        transform=as_frame,
        episodes=max(wanted) + 1,
        skip=frozenset(range(max(wanted))) - wanted,
    ):
        shown[episode.index] = episode
        advance(1)
    heading = [
        f"{manifest.title} · {record.shot}-shot seed {record.seed} · {len(wanted):,} of {record.episodes:,} episodes",
        "blue: supports · green: query, with the object's share of the image"
        + ("" if manifest.ignore_label is None else " · white stripes: not scored"),
    ]
    strips = [_strip(shown[index], names) for index in sorted(wanted)]
    draw_strips(path, heading=heading, strips=strips)


def _strip(shown: StreamedEpisode[Frame], names: dict[int, str]) -> Strip:
    query = shown.query
    return Strip(
        title=f"{shown.index:,}  {names[shown.episode.class_id]}",
        cells=[
            *(support_cell(frame, frame.image_id) for frame in shown.supports),
            query_cell(query, f"{query.image_id} · {100 * query.mask.mean():.2g} %"),
        ],
    )


def draw_strips(path: Path, *, heading: Sequence[str], strips: Sequence[Strip]) -> None:
    """Write a PNG of strips, side by side and below each other, under a heading of a few lines.

    The file says that fssbench made it; see `require_own`.
    """
    width = max(len(strip.cells) for strip in strips) * (SIDE + GAP) - GAP + BETWEEN
    per_row = _per_row(len(strips), width, SIDE + 2 * LINE + BETWEEN)
    rows = [strips[start : start + per_row] for start in range(0, len(strips), per_row)]
    heights = [max(tile_size(cell, SIDE)[1] for strip in row for cell in strip.cells) for row in rows]
    top = 2 * BETWEEN + len(heading) * LINE
    sheet = Sheet(BETWEEN + per_row * width, top + sum(heights) + len(rows) * (2 * LINE + BETWEEN))
    for n, line in enumerate(heading):
        sheet.write(BETWEEN, BETWEEN + n * LINE, line, per_row * width - BETWEEN, FAINT if n else "black")
    y = top
    for row, height in zip(rows, heights, strict=True):
        for column, strip in enumerate(row):
            x = BETWEEN + column * width
            sheet.write(x, y, strip.title, width - BETWEEN)
            for c, cell in enumerate(strip.cells):
                sheet.place(x + c * (SIDE + GAP), y + LINE, cell, side=SIDE, height=height, colour=FAINT)
        y += height + 2 * LINE + BETWEEN
    sheet.save(path, made_with=SOFTWARE, description="\n".join(heading))


def _per_row(n: int, width: int, height: int) -> int:
    """How many of ``n`` strips of this size to put side by side for a sheet of the usual shape."""

    def distance(per_row: int) -> float:
        return abs(math.log(per_row * width / (math.ceil(n / per_row) * height) / SHAPE))

    return min(range(1, n + 1), key=distance)


def require_own(path: Path) -> None:
    """Refuse to write over what `draw_strips` has not made; `StorageError` if ``path`` is such a file."""
    with storage_errors(path):
        if not path.exists():
            return
        try:
            with Image.open(path, formats=["PNG"]) as image:
                own = image.info.get("Software") == SOFTWARE
        except (OSError, SyntaxError, ValueError):
            own = False
    if not own:
        raise StorageError(
            f"{path} is there already, and is not an earlier picture of {SOFTWARE}",
            remedy="choose another --output, or move it away",
        )
