"""``fssbench score``: figures from masks, without a model; and whether a result is what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli import complete
from fssbench.cli.console import TERMINAL, DataOption, JsonFlag, print_json, warn

if TYPE_CHECKING:
    from fssbench.schemas.result import Result

__all__ = ["score"]


def score(
    path: Annotated[
        Path,
        typer.Argument(
            help="Predictions: what eval --save-predictions left, a folder of PNGs named by episode index, or a "
            ".jsonl file of run-length encodings. With --check a result, or a folder with results below it."
        ),
    ],
    data: DataOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Recompute everything a result says, and list what differs.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="The name of the model behind another tool's masks.")
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmark",
            "-b",
            help="The benchmark of another tool's masks. [default: the set's, else coco]",
            autocompletion=complete.benchmarks,
        ),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(
            "--protocol",
            "-p",
            help="Their protocol. [default: the set's, else strict]",
            autocompletion=complete.protocols,
        ),
    ] = None,
    fold: Annotated[
        int | None,
        typer.Option("--fold", "-f", help="Their fold. [default: the set's, else 0]", autocompletion=complete.folds),
    ] = None,
    shot: Annotated[int, typer.Option("--shot", "-k", min=1, help="Likewise.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Likewise.")] = 0,
    episodes: Annotated[
        int | None, typer.Option("--episodes", "-n", min=1, help="The masks are of the first N. [default: all]")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where the result goes. [default: beside what eval left, else results in the home]",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a result that says something else.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Score predicted masks without a model, or check a result against everything it rests on."""
    if check:
        from fssbench.api.check import check_all, require_sound
        from fssbench.cli.checking import say, verdict

        checked = check_all(path, data=data, report=TERMINAL)
        if as_json:
            print_json([verdict(one) for one in checked])
        else:
            for one in checked:
                say(one)
        require_sound(checked)
        return
    from fssbench.api.score import score as score_masks

    scored = score_masks(
        path,
        data=data,
        name=name,
        benchmark=benchmark,
        protocol=protocol,
        fold=fold,
        shot=shot,
        seed=seed,
        episodes=episodes,
        output=output,
        overwrite=overwrite,
        asked=("fssbench", *sys.argv[1:]),
        report=TERMINAL,
    )
    result = scored.result
    if as_json:
        facts = {"path": str(scored.path), "outcome": scored.outcome}
        print_json({**facts, "result": result.model_dump(mode="json")})
    else:
        _report(result, scored.path, scored.outcome)
    if result.unofficial:
        warn(f"not official: {'; '.join(result.unofficial)}")


def _report(result: Result, path: Path, what: str) -> None:
    from fssbench.results.evaluation import figure_text

    episodes = result.episodes
    said = {
        "written": "written",
        "agrees": "was there already, with the same counts",
        "restored": "was there already; its counts are restored",
    }
    print(
        f"{result.model.name} on {episodes.benchmark} {episodes.protocol} fold {episodes.fold}, {episodes.shot}-shot, "
        f"seed {episodes.seed}, {episodes.n_episodes:,} episodes"
    )
    for policy in result.policies:
        headline = " (headline)" if policy.policy == result.headline else ""
        print(f"  {policy.policy:<20} mIoU {figure_text(policy.miou)}, FB-IoU {figure_text(policy.fb_iou)}{headline}")
    print(f"  {path} ({said[what]})")
