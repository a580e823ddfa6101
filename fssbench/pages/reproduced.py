"""A reproduced table as one HTML file: measured figures beside reported ones, and the curves of its trainings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fssbench.base.files import write_atomic
from fssbench.leaderboard.reported import Table
from fssbench.leaderboard.reproduction.measured import Measured
from fssbench.pages.curves import read_curves
from fssbench.pages.render import asset, environment, one_file_policy

__all__ = ["write_reproduction"]


def write_reproduction(path: Path, table: Table, measured: Sequence[Measured], trainings: Sequence[Path]) -> None:
    """Write the page.

    Args:
        trainings: folders of the table's trainings that have begun here.
    """
    style, script = asset("style.css"), asset("page.js")
    page = environment().get_template("reproduced.html")
    page_of = page.render(
        table=table,
        measured=measured,
        curves=read_curves(trainings) if trainings else None,
        style=style,
        script=script,
        policy=one_file_policy(style=style, script=script),
    )
    write_atomic(path, page_of)
