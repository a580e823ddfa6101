"""``fssbench push`` and ``fssbench pull``: sets and results to where others read them, and back to a folder."""

from __future__ import annotations

from dataclasses import asdict
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
        Path,
        typer.Argument(help="Sets or results: the --output of prepare or eval.", autocompletion=complete.sets),
    ],
    address: Annotated[
        str, typer.Argument(help="Where to: hf://datasets/NAME/REPOSITORY, s3://bucket/folder, or the like.")
    ],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace another set or result of the same name.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check sets or results, and bring them to where others read them."""
    from fssbench.api.share import push as bring

    _say(bring(folder, address, overwrite=overwrite, report=TERMINAL), "pushed", as_json)


def pull(
    place: Annotated[
        Place, typer.Argument(help="Where from: an address that push was given, or a set's own.", **PLACE)
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where sets and results go. [default: the home]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in the way.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Copy sets or results from elsewhere, and check everything before it is kept."""
    from fssbench.api.share import pull as fetch

    _say(fetch(place, output, overwrite=overwrite, report=TERMINAL), "pulled", as_json)


def _say(found: Sequence[Shared], done: str, as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in found])
        return
    for one in found:
        outcome = "was there already" if one.there else f"{done}, {one.n_files} files, {megabytes(one.n_bytes)}"
        print(f"{one.path}: {outcome}")
