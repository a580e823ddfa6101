"""``fssbench compare``: is one model better than another, and how sure is that?"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.console import JsonFlag, print_json

if TYPE_CHECKING:
    from fssbench.results.load import Loaded
    from fssbench.scoring.comparison import ClassDifference, Comparison
    from fssbench.scoring.uncertainty import Difference, Interval

__all__ = ["PolicyOption", "compare"]

PolicyOption = Annotated[
    str | None, typer.Option("--policy", help="The scoring policy to look at. [default: the results' headline]")
]


def compare(
    first: Annotated[Path, typer.Argument(help="A result, or a folder with one model's results.")],
    second: Annotated[Path, typer.Argument(help="The same of another model, on the same episodes.")],
    policy: PolicyOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare two models episode by episode: difference, interval and p-value, overall and by class."""
    from fssbench.results.load import load_run
    from fssbench.scoring.comparison import Pair, say
    from fssbench.scoring.comparison import compare as compare_pairs

    ours, theirs = load_run(first), load_run(second)
    common = _common(ours, theirs, first, second)
    headline = policy or ours[common[0]].result.headline
    pairs = [Pair(first=ours[k].table, second=theirs[k].table, classes=ours[k].classes) for k in common]
    comparison = compare_pairs(pairs, policy=headline)
    names = _names(ours[common[0]], theirs[common[0]])
    sentence = say(comparison, *names)
    if as_json:
        runs = [dict(zip(("fold", "shot", "seed"), key, strict=True)) for key in common]
        facts = {"first": str(first), "second": str(second), "policy": headline, "runs": runs, "sentence": sentence}
        print_json(facts | asdict(comparison))
        return
    _show(comparison, common, names, headline)
    print(sentence)


def _common(
    ours: dict[tuple[int, int, int], Loaded], theirs: dict[tuple[int, int, int], Loaded], first: Path, second: Path
) -> list[tuple[int, int, int]]:
    """The runs of both; `ResultError` unless both have the same ones of one benchmark and protocol."""
    from fssbench.base.errors import ResultError

    for (fold, shot, seed), there, without in [
        *((key, first, second) for key in sorted(ours.keys() - theirs.keys())),
        *((key, second, first) for key in sorted(theirs.keys() - ours.keys())),
    ]:
        raise ResultError(
            f"{there} has fold {fold}, {shot}-shot, seed {seed}, and {without} has not",
            remedy="evaluate it, or compare single results",
        )
    common = sorted(ours)
    for key in common:
        a, b = ours[key].result.episodes, theirs[key].result.episodes
        for name in ("benchmark", "protocol", "protocol_version"):
            if getattr(a, name) != getattr(b, name):
                raise ResultError(
                    f"{ours[key].path} is of {name.replace('_', ' ')} {getattr(a, name)}, {theirs[key].path} of "
                    f"{getattr(b, name)}",
                    remedy="compare results of one benchmark and protocol",
                )
    return common


def _names(ours: Loaded, theirs: Loaded) -> tuple[str, str]:
    """What to call the two; numbered if both have one name."""
    a, b = (
        " ".join(filter(None, [Path(m.name).name, m.backbone, m.control]))
        for m in (ours.result.model, theirs.result.model)
    )
    return (f"{a} (1)", f"{b} (2)") if a == b else (a, b)


def _show(comparison: Comparison, runs: list[tuple[int, int, int]], names: tuple[str, str], policy: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = escape(f"{names[0]} less {names[1]} · {policy} · points of IoU in %")
    table.add_column("")
    for name in ("difference", "other images", "other episodes", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    overall = {"mIoU": comparison.miou, "FB-IoU": comparison.fb_iou, "mean IoU of episodes": comparison.episode_iou}
    for name, difference in overall.items():
        table.add_row(name, *_cells(difference))
    if len(runs) > 1:
        several = len({(shot, seed) for _, shot, seed in runs}) > 1
        for (fold, shot, seed), difference in zip(runs, comparison.tracks, strict=True):
            table.add_row(f"fold {fold}" + (f" k={shot} seed={seed}" if several else ""), *_cells(difference))
    table.add_section()
    for one in comparison.per_class:
        table.add_row(escape(one.name), *_cells(one.difference, corrected=one))
    console = Console()
    console.print(table)
    print(f"p of classes is corrected for the {len(comparison.per_class)} compared (Holm).", end=" ")
    print("— means that there are too few episodes or images to say.")


def _cells(difference: Difference | None, *, corrected: ClassDifference | None = None) -> list[str]:
    from fssbench.scoring.comparison import p_text

    if difference is None:
        return ["undefined", "", "", ""]
    p = corrected.p_corrected if corrected else difference.p_images
    if p is None and not corrected:
        p = difference.p_episodes
    return [
        f"{100 * difference.value:+.2f}",
        _between(difference.between.images),
        _between(difference.between.episodes),
        "—" if p is None else p_text(p),
    ]


def _between(interval: Interval | None) -> str:
    return "—" if interval is None else f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}"
