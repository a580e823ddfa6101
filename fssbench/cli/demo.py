"""``fssbench demo``: the whole line on drawn data, learning included, in minutes, without a network."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import Terminal, progress

if TYPE_CHECKING:
    from fssbench.engine.evaluate import Answer
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.results.evaluation import Evaluation

__all__ = ["demo"]

OWN = ("raw", "episodes", "results", "training", "leaderboard.json", "episodes.png")
"""All that the folder holds."""
FOLD = 0
EPISODES = 200
PICTURED = 6
LEARNER = "hsnet"
TRAINED, UNTRAINED = f"{LEARNER}, trained", f"{LEARNER}, untrained"
MODELS: dict[str, dict[str, Any]] = {
    "all-foreground": {},
    "copy-support": {},
    "prototype": {"backbone": "resnet18", "backbone_weights": "none", "size": 192},
    LEARNER: {"backbone": "resnet50", "backbone_weights": "none", "size": 96},
}


@dataclass(frozen=True, eq=False)
class Asked:
    """A model's result on the fold, and its answers to the episodes that are pictured."""

    evaluation: Evaluation
    pictured: list[Answer]


class Steps(Terminal):
    """Says the steps of the work below the heading they belong to; that drawn data are not official goes without."""

    def note(self, text: str) -> None:
        """Leave out remarks."""

    def say(self, text: str) -> None:
        """Print a step, indented."""
        print("\n".join(f"         {line}" for line in text.splitlines()), flush=True)


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for everything the demo makes.")] = Path(
        "fssbench-demo"
    ),
) -> None:
    """Draw toy data, build episode sets, train a model on base classes, and see what it does on novel ones."""
    from fssbench.base.files import write_atomic
    from fssbench.base.listing import require_own_folder
    from fssbench.leaderboard.build import build_leaderboard

    require_own_folder(output, OWN)
    start = time.perf_counter()
    _take_one_thread()
    episode_set = _prepare(output)
    with _step("verify every hash, count and key"):
        _verify(episode_set)
    asked: dict[str, Asked] = {}
    for name, options in MODELS.items():
        with _step(f"evaluate {name}{' (random weights, untrained)' if options else ''}"):
            told = f"{name}, untrained" if options else name
            asked[told] = _ask(name, options, "none", output)
    with _step(f"train {LEARNER} on base classes, and choose weights by others that it does not see"):
        weights = _train(output)
    with _step(f"evaluate {TRAINED}"):
        asked[TRAINED] = _ask(LEARNER, MODELS[LEARNER], str(weights), output)
    board = build_leaderboard(output / "results")
    write_atomic(output / "leaderboard.json", board.to_json())
    _draw(output, asked, episode_set)

    print()
    _print_scores(asked)
    print(f"\n{_gain(asked[TRAINED].evaluation, asked[UNTRAINED].evaluation)}")
    print(f"\nscores  {output / 'leaderboard.json'}\npicture {output / 'episodes.png'}")
    print(f"{time.perf_counter() - start:.0f} s. The data is drawn, so these scores say nothing about real images.")


def _take_one_thread() -> None:
    """Give torch one thread, unless ``OMP_NUM_THREADS`` names another number.

    Models this small gain nothing by more, and where other work has the cores, threads that wait for each other at
    every layer crawl.
    """
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)


@contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:5.1f} s  {what}", flush=True)


def _prepare(output: Path) -> EpisodeSet:
    """Draw the data, and build the sets to test and to train on, by the same reader and code as the real data."""
    from fssbench.api.prepare import prepare, prepare_training
    from fssbench.episodes.benchmarks import TOY_20I
    from fssbench.pipelines.sources.toy import IMAGES, draw_toy

    raw, sets = output / "raw" / "toy", output / "episodes"
    drawn = f"draw {2 * IMAGES:,} images of {TOY_20I.n_classes} classes in COCO's format, half of them to train on"
    with _step(drawn), progress("drawing", 2 * IMAGES) as advance:
        draw_toy(raw, advance=advance)
        draw_toy(raw, part="training", advance=advance)
    with _step(f"prepare {EPISODES} episodes of fold {FOLD}'s {len(TOY_20I.folds[FOLD])} novel classes"):
        (episode_set,) = prepare("toy", source=raw, output=sets, folds=[FOLD], episodes=EPISODES, report=Steps())
    with _step("prepare the images to train on"):
        prepare_training("toy", source=raw, output=sets, report=Steps())
    return episode_set


def _verify(episode_set: EpisodeSet) -> None:
    from fssbench.base.errors import EpisodeSetError
    from fssbench.pipelines.episode_sets.check_episode_set import verify_set

    if problems := verify_set(episode_set.path).problems:
        raise EpisodeSetError(f"{episode_set.path}: {problems[0]}", remedy="delete the demo's folder and run it again")


def _ask(name: str, options: dict[str, Any], weights: str, output: Path) -> Asked:
    """Evaluate a model on the fold."""
    from fssbench.api.evaluate import EvaluationRequest
    from fssbench.api.tracks import asked_tracks
    from fssbench.engine.inference import USUAL

    request = EvaluationRequest(
        model=name,
        tracks=asked_tracks("toy", data=output / "episodes", folds=(FOLD,)),
        options=options,
        weights=weights,
        device="cpu",
        inference=USUAL,
        output=output / "results",
        overwrite=True,
        asked=("fssbench", "demo"),
    )
    pictured: list[Answer] = []

    def look(answer: Answer) -> None:
        if answer.index < PICTURED:
            pictured.append(answer)

    (evaluation,) = request.run(report=Steps(), look=look)
    return Asked(evaluation, sorted(pictured, key=lambda answer: answer.index))


def _train(output: Path) -> Path:
    """Train by the toy's recipe, or go on where an earlier demo stopped; returns the weights that it chose."""
    from fssbench.api.train import train
    from fssbench.training.folder import RunFolder

    folder = output / "training"
    begun = RunFolder(folder).begun
    trained = train(
        LEARNER, "toy", fold=FOLD, data=output / "episodes", device="cpu", output=folder, resume=begun, report=Steps()
    )
    if trained.signal:
        raise KeyboardInterrupt
    return trained.weights


def _draw(output: Path, asked: dict[str, Asked], episode_set: EpisodeSet) -> None:
    """The picture: some episodes with every model's mask, and below them how the trained one learned."""
    from fssbench.pages.answers import draw_answers
    from fssbench.training.curve import add_below
    from fssbench.training.folder import RunFolder

    picture = output / "episodes.png"
    names = {pool.id: pool.name for pool in episode_set.manifest.classes}
    draw_answers(picture, {told: one.pictured for told, one in asked.items()}, class_names=names)
    add_below(picture, RunFolder(output / "training").lines(), title=f"{LEARNER} learns the base classes")


def _print_scores(asked: Mapping[str, Asked]) -> None:
    """The models, best first. One fold is not the benchmark, so they have no ranks."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fssbench.cli.console import percent

    results = {told: one.evaluation.record for told, one in asked.items()}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.title = f"Toy-20i, fold {FOLD} · {EPISODES} episodes of novel classes · mIoU in %"
    table.add_column("model")
    for name in ("mIoU", "with other episodes", "FB-IoU", "ep/s"):
        table.add_column(name, justify="right")
    for told, result in sorted(results.items(), key=lambda item: -(item[1].score.miou.value or 0)):
        miou, run = result.score.miou, result.execution
        between = miou.other_episodes
        interval = f"{100 * between.low:.1f} to {100 * between.high:.1f}" if between else "—"
        speed = f"{run.episodes_per_second:.1f}" if run else "—"
        table.add_row(told, percent(miou.value), interval, percent(result.score.fb_iou.value), speed)
    Console().print(table)


def _gain(trained: Evaluation, untrained: Evaluation) -> str:
    """What training changed, on the same episodes, with its intervals."""
    from fssbench.api.compare import compare

    found = compare(trained, untrained).miou
    if found is None:
        return "What training changed cannot be said: mIoU is undefined."
    intervals = {"images": found.between.images, "episodes": found.between.episodes}
    told = [f"{100 * i.low:+.2f} to {100 * i.high:+.2f} with other {what}" for what, i in intervals.items() if i]
    return f"Training changes mIoU on the novel classes by {100 * found.value:+.2f} points ({', '.join(told)})."
