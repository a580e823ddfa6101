"""``fssbench submit``: results as one archive that others can check and add to their leaderboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.checking import check_all, refuse_wrong, say
from fssbench.cli.console import DataOption, JsonFlag, megabytes, print_json, warn

if TYPE_CHECKING:
    from fssbench.schemas.result import Result

__all__ = ["submit"]


def submit(
    folder: Annotated[Path, typer.Argument(help="Results: what eval was given as --output, or one model's folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The archive to write.")] = Path("submission.tar"),
    data: DataOption = None,
    cards: Annotated[
        Path | None,
        typer.Option("--cards", help="Where the cards of checkpoints lie. [default: the home, and beside the weights]"),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Pack results with their counts, masks and checkpoints' cards into one archive, the same bytes every time."""
    from fssbench.leaderboard.archive import find_cards, pack

    checked = check_all(folder, data)
    for one in checked:
        if one.problems:
            say(one)
    refuse_wrong(checked)
    results = [one.result for one in checked if one.result is not None]
    found = find_cards(results, _cards(cards, results))
    archive = pack(checked, output, cards=found)
    without = {r.model.checkpoint_sha256 for r in results if r.model.checkpoint_sha256} - found.keys()
    if as_json:
        print_json(
            {"path": str(output), "results": len(results), "without_card": sorted(without)}
            | {"sha256": archive.sha256, "files": [file.model_dump() for file in archive.files]}
        )
        return
    for sha256 in sorted(without):
        warn(f"no card of the checkpoint {sha256[:12]}… was found; make one with fssbench convert, or pass --cards")
    print(
        f"{len(results)} results in {len(archive.files)} files, {megabytes(archive.n_bytes)} → {output}\n"
        f"SHA-256 {archive.sha256}"
    )


def _cards(folder: Path | None, results: list[Result]) -> list[Path]:
    """Files that may be cards: below the folder named, or in the home and wherever the weights lay."""
    from fssbench.base.home import Home
    from fssbench.models.cards import card_path, chosen_weights

    if folder is not None:
        return sorted(folder.rglob("*.json"))
    weights = {
        str(one.command.resolved.get("weights") or "none").replace("{fold}", str(one.episodes.fold)) for one in results
    }
    beside = [card_path(chosen_weights(Path(one))) for one in sorted(weights - {"none"})]
    return [*sorted(Home.find().checkpoints.rglob("*.json")), *beside]
