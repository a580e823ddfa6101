"""The tables of ``fssbench info SET``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from fssbench.pipelines.episode_sets.summary import ClassSummary, SetSummary

__all__ = ["print_summary"]

TRACKS = 4
"""Tracks that have a column each; of more, the episodes are added up."""

WIDTH = 100


def print_summary(summary: SetSummary) -> None:
    """Print what a set's episodes and images are, class by class."""
    from rich.console import Console

    console = Console()
    # Where the output goes to a file, a table is as wide as it needs to be.
    console = Console(width=max(console.width, WIDTH)) if not console.is_terminal else console
    console.print(_episodes(summary))
    print("reused: images that are a support in several episodes; repeated: episodes that name a support twice\n")
    console.print(_images(summary))
    print(
        "in %: quartiles of the class's share of its image; images where it is below 10 %; images without any other\n"
        "class; pixels that are not scored\n"
    )
    print(f"{summary.different_images:,} different images", end="")
    if summary.classes_in_image is None:
        print("; the data does not say which other classes they show")
    else:
        print(", by classes of the benchmark that they show")
        for n, images in summary.classes_in_image.items():
            print(f"{n:>4}  {images:>7,}  {100 * images / summary.different_images:5.1f} %")


def _table(title: str, columns: list[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title, title_justify="left")
    table.add_column("class", no_wrap=True, overflow="ellipsis", min_width=12)
    for name in columns:
        table.add_column(name, justify="right", min_width=min(len(name), 7))
    return table


def _episodes(summary: SetSummary) -> Table:
    tracks = list(summary.total.episodes)
    apart = len(tracks) <= TRACKS
    columns = [name.replace("shot-seed", "-shot seed ") for name in tracks] if apart else ["episodes of all tracks"]
    table = _table("Episodes", ["eligible", *columns, "queries", "supports", "reused", "repeated"])
    for one in _rows(summary):
        counts = [one.episodes[name] for name in tracks]
        numbers = [one.eligible, *(counts if apart else [sum(counts)])]
        numbers += [one.queries, one.supports, one.reused_supports, one.repeated_supports]
        table.add_row(_name(one), *(f"{n:,}" for n in numbers))
    return table


def _images(summary: SetSummary) -> Table:
    table = _table("Images", ["images", "size ¼", "size ½", "size ¾", "small", "alone", "ignored"])
    for one in _rows(summary):
        shares = one.object_share or (None, None, None)
        table.add_row(
            _name(one),
            f"{one.images:,}",
            *(_percent(share) for share in shares),
            _percent(one.small / one.images if one.images else None),
            _percent(None if one.alone is None or not one.images else one.alone / one.images),
            _percent(one.ignored_share if one.images else None),
        )
    return table


def _rows(summary: SetSummary) -> list[ClassSummary]:
    """All classes, and the total if there are several."""
    return [*summary.classes, summary.total] if len(summary.classes) > 1 else list(summary.classes)


def _name(one: ClassSummary) -> str:
    from rich.markup import escape

    return escape(one.name if one.id is None else f"{one.id:>3} {one.name}")


def _percent(share: float | None) -> str:
    return "—" if share is None else f"{100 * share:.1f}"
