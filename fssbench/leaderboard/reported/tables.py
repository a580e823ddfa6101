"""Papers, their tables and rows: the schema of the data files, and reading them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from fssbench.base.errors import ResultError, UsageError
from fssbench.base.records import Record, first_error
from fssbench.base.suggest import known_are
from fssbench.base.toml import parse_toml
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.episodes.protocols import find_protocol
from fssbench.schemas.leaderboard import Regime

__all__ = [
    "PAPERS",
    "Architecture",
    "Ours",
    "Paper",
    "Row",
    "Slowdown",
    "Table",
    "find_table",
    "papers",
    "read_paper",
    "tables",
]

PAPERS = ("hsnet", "hmfs", "hdmnet", "bam", "ssp", "matcher", "gf-sam", "sansa")

Percent = Annotated[float, Field(ge=0, le=100)]


def _none_for_nan(value: object) -> object:
    return None if isinstance(value, float) and math.isnan(value) else value


Cell = Annotated[Percent | None, BeforeValidator(_none_for_nan)]
"""A cell among others; ``nan`` in the file where the text is garbled, since TOML has no null."""


class Ours(Record):
    """The model of this package that a row is about."""

    model: str
    options: dict[str, Any] = Field(default={}, description="beside the backbone, those that are not the default")
    recipe: dict[str, Any] = Field(
        default={}, description="settings that are not its recipe's, by full name, such as data.augmentation.colour"
    )


class Row(Record):
    """A method with a backbone at a number of shots; figures in percent, ``None`` where there is none to read."""

    method: str = Field(description="as the table calls it")
    variation: str | None = Field(default=None, description="what sets it apart from the method as such")
    ablation: bool = Field(default=False, description="whether it is there to show what a part of a method is worth")
    backbone: str | None = None
    benchmark: str = Field(description="the full name of what it was tested on")
    protocol: str | None = Field(default=None, description="that scored it, if that is known")
    ignore_label: bool = Field(default=True, description="whether ignored pixels were left out of the score")
    regime: Regime = Field(default="base classes", description="what its weights have learned from")
    shot: int = Field(ge=1)
    folds: tuple[Cell, ...] = Field(default=(), description="mIoU of every fold, or nothing")
    mean: Percent | None = None
    fb_iou: Percent | None = None
    learnable_parameters: float | None = Field(default=None, gt=0, description="in millions")
    milliseconds: float | None = Field(default=None, gt=0, description="of an episode")
    gigabytes: float | None = Field(default=None, gt=0, description="memory footprint")
    gigaflops: float | None = Field(default=None, gt=0, description="a multiplication and an addition being one")
    operations_of: tuple[str, ...] = Field(default=(), description="parts of our model, all if empty; parameters too")
    time_of: tuple[str, ...] = Field(default=(), description="likewise")
    costs_at: dict[str, Any] = Field(default={}, description="options of our model that only the costs are for")
    ours: Ours | None = None
    why: str | None = Field(default=None, description="why it cannot be measured here, if not for want of the method")
    note: str | None = None

    @model_validator(mode="after")
    def _known(self) -> Row:
        try:
            benchmark = find_benchmark(self.benchmark)
            if self.protocol is not None:
                find_protocol(self.protocol)
        except UsageError as error:
            raise ValueError(str(error)) from error
        if self.folds and len(self.folds) != len(benchmark.folds):
            raise ValueError(f"{self.label} has {len(self.folds)} folds, {benchmark.title} has {len(benchmark.folds)}")
        if self.ours is not None and (self.why is not None or self.protocol is None):
            raise ValueError(f"{self.label} can be measured, so it needs a protocol and no why")
        return self

    @property
    def label(self) -> str:
        """The method and what sets it apart."""
        return self.method if self.variation is None else f"{self.method}, {self.variation}"

    @property
    def options(self) -> dict[str, Any]:
        """The options of our model, its backbone among them; nothing where there is no such model."""
        if self.ours is None:
            return {}
        return ({} if self.backbone is None else {"backbone": self.backbone}) | self.ours.options

    @property
    def scored(self) -> bool:
        """Whether it says how good the method is, not only what it costs."""
        return bool(self.folds) or self.mean is not None or self.fb_iou is not None

    @property
    def obstacle(self) -> str | None:
        """Why it cannot be measured here, or ``None`` if it can."""
        return None if self.ours is not None else self.why or "another method, of which there is no model here"


class Table(Record):
    """A table: rows as printed, from top to bottom, one a number of shots."""

    name: str = Field(pattern=r"^[a-z0-9-]+$", description="to ask for it, such as hsnet-table1")
    number: str = Field(description="as the paper counts, such as Table 1")
    title: str
    costs: bool = Field(default=False, description="whether parameters, time and operations are what it is about")
    note: str | None = None
    rows: tuple[Row, ...]

    @model_validator(mode="before")
    @classmethod
    def _spread(cls, table: Any) -> Any:
        """Give every row what ``each`` says of all of them."""
        if not isinstance(table, Mapping) or not isinstance(table.get("each"), Mapping):
            return table
        rest = {key: value for key, value in table.items() if key != "each"}
        return rest | {"rows": [table["each"] | row for row in table.get("rows", [])]}


class Architecture(Record):
    """Parameters of one of our models by part, in millions; without the classifier of a backbone."""

    number: str = Field(description="of the table, such as Table A5")
    ours: Ours
    millions: dict[str, float]


class Slowdown(Record):
    """How much longer one of our models takes than another."""

    where: str = Field(description="in the paper")
    ours: Ours
    than: dict[str, Any] = Field(description="options of the model that takes less time")
    percent: float


class Paper(Record):
    """A paper and its result tables, and what it says of costs besides."""

    name: str
    title: str
    authors: str
    venue: str
    arxiv: str | None = Field(default=None, pattern=r"^\d{4}\.\d{4,5}$")
    repository: str | None = Field(
        default=None, description="of its code, and of figures that it does not print itself"
    )
    bibtex: str | None = Field(default=None, pattern=r"^@[a-z]+\{[a-z]+\d{4}[a-z0-9]+,\n", description="its entry")
    tables: tuple[Table, ...]
    architectures: tuple[Architecture, ...] = ()
    slowdowns: tuple[Slowdown, ...] = ()

    @property
    def key(self) -> str | None:
        """The key of its BibTeX entry."""
        return None if self.bibtex is None else self.bibtex.partition("{")[2].partition(",")[0]

    @property
    def measurable(self) -> bool:
        """Whether a model of this package stands in one of its tables."""
        return any(row.obstacle is None for table in self.tables for row in table.rows)


def read_paper(path: Path) -> Paper:
    """Read a data file; `ResultError` naming what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}", remedy="check the path") from error
    return _parse(data, where=str(path))


@cache
def papers() -> tuple[Paper, ...]:
    """The papers whose tables are here."""
    folder = package_files(__package__)
    return tuple(_parse(folder.joinpath(f"{name}.toml").read_bytes(), where=name) for name in PAPERS)


def tables() -> tuple[Table, ...]:
    """All tables of all papers."""
    return tuple(table for paper in papers() for table in paper.tables)


def find_table(name: str, *, among: Sequence[Paper] | None = None) -> Table:
    """The table called ``name``, such as ``hsnet-table1``; `UsageError` if there is none.

    Args:
        among: the papers whose tables are searched, ours if none are given.
    """
    found = {table.name: table for paper in (papers() if among is None else among) for table in paper.tables}
    try:
        return found[name.lower()]
    except KeyError:
        raise UsageError(f"there is no table '{name}'", remedy=known_are(name, found)) from None


def _parse(data: bytes, *, where: str) -> Paper:
    try:
        return Paper.model_validate(parse_toml(data))
    except ValidationError as error:
        raise ResultError(f"{where} is not a paper's tables: {first_error(error)}", remedy="correct it") from error
    except ValueError as error:
        raise ResultError(f"{where} is not TOML: {error}", remedy="correct it") from error
