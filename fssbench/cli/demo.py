"""``fssbench demo``: the whole line on drawn data, learning included, in minutes, without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.cli.console import progress
from fssbench.cli.train import Told

if TYPE_CHECKING:
    from fssbench.engine.evaluate import Answer
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.pipelines.training_sets.training_set import TrainingSet

__all__ = ["demo"]

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
    """Where a model's result on the fold is, and its answers to the episodes that are pictured."""

    path: Path
    pictured: list[Answer]


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for everything it makes.")] = Path(
        "fssbench-demo"
    ),
) -> None:
    """Draw toy data, build episode sets, train a model on base classes, and see what it does on novel ones."""
    from fssbench.base.files import write_atomic
    from fssbench.leaderboard.build import build_leaderboard

    start = time.perf_counter()
    episode_set, training_set = _prepare(output)
    with _step("verify every hash, count and key"):
        _verify(episode_set)
    asked: dict[str, Asked] = {}
    for name, options in MODELS.items():
        with _step(f"evaluate {name}{' (random weights, untrained)' if options else ''}"):
            told = f"{name}, untrained" if options else name
            asked[told] = _ask(name, options, "none", episode_set, output)
    with _step(f"train {LEARNER} on base classes, and choose weights by others that it does not see"):
        weights = _train(output / "training", episode_set, training_set)
    with _step(f"evaluate {TRAINED}"):
        asked[TRAINED] = _ask(LEARNER, MODELS[LEARNER], str(weights), episode_set, output)
    board = build_leaderboard(output / "results")
    write_atomic(output / "leaderboard.json", board.to_json())
    _draw(output, asked, episode_set)

    print()
    _print_scores(asked)
    print(f"\n{_gain(asked[TRAINED].path, asked[UNTRAINED].path)}")
    print(f"\nscores  {output / 'leaderboard.json'}\npicture {output / 'episodes.png'}")
    print(f"{time.perf_counter() - start:.0f} s. The data is drawn, so these scores say nothing about real images.")


@contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:5.1f} s  {what}", flush=True)


def _prepare(output: Path) -> tuple[EpisodeSet, TrainingSet]:
    """Draw the data, and build the sets to test and to train on, by the same reader and code as the real data."""
    from fssbench.episodes.benchmarks import TOY_20I
    from fssbench.episodes.protocols import STRICT
    from fssbench.pipelines.episode_sets.build_episode_set import build
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.pipelines.episode_sets.plan import Request, plan_folds
    from fssbench.pipelines.sources import open_source
    from fssbench.pipelines.sources.toy import IMAGES, draw_toy
    from fssbench.pipelines.training_sets.build_training_set import build_training, plan_training
    from fssbench.pipelines.training_sets.training_set import TrainingSet

    folder, sets = output / "raw" / "toy", output / "episodes"
    with _step(f"draw {2 * IMAGES:,} images of {TOY_20I.n_classes} classes in COCO's format, half of them to train on"):
        with progress("drawing", 2 * IMAGES) as advance:
            draw_toy(folder, advance=advance)
            draw_toy(folder, part="training", advance=advance)
        source, training_source = open_source(TOY_20I, folder), open_source(TOY_20I, folder, part="training")
    with _step(f"prepare {EPISODES} episodes of fold {FOLD}'s {len(TOY_20I.folds[FOLD])} novel classes"):
        request = Request(benchmark=TOY_20I, protocol=STRICT, folds=(FOLD,), episodes=EPISODES)
        (plan,) = plan_folds(source, request, sets)
        episode_set = EpisodeSet.open(build(plan, source, workers=2).path)
    with _step("prepare the images to train on"):
        built = build_training(plan_training(training_source, sets), training_source, workers=2)
    return episode_set, TrainingSet.open(built.path)


def _verify(episode_set: EpisodeSet) -> None:
    from fssbench.base.errors import EpisodeSetError
    from fssbench.pipelines.episode_sets.check_episode_set import verify_set

    if problems := verify_set(episode_set.path).problems:
        raise EpisodeSetError(f"{episode_set.path}: {problems[0]}", remedy="delete the demo's folder and run it again")


def _ask(name: str, options: dict[str, Any], weights: str, episode_set: EpisodeSet, output: Path) -> Asked:
    """Evaluate a model on the fold."""
    from fssbench.base.home import Home
    from fssbench.engine.job import Job
    from fssbench.engine.model import load_model
    from fssbench.engine.run import run
    from fssbench.episodes.benchmarks import TOY_20I

    loaded = load_model(name, options, weights=weights, benchmark=TOY_20I, fold=FOLD, home=Home.find())
    job = Job(
        episode_set=episode_set,
        shot=1,
        seed=0,
        episodes=None,
        output=output / "results",
        overwrite=True,
        asked=("fssbench", "demo"),
        resolved={"model": name, "options": options, "weights": weights, "data": str(episode_set.path)},
    )
    pictured: list[Answer] = []
    with progress(name, job.n_episodes, unit="episodes") as advance:

        def look(answer: Answer) -> None:
            advance(1)
            if answer.index < PICTURED:
                pictured.append(answer)

        finished = run(loaded, job, look=look)
    return Asked(finished.path, sorted(pictured, key=lambda answer: answer.index))


def _train(folder: Path, episode_set: EpisodeSet, training_set: TrainingSet) -> Path:
    """Train by the toy's recipe, or go on where an earlier demo stopped; returns the weights that it chose."""
    from fssbench.engine.ranks import Ranks
    from fssbench.episodes.benchmarks import TOY_20I
    from fssbench.training.folder import RunFolder
    from fssbench.training.job import train_model
    from fssbench.training.log import Log
    from fssbench.training.recipe import find_recipe
    from fssbench.training.settings import TrainingJob

    recipe, run = find_recipe(LEARNER, TOY_20I), RunFolder(folder)
    job = TrainingJob(
        recipe=recipe,
        model=LEARNER,
        options=recipe.options,
        benchmark=TOY_20I,
        fold=FOLD,
        training_set=training_set,
        test_set=episode_set,
        folder=run,
        resume=run.begun,
    )
    lists = job.lists()
    leakage = job.audit(lists)
    leakage.require_none()
    steps = recipe.run.epochs * job.plan.n_batches(lists)
    with progress(f"training {LEARNER}", steps, unit="steps") as bar:
        told = Told(bar, job, Log(run), say=lambda line: print(f"         {line}", flush=True))
        trained = train_model(job, job.build(), lists, leakage, ranks=Ranks(), watch=told)
        told.close()
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
    from fssbench.schemas.result import read_result

    results = {told: read_result(one.path) for told, one in asked.items()}
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


def _gain(trained: Path, untrained: Path) -> str:
    """What training changed, on the same episodes, with its intervals."""
    from fssbench.results.load import load_run
    from fssbench.scoring.comparison import Pair, compare

    (after,), (before,) = (load_run(path).values() for path in (trained, untrained))
    pair = Pair(first=after.table, second=before.table, classes=after.classes)
    found = compare([pair], policy=after.result.headline).miou
    if found is None:
        return "What training changed cannot be said: mIoU is undefined."
    intervals = {"images": found.between.images, "episodes": found.between.episodes}
    told = [f"{100 * i.low:+.2f} to {100 * i.high:+.2f} with other {what}" for what, i in intervals.items() if i]
    return f"Training changes mIoU on the novel classes by {100 * found.value:+.2f} points ({', '.join(told)})."
