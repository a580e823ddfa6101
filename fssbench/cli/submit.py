"""``fssbench submit``: results as one archive that others can check and add to their leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fssbench.cli.checking import say
from fssbench.cli.console import TERMINAL, DataOption, JsonFlag, megabytes, print_json, warn

__all__ = ["submit"]


def submit(
    folder: Annotated[Path, typer.Argument(help="Results: the --output of eval, or one model's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive to write.")] = Path("submission.tar"),
    data: DataOption = None,
    cards: Annotated[
        Path | None,
        typer.Option("--cards", help="Where the checkpoints' cards are. [default: the home, and beside the weights]"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Pack results with their counts, masks and checkpoints' cards into one archive, the same bytes every time."""
    from fssbench.api.check import check_all, require_sound
    from fssbench.base.files import require_own
    from fssbench.leaderboard.archive import archive

    require_own(output, "fssbench-submission")
    checked = check_all(folder, data=data, report=TERMINAL)
    for one in checked:
        if one.problems:
            say(one)
    require_sound(checked)
    packed = archive(checked, output, cards=cards)
    if as_json:
        print_json(
            {"path": str(output), "results": len(checked), "without_card": packed.without_card}
            | {"sha256": packed.sha256, "files": [file.model_dump() for file in packed.files]}
        )
        return
    for sha256 in packed.without_card:
        warn(f"no card of the checkpoint {sha256[:12]}… was found; make one with fssbench convert, or pass --cards")
    print(
        f"{len(checked)} results in {len(packed.files)} files, {megabytes(packed.n_bytes)} → {output}\n"
        f"SHA-256 {packed.sha256}"
    )
