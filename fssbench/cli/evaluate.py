"""``fssbench eval``: ask a model the episodes of a set."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from fssbench.base.progress import duration
from fssbench.cli import complete
from fssbench.cli.config import ConfigOption
from fssbench.cli.console import (
    TERMINAL,
    DataOption,
    JsonFlag,
    aside,
    megabytes,
    percent,
    print_json,
    progress,
    warn,
)
from fssbench.cli.log_options import LogToOption
from fssbench.cli.many import FoldsOption, SeedsOption, ShotsOption, several
from fssbench.cli.model_options import (
    BackboneOption,
    BackboneWeightsOption,
    ModelOption,
    OptionsFileOption,
    PairsOption,
    given_options,
    resolve_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fssbench.engine.estimate import Estimate
    from fssbench.engine.job import Job
    from fssbench.engine.model import LoadedModel
    from fssbench.results.evaluation import Evaluation

__all__ = ["evaluate"]


def evaluate(
    model: ModelOption,
    benchmark: Annotated[
        str, typer.Option("--benchmark", "-b", help="The benchmark to evaluate on.", autocompletion=complete.benchmarks)
    ] = "coco",
    data: DataOption = None,
    protocol: Annotated[
        str,
        typer.Option("--protocol", "-p", help="How episodes are drawn and scored.", autocompletion=complete.protocols),
    ] = "strict",
    fold: FoldsOption = None,
    shot: ShotsOption = None,
    seed: SeedsOption = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            "--episodes",
            "-n",
            min=1,
            help="Only the first N episodes of each track; a track with fewer is refused. [default: all]",
        ),
    ] = None,
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="none, or the PATH of a checkpoint, with {fold} where folds differ. [default: found in the home]",
        ),
    ] = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
    name: Annotated[
        str | None, typer.Option("--name", help="The model's name in results. [default: its own name]")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Decoding threads.")] = 4,
    feature_cache: Annotated[
        str, typer.Option("--feature-cache", help="Memory on the device for features of images, such as 8GiB.")
    ] = "2GiB",
    batch: Annotated[
        int | None,
        typer.Option("--batch", min=1, help="Images encoded and episodes matched at a time. [default: CPU 1, GPU 8]"),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            "--precision", help="float32, tf32, bf16 or fp16; what a lower one changes is measured and recorded."
        ),
    ] = "float32",
    compile_model: Annotated[
        bool,
        typer.Option("--compile/--no-compile", help="Encode images with torch.compile, which takes a minute to start."),
    ] = False,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="Ask one episode at a time and share nothing: the reference."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much memory and time it would take; evaluate nothing.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Like --episodes, but a track with fewer is used whole.")
    ] = None,
    ignore_label: Annotated[
        bool,
        typer.Option(
            "--ignore-label/--no-ignore-label",
            help="Leave ignored pixels out of the headline score, or count them as background; both are recorded.",
        ),
    ] = True,
    visualize: Annotated[
        int,
        typer.Option(
            "--visualize", min=0, help="Draw N episodes of each track beside the result: the worst, median and best."
        ),
    ] = 0,
    save_predictions: Annotated[
        bool, typer.Option("--save-predictions", help="Keep every mask beside the result for fssbench score.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            help="no-support zeroes the supports' masks; wrong-class shows supports of another class. Never ranked.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to put results. [default: results in the home]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Evaluate again even if a result exists.")] = False,
    config: ConfigOption = None,
    log_to: LogToOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate a model and write its results with the per-episode counts they are computed from.

    An interrupted run continues where it stopped; a finished result is left as it is. Under torchrun the
    processes share the episodes.
    """
    from fssbench.api.tracks import asked_tracks
    from fssbench.base.home import Home
    from fssbench.models import full_name, model_spec
    from fssbench.results.control_names import require_control

    with aside() as out:
        model = full_name(model)
        spec = model_spec(model)
        given = given_options(spec, option, options_file)
    if control is not None:
        require_control(control)
    tracks = asked_tracks(
        benchmark,
        data=data,
        protocol=protocol,
        folds=several(fold),
        shots=several(shot) or (1,),
        seeds=several(seed),
        episodes=episodes,
        limit=limit,
    )

    # The model itself, and torch with it, is loaded when all that needs neither has been looked at.
    from fssbench.api.evaluate import EvaluationRequest
    from fssbench.engine.inference import InferenceSettings

    with aside():
        options = resolve_options(spec, given, backbone=backbone, backbone_weights=backbone_weights)
    request = EvaluationRequest(
        model=model,
        tracks=tracks,
        options=options,
        weights=weights,
        name=name,
        device=device,
        workers=workers,
        inference=InferenceSettings.on(
            device,
            batch=batch,
            precision=precision,
            feature_cache=feature_cache,
            compiled=compile_model,
            plain=plain,
        ),
        ignore_label=ignore_label,
        control=control,
        output=output or Home.find().results,
        overwrite=overwrite,
        save_predictions=save_predictions,
        log_to=log_to or (),
        asked=("fssbench", *sys.argv[1:]),
    )
    if dry_run:
        with aside():
            estimates = request.estimates()
        _say(estimates, as_json=as_json)
        return
    finished: list[Evaluation] = []

    def after(loaded: LoadedModel, job: Job, evaluation: Evaluation) -> None:
        finished.append(evaluation)
        if visualize:
            _draw(loaded, job, evaluation, visualize)
        if not as_json:
            _report(evaluation, out)

    with aside():
        request.run(report=TERMINAL, after=after)
    if as_json and finished:
        print_json([_summary(one) for one in finished])
    elif finished:
        from fssbench.leaderboard.closing import closings

        print("".join(f"{one}\n" for one in closings(finished)), end="")
    if any(one.record.model.selected_on_test_fold for one in finished):
        warn("the weights are those that scored best on this very fold, as publications choose them")
    if reasons := dict.fromkeys(reason for one in finished for reason in one.unofficial):
        warn(f"not official: {'; '.join(reasons)}")


def _say(estimates: Sequence[Estimate], *, as_json: bool) -> None:
    """What each track would take."""
    from dataclasses import asdict

    if as_json:
        print_json([asdict(one) for one in estimates])
        return
    for one in estimates:
        print(f"{one.track}: {one.episodes:,} episodes, {one.images:,} images encoded {one.encoded:,} times")
        print(
            f"  about {duration(one.seconds)}: {1000 * one.seconds_per_image:,.0f} ms an image, "
            f"{1000 * one.seconds_per_episode:,.0f} ms an episode"
        )
        print(
            f"  memory: {megabytes(one.memory)}, of which weights {megabytes(one.weights)}, features "
            f"{megabytes(one.features)} ({megabytes(one.feature_bytes)} an image), at work {megabytes(one.working)}"
        )


def _draw(loaded: LoadedModel, job: Job, evaluation: Evaluation, n: int) -> None:
    from fssbench.pages.draw_examples import keep_examples
    from fssbench.pages.examples import examples_folder

    with progress("drawing", min(n, job.n_episodes), unit="episodes") as bar:
        kept = keep_examples(loaded, job, evaluation, n=n, advance=bar)
    warn(f"{len(kept.examples)} episodes are drawn in {examples_folder(evaluation.path)}")


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    result = evaluation.record.model_dump(mode="json")
    return {"path": str(evaluation.path), "skipped": evaluation.skipped, "result": result}


def _report(evaluation: Evaluation, out: TextIO) -> None:
    run = evaluation.record.execution
    speed = f"{run.episodes_per_second:.1f} episodes/s" if run and not evaluation.skipped else "was there already"
    if run and run.resumed_episodes and not evaluation.skipped:
        speed += f", {run.resumed_episodes:,} of {evaluation.record.episodes.n_episodes:,} episodes kept"
    print(f"{evaluation} ({speed})", file=out)
    scored = [iou for iou in evaluation.per_class.values() if iou is not None]
    if evaluation.miou is None and scored:
        there = f"{len(scored)} of {len(evaluation.per_class)} classes"
        print(f"  mIoU over {there}: {percent(fmean(scored))}, not comparable with other figures", file=out)
    print(f"  {evaluation.path}", file=out)
