"""``benchmark.toml``: what a folder of images and masks is as a benchmark of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from fssbench.base.errors import SourceError
from fssbench.base.records import Record, first_error
from fssbench.base.toml import parse_toml
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark
from fssbench.pipelines.sources.files import read_bytes
from fssbench.schemas.manifest import BenchmarkRecord

__all__ = ["DESCRIPTION", "Description", "read_description"]

DESCRIPTION = "benchmark.toml"
Value = Annotated[int, Field(ge=0, le=255)]


class Description(Record):
    """A folder's ``benchmark.toml``. Class indices are given by ascending mask value."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="what eval calls it, such as my-parts")
    title: str | None = Field(default=None, description="its name for people; the name if left out")
    classes: dict[str, Value] = Field(min_length=1, description="mask value of every class, by the class's name")
    folds: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] | None = Field(
        default=None, min_length=1, description="for every fold the classes it tests; one fold of all if left out"
    )
    ignore_label: Value | None = Field(default=None, description="mask value of pixels that are not scored")
    background: tuple[Value, ...] = Field(default=(0,), description="mask values that are not a class")
    images: str = Field(default="images", description="folder of the images")
    masks: str = Field(default="masks", description="folder of the masks, named as the images are")
    test: str | None = Field(default=None, description="list of the images to draw from; all others if left out")
    train: str | None = Field(default=None, description="list of images that no episode may use")

    @model_validator(mode="after")
    def _values_and_names(self) -> Description:
        if any(not name.strip() or not name.isprintable() for name in self.classes):
            raise ValueError("a class has no printable name")
        taken: dict[int, str] = {}
        uses = [(f"class '{name}'", value) for name, value in self.classes.items()]
        uses += [("background", value) for value in self.background]
        if self.ignore_label is not None:
            uses.append(("ignore_label", self.ignore_label))
        for name, value in uses:
            if value in taken:
                raise ValueError(f"{taken[value]} and {name} both have the mask value {value}")
            taken[value] = name
        for fold, names in enumerate(self.folds or ()):
            if unknown := [name for name in names if name not in self.classes]:
                raise ValueError(f"fold {fold} names '{unknown[0]}', which is not among the classes")
        if self.name in {known for b in BENCHMARKS for known in (b.name, b.alias)} | {"folder"}:
            raise ValueError(f"the name '{self.name}' is taken")
        return self

    @property
    def values(self) -> tuple[int, ...]:
        """The mask value of every class index."""
        return tuple(sorted(self.classes.values()))

    @property
    def benchmark(self) -> Benchmark:
        """The benchmark it describes; never a published one."""
        names = tuple(sorted(self.classes, key=self.classes.__getitem__))
        folds = self.folds or (names,)
        return BenchmarkRecord(
            title=self.title or self.name,
            classes=names,
            folds=tuple(tuple(sorted(names.index(name) for name in set(fold))) for fold in folds),
        ).benchmark(self.name, ignore_label=self.ignore_label)


def read_description(folder: Path) -> Description:
    """The description in ``folder``; `SourceError` that names what is wrong with it."""
    path = folder / DESCRIPTION
    if not path.is_file():
        raise SourceError(
            f"{folder} has no {DESCRIPTION}" if folder.is_dir() else f"there is no folder {folder}",
            remedy=f"write a {DESCRIPTION} beside images/ and masks/, as docs/guides/own-data.md says",
        )
    try:
        return Description.model_validate(parse_toml(read_bytes(path)))
    except ValidationError as error:
        raise SourceError(f"{path}: {first_error(error)}", remedy="docs/guides/own-data.md has its fields") from error
    except ValueError as error:
        raise SourceError(f"{path} is not TOML: {error}", remedy="fix that line") from error
