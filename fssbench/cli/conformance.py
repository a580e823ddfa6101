"""``fssbench conformance``: by which definition does a tool compute its scores?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import JsonFlag, percent, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fssbench.scoring.conformance.check import Reported
    from fssbench.scoring.conformance.definitions import Definition

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
        typer.Option(min=0, max=1, help="How far rounding may put a tool's numbers off, in percentage points."),
    ] = 0.005,
    as_json: JsonFlag = False,
) -> None:
    """Show ten episodes to count by hand with their right scores, or find out how another tool scores them."""
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

    columns = {"all classes": list(CLASSES), "classes that occur": [one for one in CLASSES if one != ABSENT]}
    answers = {name: right_answers(class_ids) for name, class_ids in columns.items()}
    if as_json:
        pairs = [asdict(pair) for pair in PAIRS]
        print_json({"pairs": pairs, "answers": {name: asdict(scores) for name, scores in answers.items()}})
        return
    _print_pairs()
    _print_answers(columns)
    print(f"— {answers['all classes'].miou.reason}")


def _print_pairs() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fssbench.scoring.conformance.definitions import OURS
    from fssbench.scoring.conformance.kit import CLASSES, PAIRS
    from fssbench.scoring.conformance.scoring import count_pixels

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title=PAIRS_TITLE)
    for name in ("", "class", "query", "prediction", "truth"):
        table.add_column(name, no_wrap=True)
    for name in ("fg", "bg"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("what it is there for")
    for index, pair in enumerate(PAIRS):
        ratios = (f"{inter}/{union}" for inter, union in count_pixels(pair, OURS.ignored))
        masks = ("\n".join(rows) for rows in (pair.prediction, pair.truth))
        table.add_row(str(index), CLASSES[pair.class_id], pair.query, *masks, *ratios, pair.about, end_section=True)
    Console(highlight=False).print(table)


def _print_answers(columns: dict[str, list[int]]) -> None:
    """Print figures in percent, and the fractions they are, over some classes a column."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fssbench.scoring.conformance.definitions import OURS
    from fssbench.scoring.conformance.kit import CLASSES
    from fssbench.scoring.conformance.scoring import numbers_under

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title="The right answers, in %")
    table.add_column("")
    cells: dict[str, list[str]] = {name: [] for name in (*CLASSES.values(), "mIoU", "FB-IoU")}
    for column, class_ids in columns.items():
        table.add_column(column, justify="right", no_wrap=True)
        table.add_column("fraction", justify="right", no_wrap=True)
        found = numbers_under(OURS, classes={class_id: CLASSES[class_id] for class_id in class_ids})
        figures = {CLASSES[class_id]: value for class_id, value in found.per_class.items()}
        figures |= {"mIoU": found.miou, "FB-IoU": found.fb_iou}
        for name, own in cells.items():
            value = figures.get(name)
            own += [percent(None if value is None else float(value)) if name in figures else "", str(value or "")]
    for name, own in cells.items():
        table.add_row(name, *own)
    Console(highlight=False).print(table)


def _check(path: Path, tolerance: float, as_json: bool) -> None:
    """Say which definitions give the numbers in a file; `ResultError` if none does."""
    from fractions import Fraction

    from fssbench.scoring.conformance.check import judge, read_reported
    from fssbench.scoring.conformance.definitions import OURS

    reported = read_reported(path)
    verdict = judge(reported, tolerance=Fraction(repr(tolerance)) / 100)
    if as_json:
        print_json(
            {
                "ours": OURS in verdict.agreeing,
                "definitions": [_definition(one) for one in verdict.agreeing],
                "nearest": None if verdict.agreeing else _definition(verdict.nearest),
            }
        )
    elif verdict.agreeing:
        _print_definitions(path, reported, verdict.agreeing)
    else:
        print(f"{path}: of the definitions known here, nearest is that of a tool that{_clauses(verdict.nearest)}")
    verdict.require_agreement(reported, path)


def _print_definitions(path: Path, reported: Reported, found: Sequence[Definition]) -> None:
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
