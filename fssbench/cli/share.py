"""``fssbench push`` and ``fssbench pull``: sets to where others read them, and back to a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli import complete
from fssbench.cli.console import PLACE, TERMINAL, JsonFlag, Place, megabytes, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fssbench.api.share import Shared

__all__ = ["pull", "push"]


def push(
    folder: Annotated[
        Path, typer.Argument(help="A set, or a folder with sets below it.", autocompletion=complete.sets)
    ],
    address: Annotated[
        str, typer.Argument(help="Where to: hf://datasets/NAME/REPOSITORY, s3://bucket/folder, or the like.")
    ],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace another set of the same name.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Verify episode sets and training sets, and bring them to where others read them with --data."""
    from fssbench.api.share import push as bring

    _say(bring(folder, address, overwrite=overwrite, report=TERMINAL), address.rstrip("/"), "pushed", as_json)


def pull(
    place: Annotated[
        Place, typer.Argument(help="Where from: an address that push was given, or a set's own.", **PLACE)
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where sets go. [default: the home]")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the way.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Copy episode sets and training sets from elsewhere, checking every byte."""
    from fssbench.api.share import pull as fetch
    from fssbench.base.home import Home

    folder = output or Home.find().episodes
    _say(fetch(place, folder, overwrite=overwrite, report=TERMINAL), str(folder), "pulled", as_json)


def _say(found: Sequence[Shared], root: str, done: str, as_json: bool) -> None:
    if as_json:
        print_json([{"path": f"{root}/{one.name}", "bytes": one.n_bytes, "there": one.there} for one in found])
        return
    for one in found:
        outcome = "was there already" if one.there else f"{done}, {len(one.files) + 1} files, {megabytes(one.n_bytes)}"
        print(f"{root}/{one.name}: {outcome}")
