"""``fssbench conformance``: by which definition does a tool compute its scores?"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import JsonFlag, percent, print_json

if TYPE_CHECKING:
    from fractions import Fraction

    from fssbench.scoring.conformance.check import Reported
    from fssbench.scoring.conformance.definitions import Definition
    from fssbench.scoring.metrics import Scores

__all__ = ["conformance"]

PAIRS_TITLE = "The pairs: . background, # foreground, x ignored; fg, bg: intersection/union"


def conformance(
    check: Annotated[
        Path | None,
        typer.Option("--check", help="A tool's numbers for the kit, as JSON: say which definition it uses."),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="Write the kit to this new folder, for a tool to score.")
    ] = None,
    tolerance: Annotated[
        float,
        typer.Option(min=0, max=1, help="How far a tool's numbers may be off by rounding, in percentage points."),
    ] = 0.005,
    as_json: JsonFlag = False,
) -> None:
    """Show ten episodes to count by hand and their right scores, or find out how another tool scores them."""
    from fssbench.base.errors import UsageError

    if check and export:
        raise UsageError("--check and --export do not go together", remedy="export first, then check")
    if check:
        _check(check, tolerance, as_json)
    elif export:
        _export(export, as_json)
    else:
        _show(as_json)


def _export(folder: Path, as_json: bool) -> None:
    from fssbench.scoring.conformance.export import export_kit

    export_kit(folder)
    if as_json:
        print_json({"path": str(folder)})
    else:
        print(f"the kit → {folder}; fill in {folder / 'numbers.json'} and give it to --check")


def _show(as_json: bool) -> None:
    from fssbench.scoring.conformance.kit import ABSENT, CLASSES, PAIRS, right_answers

    occurring = [class_id for class_id in CLASSES if class_id != ABSENT]
    answers = {"all classes": right_answers(), "classes that occur": right_answers(occurring)}
    if as_json:
        pairs = [asdict(pair) for pair in PAIRS]
        print_json({"pairs": pairs, "answers": {name: asdict(scores) for name, scores in answers.items()}})
        return
    _print_pairs()
    _print_answers(answers)
    print(f"— {answers['all classes'].miou.reason}")


def _print_pairs() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fssbench.scoring.conformance.definitions import Ignored
    from fssbench.scoring.conformance.kit import CLASSES, PAIRS
    from fssbench.scoring.conformance.scoring import count_pixels

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title=PAIRS_TITLE)
    for name in ("", "class", "query", "prediction", "truth"):
        table.add_column(name, no_wrap=True)
    for name in ("fg", "bg"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it is there for")
    for index, pair in enumerate(PAIRS):
        ratios = (f"{inter}/{union}" for inter, union in count_pixels(pair, Ignored.EXCLUDED))
        masks = ("\n".join(rows) for rows in (pair.prediction, pair.truth))
        table.add_row(str(index), CLASSES[pair.class_id], pair.query, *masks, *ratios, pair.about, end_section=True)
    Console(highlight=False).print(table)


def _print_answers(answers: dict[str, Scores]) -> None:
    """Print figures in percent, and the fractions they are."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fssbench.scoring.conformance.definitions import OURS, Absent
    from fssbench.scoring.conformance.kit import CLASSES
    from fssbench.scoring.conformance.scoring import numbers_under

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title="The right answers, in %")
    table.add_column("")
    for name in answers:
        table.add_column(name, justify="right", no_wrap=True)
        table.add_column("fraction", justify="right", no_wrap=True)
    columns = []
    for scores, absent in zip(answers.values(), (Absent.UNDEFINED, Absent.SKIPPED), strict=True):
        exact = numbers_under(replace(OURS, absent=absent))
        figures = {
            CLASSES[class_id]: (figure, exact.per_class[class_id]) for class_id, figure in scores.per_class.items()
        }
        columns.append({**figures, "mIoU": (scores.miou, exact.miou), "FB-IoU": (scores.fb_iou, exact.fb_iou)})
    for name in columns[0]:
        cells = []
        for column in columns:
            figure, fraction = column.get(name, (None, None))
            cells += [percent(figure.value) if figure else "", str(fraction or "")]
        table.add_row(name, *cells)
    Console(highlight=False).print(table)


def _check(path: Path, tolerance: float, as_json: bool) -> None:
    """Say which definitions give the numbers in a file; `ResultError` if none does."""
    from fractions import Fraction

    from fssbench.base.errors import ResultError
    from fssbench.scoring.conformance.check import agreeing, nearest, read_reported
    from fssbench.scoring.conformance.definitions import OURS

    reported = read_reported(path)
    margin = Fraction(repr(tolerance)) / 100
    found = agreeing(reported, tolerance=margin)
    closest, off = (None, []) if found else nearest(reported, tolerance=margin)
    if as_json:
        print_json(
            {
                "ours": OURS in found,
                "definitions": [_definition(one) for one in found],
                "nearest": _definition(closest) if closest else None,
            }
        )
    elif closest:
        print(f"{path}: of the definitions known here, nearest is that of a tool that{_clauses(closest)}")
    else:
        _print_definitions(path, reported, found)
    if off:
        unit = "percent" if reported.in_percent else "values in [0, 1]"
        wrong = "; ".join(f"{one.figure} is {_percent(one.reported)}, there {_percent(one.defined)}" for one in off)
        raise ResultError(
            f"{path}: no definition known here gives these numbers, read as {unit}; the nearest differs: {wrong}",
            remedy="if the tool gives fewer than two decimals of a percent, raise --tolerance",
        )


def _print_definitions(path: Path, reported: Reported, found: list[Definition]) -> None:
    if len(found) == 1:
        verdict = "does not score as fssbench does; it" if found[0].differences else "scores"
        print(f"{path}: the tool {verdict}{_clauses(found[0])}")
        return
    missing = sorted({"fb_iou", "per_class"} - reported.model_fields_set)
    more = f"; {' and '.join(missing)} would tell more of them apart" if missing else ""
    print(f"{path}: {len(found)} definitions give these numbers{more}")
    for place, one in enumerate(found, start=1):
        print(f"{place}. the tool{'' if one.differences else ' scores'}{_clauses(one)}")


def _clauses(definition: Definition) -> str:
    """What a tool with this definition does, as the end of a sentence about it."""
    return "".join(f"\n  - {clause}" for clause in definition.differences) or " as fssbench does"


def _definition(definition: Definition) -> dict[str, Any]:
    return {**asdict(definition), "differences": list(definition.differences)}


def _percent(value: Fraction | None) -> str:
    return "undefined" if value is None else f"{percent(float(value))} %"
