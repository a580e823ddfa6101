"""What to cite: fssbench itself, the papers of the models that were measured, and those that print what is reported."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from fssbench.base.version import __version__
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.reported import Paper, papers
from fssbench.schemas.leaderboard import Printed, ReportedEntry

__all__ = [
    "AUTHORS",
    "TITLE",
    "PrintedBy",
    "bibtex",
    "board_bibtex",
    "keys",
    "of_model",
    "of_printed",
    "printed_by",
    "year_of",
]

TITLE = "fssbench: few-shot segmentation episodes that are files with a hash, and scores anyone can recompute"
AUTHORS = ("the fssbench developers",)
"""As in ``CITATION.cff``, which is not installed."""


def board_bibtex(board: Leaderboard) -> bytes:
    """Everything that the tables of a leaderboard cite."""
    models = [paper for entry in board.entries for paper in of_model(entry.model.name)]
    return bibtex([*models, *(paper for row in board.reported for paper in of_printed(row.printed))])


def bibtex(cited: Iterable[Paper]) -> bytes:
    """An entry for fssbench, and those of papers by their keys."""
    authors = " and ".join(f"{{{name}}}" for name in AUTHORS)
    lines = (f"title = {{{{{TITLE}}}}}", f"author = {{{authors}}}", f"note = {{Version {__version__}}}")
    fields = "".join(f"  {line},\n" for line in lines)
    own = f"@misc{{fssbench,\n{fields}}}"
    entries = {paper.key: paper.bibtex.strip() for paper in cited if paper.key and paper.bibtex}
    return "\n\n".join([own, *(entries[key] for key in sorted(entries))]).encode() + b"\n"


def of_model(name: str) -> list[Paper]:
    """The paper that a model of ours is of."""
    return [paper for paper in papers() if paper.name == name]


def of_printed(printed: Iterable[Printed]) -> list[Paper]:
    """The papers that print a score, each once; a leaderboard may name some that this version does not know."""
    names = [one.paper for one in printed]
    return [paper for paper in papers() if paper.name in names]


@dataclass(frozen=True, kw_only=True)
class PrintedBy:
    """A paper that prints a score, and where.

    Attributes:
        numbers: of its tables, such as ``Table 1, A2``.
        link: to the paper; ``None`` if this version does not know it.
        code: a link to the method's code, if this is its own paper and the row not an ablation.
    """

    name: str
    year: str
    title: str
    numbers: str
    link: str | None
    code: str | None


def printed_by(row: ReportedEntry) -> list[PrintedBy]:
    """The papers that print a row, in its order."""
    known = {paper.name: paper for paper in papers()}
    tables: dict[str, list[Printed]] = {}
    for one in row.printed:
        tables.setdefault(one.paper, []).append(one)
    found = []
    for name, printed in tables.items():
        paper = known.get(name)
        own = not row.ablation and row.method.lower().partition(",")[0] == name
        found.append(
            PrintedBy(
                name=name,
                year=year_of(printed[0]),
                title=printed[0].title,
                numbers=", ".join(dict.fromkeys(one.number for one in printed)).replace(", Table ", ", "),
                link=f"https://arxiv.org/abs/{paper.arxiv}" if paper and paper.arxiv else None,
                code=f"https://{paper.repository}" if own and paper and paper.repository else None,
            )
        )
    return found


def keys(cited: Iterable[Paper]) -> list[str]:
    """Their keys in `bibtex`."""
    return [paper.key for paper in cited if paper.key]


def year_of(printed: Printed) -> str:
    """The year in the name of the venue; nothing if there is none."""
    found = re.search(r"\b(19|20)\d\d\b", printed.venue)
    return found[0] if found else ""
