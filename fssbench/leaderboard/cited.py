"""What to cite: fssbench itself, the papers of the models that were measured, and those that print what is reported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fssbench.base.version import __version__
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.reported import Paper, papers
from fssbench.leaderboard.typeset import LATEX
from fssbench.schemas.leaderboard import Printed

__all__ = ["AUTHORS", "TITLE", "bibtex", "key_of", "keys_of_model", "to_bibtex", "year_of"]

TITLE = "fssbench: few-shot segmentation episodes that are files with a hash, and scores anyone can recompute"
AUTHORS = ("the fssbench developers",)
"""As in ``CITATION.cff``, which is not installed."""


def to_bibtex(board: Leaderboard) -> bytes:
    """Everything that the tables of a leaderboard cite."""
    printed = [one for row in board.reported for one in row.printed]
    return bibtex([*printed, *(paper for entry in board.entries for paper in _own(entry.model.name))])


def bibtex(cited: Iterable[Paper | Printed]) -> bytes:
    """An entry for fssbench and one for each paper, by its key."""
    by_key = {key_of(one): one for one in cited}
    return "\n".join([_software(), *(_paper(key, by_key[key]) for key in sorted(by_key))]).encode()


def keys_of_model(name: str) -> list[str]:
    """The key of the paper that a model of ours is of."""
    return [key_of(paper) for paper in _own(name)]


def key_of(paper: Paper | Printed) -> str:
    """First author, year and fssbench's short name, such as ``min2021hsnet``."""
    name = paper.name if isinstance(paper, Paper) else paper.paper
    authors = _authors(name, paper)
    surname = authors[0].split()[-1].lower() if authors else ""
    return re.sub("[^a-z0-9]", "", surname) + (year_of(paper) or "") + re.sub("[^a-z0-9]", "", name.lower())


def year_of(paper: Paper | Printed) -> str | None:
    """The year in the name of its venue."""
    found = re.search(r"\b(19|20)\d\d\b", paper.venue)
    return found[0] if found else None


def _own(name: str) -> list[Paper]:
    return [paper for paper in papers() if paper.name == name]


def _authors(name: str, paper: Paper | Printed) -> Sequence[str]:
    """By themselves; what a board tells of a paper that is not among ours does not name them."""
    known = [paper] if isinstance(paper, Paper) else _own(name)
    if not known:
        return ()
    whole = known[0].authors.replace(" et al.", ", others")
    return [one.strip() for one in re.split(r",| and ", whole) if one.strip()]


def _paper(key: str, paper: Paper | Printed) -> str:
    name = paper.name if isinstance(paper, Paper) else paper.paper
    year = year_of(paper)
    return _entry(
        "inproceedings",
        key,
        author=" and ".join(_authors(name, paper)),
        title=f"{{{paper.title.translate(LATEX)}}}",
        booktitle=" ".join(paper.venue.replace(year or "", "").split()).translate(LATEX),
        year=year or "",
    )


def _software() -> str:
    author = " and ".join(f"{{{name}}}" for name in AUTHORS)
    return _entry("misc", "fssbench", author=author, title=f"{{{TITLE}}}", note=f"Version {__version__}")


def _entry(kind: str, key: str, **values: str) -> str:
    lines = "".join(f"  {name} = {{{value}}},\n" for name, value in values.items() if value)
    return f"@{kind}{{{key},\n{lines}}}\n"
