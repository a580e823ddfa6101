"""``fssbench curves``: the learning curves of several trainings over one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fssbench.pages.curves import Curves, Reached

__all__ = ["curves"]


def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders that fssbench train wrote to.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("curves.html"),
) -> None:
    """Draw the mIoU and losses of several trainings over one another, and say how soon each reached what."""
    from fssbench.base.files import require_own
    from fssbench.pages.curves import read_curves, write_curves
    from fssbench.pages.render import MARK

    require_own(output, MARK)

    found = read_curves(runs)
    write_curves(output, found)
    for one in found.reached:
        print(_told(one, found))
    print(f"→ {output}")


def _told(one: Reached, found: Curves) -> str:
    from fssbench.pages.render import amount

    if one.best is None or one.best_at is None:
        return f"{one.name}: never validated"
    best = f"{one.name}: best mIoU {one.best:.1f} % after {amount(one.best_at)} {found.unit}"
    if found.level is None or one.sooner is None or len(found.reached) < 2:
        return best
    times = f", {one.sooner:.1f} times as soon as the last" if one.sooner > 1 else ""
    return f"{best}; {found.level:.1f} % after {amount(one.after[-1] or 0)} {found.unit}{times}"
