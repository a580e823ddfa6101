"""The leaderboard as a static site: an index, a page for every entry, and two of them side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment

from fssbench.base.errors import StorageError
from fssbench.base.files import atomic_folder, storage_errors, write_atomic
from fssbench.base.listing import is_system_file
from fssbench.base.progress import Advance, no_progress
from fssbench.leaderboard.at_hand import at_hand
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.cited import board_bibtex
from fssbench.leaderboard.gathered import Gathered
from fssbench.leaderboard.standings import digests
from fssbench.pages.charts import scale_top
from fssbench.pages.examples import read_picture
from fssbench.pages.pairs import comparisons, entry_data, pair_data
from fssbench.pages.render import SITE_POLICY, asset, benchmark_title, environment
from fssbench.pages.view import PicturedExample, View
from fssbench.schemas.leaderboard import Entry, ReportedEntry
from fssbench.scoring.comparison import Comparison
from fssbench.scoring.uncertainty import Difference

__all__ = ["write_site"]

ASSETS = ("style.css", "page.js")
DATA = "leaderboard.json"
BIBTEX = "references.bib"
OWN = {*ASSETS, DATA, BIBTEX, "index.html", "compare.html", "models", "pictures"}
"""All that a site has at its top."""

Compared = Mapping[tuple[str, str], Comparison]


@dataclass(frozen=True, kw_only=True)
class Question:
    """A benchmark and number of shots: everything that was measured or reported on it."""

    benchmark: str
    shot: int
    measured: tuple[tuple[Entry, ...], ...]
    reported: tuple[tuple[ReportedEntry, ...], ...]

    @property
    def id(self) -> str:
        """Its anchor on the page."""
        return f"{self.benchmark}-{self.shot}shot"

    @property
    def title(self) -> str:
        """Its heading."""
        return f"{benchmark_title(self.benchmark)}, {self.shot}-shot"


def write_site(folder: Path, board: Leaderboard, views: dict[str, View], *, advance: Advance = no_progress) -> None:
    """Write the site in place of the one that is there; the same files for the same leaderboard.

    Args:
        folder: is made; what is there already must be an earlier site and nothing else.
        views: the results of entries, by id; the others have no charts of episodes, examples and comparisons.
        advance: called with 1 for every two entries compared.

    Raises:
        StorageError: something else is in the way, or the disk does not take it.
        ResultError: an index of examples is damaged.
    """
    _require_own(folder)
    pages = _Pages(board, views, comparisons(board, views, advance=advance))
    with atomic_folder(folder) as partial:
        pages.write(partial)


def _require_own(folder: Path) -> None:
    """Refuse to replace what `write_site` has not made, or what somebody has put beside it."""
    with storage_errors(folder):
        if not folder.exists():
            return
        there = folder.iterdir() if folder.is_dir() else [folder]
        names = {path.name for path in there if not is_system_file(path)}
    if strange := sorted(names - OWN):
        raise StorageError(
            f"{folder} is there already, and {strange[0]} is not part of an earlier page",
            remedy="choose another --output, or move it away",
        )


class _Pages:
    """All pages of one leaderboard."""

    def __init__(self, board: Leaderboard, views: Mapping[str, View], compared: Compared) -> None:
        self.board = board
        self.views = views
        self.compared = compared
        self.entries = {entry.id: entry for entry in board.entries}
        self.templates: Environment = environment()

    def write(self, folder: Path) -> None:
        """Write every file below ``folder``."""
        for name in ASSETS:
            write_atomic(folder / name, asset(name))
        write_atomic(folder / DATA, self.board.to_json())
        write_atomic(folder / BIBTEX, board_bibtex(self.board))
        write_atomic(
            folder / "index.html", self._page("index.html", questions=self._questions(), filters=self._filters())
        )
        write_atomic(folder / "compare.html", self._compare())
        for group in self.board.groups():
            for entry in group:
                shown = self._examples(entry, folder)
                write_atomic(folder / "models" / f"{entry.id}.html", self._entry(entry, group, shown))

    def _page(self, template: str, *, root: str = "", **parts: object) -> str:
        made = self.templates.get_template(template)
        return made.render(board=self.board, root=root, policy=SITE_POLICY, **parts)

    def _questions(self) -> list[Question]:
        """Those with something measured first."""
        measured, reported = tuple(self.board.groups()), tuple(self.board.reported_groups())
        firsts: list[Entry | ReportedEntry] = [*(group[0] for group in measured), *(group[0] for group in reported)]
        asked = dict.fromkeys((first.benchmark, first.shot) for first in firsts)
        return [
            Question(
                benchmark=benchmark,
                shot=shot,
                measured=tuple(_ordered(g) for g in measured if (g[0].benchmark, g[0].shot) == (benchmark, shot)),
                reported=tuple(g for g in reported if (g[0].benchmark, g[0].shot) == (benchmark, shot)),
            )
            for benchmark, shot in asked
        ]

    def _filters(self) -> dict[str, list[tuple[str, str]]]:
        """What can be chosen, by the name of the filter: values and what to call them."""
        entries, rows = self.board.entries, self.board.reported
        both: tuple[Entry | ReportedEntry, ...] = (*entries, *rows)
        benchmarks = dict.fromkeys(one.benchmark for one in both)
        backbones = {entry.model.backbone or "none" for entry in entries} | {row.backbone or "none" for row in rows}
        protocols = {entry.protocol for entry in entries} | {row.protocol or "unknown" for row in rows}
        return {
            "benchmark": [(name, benchmark_title(name)) for name in benchmarks],
            "protocol": [(name, name) for name in sorted(protocols)],
            "shot": [(str(shot), f"{shot}-shot") for shot in sorted({one.shot for one in both})],
            "backbone": [(name, name) for name in sorted(backbones)],
            "numbers": [("measured", "measured"), ("reported", "reported")],
        }

    def _entry(self, entry: Entry, group: tuple[Entry, ...], shown: tuple[PicturedExample, ...]) -> str:
        others = [(other, self._between(entry.id, other.id)) for other in group if other.id != entry.id]
        others = [(other, found) for other, found in others if found is not None]
        return self._page(
            "entry.html",
            root="../",
            entry=entry,
            view=self.views.get(entry.id),
            shown=shown,
            ranked=sum(one.rank is not None for one in group),
            others=others,
            reach=_reach([found for _, found in others]),
        )

    def _between(self, one: str, other: str) -> Difference | None:
        """The difference of two entries' mIoU; ``None`` if it is not known."""
        if (one, other) in self.compared:
            return self.compared[one, other].miou
        if (other, one) in self.compared:
            found = self.compared[other, one].miou
            return None if found is None else found.reversed()
        return None

    def _compare(self) -> str:
        pairs = [(self.entries[a], self.entries[b], found.miou) for (a, b), found in self.compared.items()]
        data = {
            "entries": [entry_data(entry) for entry in self.board.entries],
            "pairs": {
                f"{a}/{b}": pair_data(found, self.entries[a], self.entries[b])
                for (a, b), found in self.compared.items()
            },
            "titles": {group[0].group: self._title(group[0]) for group in self.board.groups()},
        }
        return self._page("compare.html", pairs=pairs, data=data, reach=_reach([found for *_, found in pairs]))

    @staticmethod
    def _title(entry: Entry) -> str:
        title = benchmark_title(entry.benchmark)
        return f"{title}, {entry.protocol}, {entry.shot}-shot, {digests(entry)}, {entry.regime}"

    def _examples(self, entry: Entry, folder: Path) -> tuple[PicturedExample, ...]:
        """An entry's examples, their pictures copied into the site."""
        view = self.views.get(entry.id)

        def copied(run: Gathered, file: str) -> str:
            name = f"pictures/{entry.id}/fold{run.run[0]}-seed{run.run[1]}-{file}"
            write_atomic(folder / name, read_picture(run.path, file))
            return f"../{name}"

        return view.examples(copied) if view else ()


def _ordered(group: tuple[Entry, ...]) -> tuple[Entry, ...]:
    """As ranked; those without a rank behind, by what there is of their mean."""

    def place(entry: Entry) -> tuple[int | float, float]:
        part = at_hand(entry)
        return entry.rank or math.inf, -part.value if part else 0.0

    return tuple(sorted(group, key=place))


def _reach(differences: list[Difference | None]) -> float:
    """How far a scale of some differences goes to either side."""
    ends = [one.between.images or one.between.episodes for one in differences if one]
    values = [abs(one.value) for one in differences if one]
    return scale_top([*values, *(abs(end) for sure in ends if sure for end in (sure.low, sure.high))])
