"""``fssbench eval``: ask a model the episodes of a set."""

from __future__ import annotations

import sys
import time
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli.console import DataOption, JsonFlag, figure, megabytes, print_json, progress, warn
from fssbench.cli.model_options import (
    BackboneOption,
    BackboneWeightsOption,
    ModelOption,
    OptionsFileOption,
    PairsOption,
    resolve_options,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fssbench.engine.estimate import Estimate
    from fssbench.engine.evaluate import Answer
    from fssbench.engine.job import Job
    from fssbench.engine.model import LoadedModel
    from fssbench.engine.ranks import Ranks
    from fssbench.engine.run import Finished
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

__all__ = ["evaluate"]


def evaluate(
    model: ModelOption,
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help="What to evaluate on.")] = "coco",
    data: DataOption = None,
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="How episodes are drawn and scored.")] = "strict",
    fold: Annotated[list[int] | None, typer.Option("--fold", "-f", help="A fold, repeatable. [default: all]")] = None,
    shot: Annotated[
        list[int] | None, typer.Option("--shot", "-k", min=1, help="Supports, repeatable. [default: 1]")
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option("--seed", min=0, help="A seed, repeatable. [default: the protocol's]")
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            "--episodes", "-n", min=1, help="The first N of each track, which must have as many. [default: all]"
        ),
    ] = None,
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="none, or a checkpoint's PATH with {fold} where folds differ. [default: look in the home]",
        ),
    ] = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
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
        bool, typer.Option("--compile/--no-compile", help="Encode images by torch.compile's code; it takes a minute.")
    ] = False,
    plain: Annotated[
        bool,
        typer.Option("--plain", help="One episode at a time by the model as it is, nothing shared: the reference."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take, in memory and time, and evaluate nothing.")
    ] = False,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many episodes a track.")] = None,
    ignore_label: Annotated[
        bool,
        typer.Option(
            "--ignore-label/--no-ignore-label",
            help="Leave ignored pixels out of the headline score, or count them as background. Both are scored.",
        ),
    ] = True,
    visualize: Annotated[
        int,
        typer.Option(
            "--visualize", min=0, help="Draw N episodes of each track beside the result: the worst, median and best."
        ),
    ] = 0,
    save_predictions: Annotated[
        bool, typer.Option("--save-predictions", help="Keep every mask beside the result, for fssbench score.")
    ] = False,
    control: Annotated[
        str | None,
        typer.Option(
            "--control",
            help="no-support: zero the supports' masks; wrong-class: show supports of another class. Never ranked.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where results go. [default: results in the home]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Evaluate again what is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate a model and write its results with the per-episode counts they are computed from.

    A run that was interrupted is taken up where it stopped; a finished result is left as it is. Under torchrun the
    processes share the episodes.
    """
    from fssbench.base.home import Home
    from fssbench.engine.estimate import estimate
    from fssbench.engine.job import Job
    from fssbench.engine.model import load_model
    from fssbench.engine.pace import Pace, parse_bytes, parse_precision
    from fssbench.engine.ranks import joined
    from fssbench.episodes.protocols import find_protocol
    from fssbench.models import full_name, model_spec
    from fssbench.pipelines.episode_sets.episode_set import benchmark_below, locate_set
    from fssbench.results.control_names import require_control
    from fssbench.results.environment import pick_device

    home, model = Home.find(), full_name(model)
    root, target = data or home.episodes, output or home.results
    # What torch cannot use is refused before any set is opened.
    pace = Pace(
        fast=not plain,
        batch=batch,
        feature_cache=parse_bytes(feature_cache),
        precision=parse_precision(precision, pick_device(device)),
        compiled=compile_model,
    )
    found = benchmark_below(root, benchmark)
    rules = find_protocol(protocol)
    rules.require(found)
    if control is not None:
        require_control(control)
    options = resolve_options(
        model_spec(model), pairs=option, file=options_file, backbone=backbone, backbone_weights=backbone_weights
    )
    folds = dict.fromkeys(fold if fold is not None else range(len(found.folds)))
    for f in folds:
        found.novel_classes(f)  # refuses a fold that does not exist
    # Every set is opened and every track looked up before the first model runs.
    sets = {f: locate_set(root, benchmark=found, protocol=protocol, fold=f) for f in folds}
    tracks = list(product(sets, dict.fromkeys(shot or [1]), dict.fromkeys(seed or rules.seeds)))
    asked = {track: _episodes(sets[track[0]], *track[1:], episodes=episodes, limit=limit) for track in tracks}
    with joined() as ranks:
        where = pick_device(device, local=ranks.local)
        resolved = {
            "model": model,
            "options": {key: str(value) for key, value in options.items()},
            "weights": weights,
            "data": str(root),
            "benchmark": found.name,
            "protocol": protocol,
            "ignore_label": ignore_label,
            "control": control,
            "device": where,
            "output": str(target),
            "path": "plain" if plain else "fast",
            "batch": pace.batch_on(where),
            "feature_cache": pace.feature_cache,
            "precision": pace.precision,
            "compile": compile_model,
        }
        finished: list[Finished] = []
        estimates: list[Estimate] = []
        loaded: dict[int, LoadedModel] = {}
        for f, k, s in tracks:
            if f not in loaded:  # one at a time: checkpoints differ by fold
                loaded = {
                    f: load_model(
                        model,
                        options,
                        weights=weights,
                        benchmark=found,
                        fold=f,
                        n_folds=len(sets),
                        home=home,
                        control=control,
                    )
                }
            job = Job(
                episode_set=sets[f],
                shot=k,
                seed=s,
                episodes=asked[f, k, s],
                output=target,
                device=where,
                workers=workers,
                pace=pace,
                exclude_ignored=ignore_label,
                save_predictions=save_predictions,
                overwrite=overwrite,
                asked=("fssbench", *sys.argv[1:]),
                resolved={**resolved, "fold": f, "shot": k, "seed": s, "episodes": asked[f, k, s]},
            )
            if dry_run:
                estimates.append(estimate(loaded[f], job, processes=ranks.world))
                continue
            finished.append(_run(loaded[f], job, ranks, visualize=visualize))
            if ranks.first and not as_json:
                _report(finished[-1])
    if ranks.first and dry_run:
        _say(estimates, as_json=as_json)
    elif ranks.first:
        if as_json:
            print_json([_summary(one) for one in finished])
        if any(one.result.model.selected_on_test_fold for one in finished):
            warn("the weights are those that scored best on this very fold, as publications choose them")
        if reasons := dict.fromkeys(reason for one in finished for reason in one.result.unofficial):
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
            f"  about {_duration(one.seconds)}: {1000 * one.seconds_per_image:,.0f} ms an image, "
            f"{1000 * one.seconds_per_episode:,.0f} ms an episode"
        )
        print(
            f"  memory: {megabytes(one.memory)}, of which weights {megabytes(one.weights)}, features "
            f"{megabytes(one.features)} ({megabytes(one.feature_bytes)} an image), at work {megabytes(one.working)}"
        )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _episodes(episode_set: EpisodeSet, shot: int, seed: int, *, episodes: int | None, limit: int | None) -> int | None:
    """How many episodes of a track to ask; ``None`` for all. `UsageError` if it has fewer than asked for."""
    there = episode_set.record(shot=shot, seed=seed).episodes
    if episodes is not None and episodes > there:
        raise UsageError(
            f"{episode_set.place} has {there:,} {shot}-shot episodes of seed {seed}, asked for are {episodes:,}",
            remedy=f"pass --episodes {there} or less, or prepare the set with --episodes {episodes} --overwrite",
        )
    wanted = min(episodes or there, limit or there)
    return None if wanted == there else wanted


def _run(loaded: LoadedModel, job: Job, ranks: Ranks, *, visualize: int) -> Finished:
    """Evaluate one track under a progress bar, and draw some of its episodes if asked."""
    from fssbench.engine.run import run

    n = len(ranks.share(job.track))
    title = f"{loaded.record.name} fold {job.episode_set.manifest.fold} {job.shot}-shot"
    with progress(title, n, unit="episodes", shown=ranks.first) as bar:
        running = RunningScore()

        def look(answer: Answer) -> None:
            bar(1)
            bar.say(running.add(answer))

        finished = run(loaded, job, look=look, ranks=ranks)
    if ranks.first and visualize:
        _draw(loaded, job, finished, visualize)
    return finished


def _draw(loaded: LoadedModel, job: Job, finished: Finished, n: int) -> None:
    from fssbench.pages.examples import examples_folder, keep_examples

    with progress("drawing", min(n, job.n_episodes), unit="episodes") as bar:
        kept = keep_examples(loaded, job, finished, n=n, advance=bar)
    warn(f"{len(kept.examples)} episodes are drawn in {examples_folder(finished.path)}")


class RunningScore:
    """mIoU over the classes seen so far, and the speed, for the eye only."""

    def __init__(self) -> None:
        self.sums: dict[int, list[int]] = {}
        self.start = time.perf_counter()
        self.n = 0

    def add(self, answer: Answer) -> str:
        """Count an answer in and say where things stand."""
        inter, union = answer.counts[0, :2].tolist()
        sums = self.sums.setdefault(answer.episode.class_id, [0, 0])
        sums[0] += inter
        sums[1] += union
        self.n += 1
        ious = [inter / union for inter, union in self.sums.values() if union]
        miou = 100 * sum(ious) / len(ious) if ious else 0
        return f"{self.n / (time.perf_counter() - self.start):.1f}/s, mIoU {miou:.1f} over {len(self.sums)} classes"


def _summary(finished: Finished) -> dict[str, Any]:
    result = finished.result.model_dump(mode="json")
    return {"path": str(finished.path), "skipped": finished.skipped, "result": result}


def _report(finished: Finished) -> None:
    result, score = finished.result, finished.result.score
    episodes = result.episodes
    head = f"fold {episodes.fold}, {episodes.shot}-shot, seed {episodes.seed}, {episodes.n_episodes:,} episodes"
    run = result.execution
    speed = f"{run.episodes_per_second:.1f} episodes/s" if run and not finished.skipped else "was there already"
    print(f"{head}: mIoU {figure(score.miou)}, FB-IoU {figure(score.fb_iou)} ({speed})")
    print(f"  {finished.path}")
