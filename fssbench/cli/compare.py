"""``fssbench compare``: is one model better than another, and how sure is that?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import JsonFlag, print_json
from fssbench.cli.many import Numbers, many, several
from fssbench.cli.paper import FormatOption, require_form

if TYPE_CHECKING:
    from rich.table import Table

    from fssbench.api.compare import ModelComparison, SeveralCompared
    from fssbench.scoring.comparison import ClassDifference
    from fssbench.scoring.uncertainty import Difference, Interval

__all__ = ["PolicyOption", "compare"]

PolicyOption = Annotated[
    str | None, typer.Option("--policy", help="The scoring policy to look at. [default: the results' headline]")
]


def compare(
    first: Annotated[Path, typer.Argument(help="A result, or a folder with one model's results.")],
    second: Annotated[Path, typer.Argument(help="The same of another model, on the same episodes.")],
    more: Annotated[list[Path] | None, typer.Argument(help="The same of further models.")] = None,
    policy: PolicyOption = None,
    shot: Annotated[
        list[Numbers] | None,
        many("--shot", "--shots", "-k", least=1, help="Numbers of supports. [default: all there are]"),
    ] = None,
    form: FormatOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare models episode by episode: difference, interval and p-value, overall and by class.

    With more than two models every pair is compared, and p-values are corrected for the number of pairs. Results with
    several numbers of supports make a table each.
    """
    from fssbench.api.compare import SeveralCompared, compare, shots_of

    require_form(form, as_json=as_json)
    tables, for_paper = [], []
    for k in several(shot) or shots_of(first):
        found: ModelComparison | SeveralCompared
        if more:
            found = compare(first, second, more[0], *more[1:], policy=policy, shot=k)
        else:
            found = compare(first, second, policy=policy, shot=k)
        if as_json:
            tables.append(_as_json(found, (first, second, *(more or ()))) | {"shot": k})
        elif form is not None:
            for_paper.append(found)
        else:
            _show_several(found) if isinstance(found, SeveralCompared) else _show(found)
            print(found)
    if form is not None:
        from fssbench.api.compared import written

        print(written(for_paper, form).decode(), end="")
    if as_json:
        print_json(tables[0] if len(tables) == 1 else tables)


def _as_json(found: ModelComparison | SeveralCompared, paths: Sequence[Path]) -> dict[str, Any]:
    from fssbench.api.compare import ModelComparison

    if isinstance(found, ModelComparison):
        runs = [run._asdict() for run in found.runs]
        named = {"first": str(paths[0]), "second": str(paths[1]), "sentence": str(found)}
        return named | asdict(found) | {"runs": runs}
    return {
        "models": [str(path) for path in paths],
        "scores": found.scores,
        "correction": "Holm 1979, for the number of pairs",
        "pairs": [
            _as_json(pair, two) | {"p_corrected": p}
            for pair, two, p in zip(found.pairs, combinations(paths, 2), found.p_corrected, strict=True)
        ],
    }


def _show_several(found: SeveralCompared) -> None:
    from rich.console import Console
    from rich.markup import escape

    from fssbench.scoring.comparison import p_text

    console, first = Console(), found.pairs[0]
    table = _table(f"{_asked(first)} · in %", next(iter(found.scores.values())))
    for name, own in found.scores.items():
        table.add_row(escape(name), *(_percent(value) for value in own.values()))
    console.print(table)
    table = _table("differences in mIoU, points in %", ("difference", "other images", "other episodes", "p"))
    for pair, p in zip(found.pairs, found.p_corrected, strict=True):
        cells = [*_cells(pair.miou)[:-1], "—" if p is None else p_text(p)]
        table.add_row(escape(" less ".join(pair.names)), *cells)
    console.print(table)
    print(f"p is corrected for the {len(found.pairs)} pairs compared (Holm), here and below.")


def _table(title: str, columns: Iterable[str]) -> Table:
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left", title=escape(title))
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _asked(found: ModelComparison) -> str:
    return f"{found.runs[0].shot}-shot · {found.policy}"


def _percent(value: float | None) -> str:
    return "undefined" if value is None else f"{100 * value:.2f}"


def _show(found: ModelComparison) -> None:
    from rich.console import Console
    from rich.markup import escape

    title = f"{' less '.join(found.names)} · {_asked(found)} · points of IoU in %"
    table = _table(title, ("first", "second", "difference", "other images", "other episodes", "p"))
    for name, difference in found.overall.items():
        table.add_row(name, *(_percent(own[name]) for own in found.scores), *_cells(difference))
    if len(found.runs) > 1:
        seeds = len({run.seed for run in found.runs}) > 1
        for run, difference in zip(found.runs, found.tracks, strict=True):
            more = f" seed={run.seed}" if seeds else ""
            table.add_row(f"fold {run.fold}{more}", "", "", *_cells(difference))
    table.add_section()
    for one in found.per_class:
        table.add_row(escape(one.name), "", "", *_cells(one.difference, corrected=one))
    Console().print(table)
    print(f"p of classes is corrected for the {len(found.per_class)} compared (Holm).", end=" ")
    print("— means that there are too few episodes or images to say.")


def _cells(difference: Difference | None, *, corrected: ClassDifference | None = None) -> list[str]:
    from fssbench.scoring.comparison import p_of, p_text

    if difference is None:
        return ["undefined", "", "", ""]
    p = corrected.p_corrected if corrected else p_of(difference)
    return [
        f"{100 * difference.value:+.2f}",
        _between(difference.between.images),
        _between(difference.between.episodes),
        "—" if p is None else p_text(p),
    ]


def _between(interval: Interval | None) -> str:
    return "—" if interval is None else f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
