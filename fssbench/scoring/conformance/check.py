"""Which definition a tool uses, told from the numbers it gives for the kit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from fssbench.base.errors import ResultError
from fssbench.base.records import Record, read_record
from fssbench.scoring.conformance.definitions import OURS, Definition, definitions
from fssbench.scoring.conformance.kit import CLASSES
from fssbench.scoring.conformance.scoring import numbers_under

__all__ = ["Disagreement", "Reported", "Verdict", "judge", "read_reported"]


def _number_or_null(value: object) -> object:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise PydanticCustomError(
            "figure", "expected a number, or null for undefined, got {value}", {"value": repr(value)}
        )
    return value


Share = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Given = Annotated[Share | None, BeforeValidator(_number_or_null)]


class Reported(Record):
    """What a tool reports of the kit: in [0, 1], or all in percent; null is undefined, a missing key not reported."""

    miou: Given
    fb_iou: Given = None
    per_class: dict[int, Given] = Field(default_factory=dict)

    @field_validator("per_class", mode="before")
    @classmethod
    def _classes_of_the_kit(cls, per_class: object) -> object:
        strangers = [name for name in per_class if name not in map(str, CLASSES)] if isinstance(per_class, dict) else []
        if strangers:
            named = {"stranger": repr(strangers[0]), "classes": ", ".join(map(str, CLASSES))}
            raise PydanticCustomError("class", "there is no class {stranger}; the kit has {classes}", named)
        return per_class

    @property
    def in_percent(self) -> bool:
        """Whether any value is above 1, so that all are percentages."""
        return any(value is not None and value > 1 for _, value in self._given())

    def figures(self) -> dict[str, Fraction | None]:
        """The figures given, by name, in [0, 1]: ``miou``, ``fb_iou`` and ``class 3``."""
        unit = 100 if self.in_percent else 1
        # Through its shortest text a float is the decimal that was written: 0.1 is one tenth.
        return {name: None if v is None else Fraction(repr(v)) / unit for name, v in self._given()}

    def _given(self) -> Iterator[tuple[str, float | None]]:
        yield "miou", self.miou
        if "fb_iou" in self.model_fields_set:
            yield "fb_iou", self.fb_iou
        for class_id, value in self.per_class.items():
            yield f"class {class_id}", value


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A figure that a definition does not give: what the tool reports, and what the definition makes of it."""

    figure: str
    reported: Fraction | None
    defined: Fraction | None

    @property
    def distance(self) -> Fraction:
        """How far apart they are, in [0, 1]; undefined is as far from any value as can be."""
        if self.reported is None or self.defined is None:
            return Fraction(1)
        return abs(self.reported - self.defined)

    def __str__(self) -> str:
        reported, defined = (
            "undefined" if value is None else f"{100 * float(value):.2f} %" for value in (self.reported, self.defined)
        )
        return f"{self.figure} is {reported}, there {defined}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which definitions give a tool's numbers.

    Attributes:
        agreeing: all that do, those nearest to fssbench's own first.
        nearest: the first of them, or if there are none, the one that gives most of the numbers.
        off: the numbers that ``nearest`` does not give.
    """

    agreeing: tuple[Definition, ...]
    nearest: Definition
    off: tuple[Disagreement, ...]

    def require_agreement(self, reported: Reported, path: Path) -> None:
        """Raise `ResultError` with the numbers that differ, if no definition gives them all."""
        if self.off:
            unit = "percent" if reported.in_percent else "values in [0, 1]"
            raise ResultError(
                f"{path}: no definition known here gives these numbers, read as {unit}; the nearest differs: "
                f"{'; '.join(map(str, self.off))}",
                remedy="if the tool gives fewer than two decimals of a percent, raise --tolerance",
            )


def read_reported(path: Path) -> Reported:
    """Read a tool's numbers from a JSON file.

    Raises:
        ResultError: the file cannot be read, is not JSON, lacks mIoU, or holds a key, a class or a value it must not.
    """
    remedy = "give miou and, if the tool has them, fb_iou and per_class, as in the numbers.json that --export writes"
    return read_record(path, Reported, error=ResultError, damaged="is not a tool's numbers", remedy=remedy)


def judge(reported: Reported, *, tolerance: Fraction) -> Verdict:
    """Find the definitions that give all figures to within ``tolerance`` (in [0, 1]), or else the nearest.

    Of a tool that gives no FB-IoU, nothing is said of how it makes it. Nearest is the definition that gives most of
    the figures; of equals, the closest.
    """
    figures = reported.figures()
    known = "fb_iou" in reported.model_fields_set
    found = [(one, _off(figures, one, tolerance)) for one in definitions() if known or one.fb == OURS.fb]
    found.sort(key=lambda pair: (len(pair[1]), sum(one.distance for one in pair[1]), len(pair[0].differences)))
    nearest, off = found[0]
    return Verdict(agreeing=tuple(one for one, wrong in found if not wrong), nearest=nearest, off=off)


def _off(figures: dict[str, Fraction | None], definition: Definition, tolerance: Fraction) -> tuple[Disagreement, ...]:
    """The figures that differ from those of a definition; one that it says nothing of does not."""
    numbers = numbers_under(definition)
    per_class = {f"class {class_id}": value for class_id, value in numbers.per_class.items()}
    defined = {"miou": numbers.miou, "fb_iou": numbers.fb_iou, **per_class}
    pairs = (
        Disagreement(figure=name, reported=value, defined=defined[name])
        for name, value in figures.items()
        if name in defined and value != defined[name]
    )
    return tuple(pair for pair in pairs if pair.distance > tolerance)
