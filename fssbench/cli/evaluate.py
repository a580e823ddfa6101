"""``fssbench eval``: ask a model the episodes of a set."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import DataOption, JsonFlag, print_json, progress, warn
from fssbench.errors import UsageError

if TYPE_CHECKING:
    from fssbench.engine.run import Finished

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name, or path/to/file.py:Name.")],
    benchmark: Annotated[str, typer.Option("--benchmark", "-b", help="What to evaluate on.")] = "coco",
    data: DataOption = None,
    protocol: Annotated[str, typer.Option("--protocol", "-p", help="How episodes are drawn and scored.")] = "strict",
    fold: Annotated[list[int] | None, typer.Option("--fold", "-f", help="A fold, repeatable. [default: all]")] = None,
    shot: Annotated[
        list[int] | None, typer.Option("--shot", "-k", min=1, help="Supports, repeatable. [default: 1]")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option("--seed", min=0, help="A seed, repeatable. [default: 0]")] = None,
    episodes: Annotated[
        int | None, typer.Option("--episodes", "-n", min=1, help="The first N of each track. [default: all]")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option("--backbone", help="The feature extractor. [default: the model's]")
    ] = None,
    backbone_weights: Annotated[
        str | None,
        typer.Option("--backbone-weights", help="none, imagenet, or the PATH of a state dict. [default: imagenet]"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="none, or a checkpoint's PATH with {fold} where folds differ. [default: look in the home]",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Another option of the model, as name=value; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Decoding threads.")] = 4,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where results go. [default: results in the home]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Evaluate again what is there.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Evaluate a model and write its results with the per-episode counts they are computed from."""
    from fssbench.benchmarks import find_benchmark
    from fssbench.engine.environment import pick_device
    from fssbench.engine.model import load_model
    from fssbench.engine.run import Job, run
    from fssbench.home import Home
    from fssbench.models import model_spec
    from fssbench.pipelines.episode_set import locate_set
    from fssbench.protocols import find_protocol

    home = Home.find()
    found = find_benchmark(benchmark)
    find_protocol(protocol)
    spec = model_spec(model)
    options = model_options(option or [])
    for name, value in (("backbone", backbone), ("backbone_weights", backbone_weights)):
        if value is not None and spec.has_backbone:
            options[name] = value
        elif value is not None:
            warn(f"{model} has no backbone, so --{name.replace('_', '-')} means nothing to it")
    folds = fold or list(range(len(found.folds)))
    root, target, where = data or home.episodes, output or home.results, pick_device(device)
    # Every set is opened and every track looked up before the first model runs.
    sets = {f: locate_set(root, benchmark=found, protocol=protocol, fold=f) for f in dict.fromkeys(folds)}
    tracks = list(product(sets, dict.fromkeys(shot or [1]), dict.fromkeys(seed or [0])))
    for f, k, s in tracks:
        record = sets[f].record(shot=k, seed=s)
        if episodes is not None and episodes > record.episodes:
            raise UsageError(
                f"{sets[f].path} has {record.episodes:,} {k}-shot episodes of seed {s}, asked for are {episodes:,}",
                remedy=f"pass --episodes {record.episodes} or less, or prepare more",
            )
    finished = []
    loaded: dict[int, Any] = {}
    for f, k, s in tracks:
        if f not in loaded:
            loaded = {
                f: load_model(model, options, weights=weights, benchmark=found, fold=f, n_folds=len(sets), home=home)
            }
        job = Job(
            episode_set=sets[f],
            shot=k,
            seed=s,
            episodes=episodes,
            output=target,
            device=where,
            workers=workers,
            overwrite=overwrite,
            asked=("fssbench", *sys.argv[1:]),
            resolved={
                "model": model,
                "options": {key: str(value) for key, value in options.items()},
                "weights": weights,
                "data": str(sets[f].path),
                "benchmark": found.name,
                "protocol": protocol,
                "fold": f,
                "shot": k,
                "seed": s,
                "episodes": episodes,
                "device": where,
                "output": str(target),
            },
        )
        with progress(f"{model} fold {f} {k}-shot", job.n_episodes, unit="episodes") as advance:
            finished.append(run(loaded[f], job, look=lambda _, advance=advance: advance(1)))  # type: ignore[misc]
        if not as_json:
            _report(finished[-1])
    if as_json:
        print_json(
            [
                {"path": str(one.path), "skipped": one.skipped, "result": one.result.model_dump(mode="json")}
                for one in finished
            ]
        )
    if reasons := dict.fromkeys(reason for one in finished for reason in one.result.unofficial):
        warn(f"not official: {'; '.join(reasons)}")


def model_options(pairs: list[str]) -> dict[str, Any]:
    """``size=200`` and the like as keyword arguments: numbers and true/false as such, the rest as text."""
    import tomllib

    options: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name.isidentifier():
            raise UsageError(f"--option must be name=value, got '{pair}'", remedy="as in --option size=200")
        try:
            options[name] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            options[name] = value
    return options


def _report(finished: Finished) -> None:
    result, score = finished.result, finished.result.score
    episodes = result.episodes
    head = f"fold {episodes.fold}, {episodes.shot}-shot, seed {episodes.seed}, {episodes.n_episodes:,} episodes"
    speed = "was there already" if finished.skipped else f"{result.execution.episodes_per_second:.1f} episodes/s"
    print(f"{head}: mIoU {_percent(score.miou)}, FB-IoU {_percent(score.fb_iou)} ({speed})")
    print(f"  {finished.path}")


def _percent(figure: Any) -> str:
    if figure.value is None:
        return f"undefined ({figure.reason})"
    interval = figure.interval
    between = f" [{100 * interval.low:.1f}, {100 * interval.high:.1f}]" if interval else ""
    return f"{100 * figure.value:.2f}{between}"
