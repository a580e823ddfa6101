"""``fssbench demo``: the whole line on drawn data, in a minute, without a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli.console import progress

if TYPE_CHECKING:
    from fssbench.engine.evaluate import Answer
    from fssbench.pipelines.episode_set import EpisodeSet

__all__ = ["demo"]

EPISODES = 60
PICTURED = 6
MODELS: dict[str, dict[str, object]] = {
    "all-foreground": {},
    "copy-support": {},
    "prototype": {"backbone": "resnet18", "backbone_weights": "none", "size": 192},
    "hsnet": {"backbone": "resnet50", "backbone_weights": "none", "size": 128},
}


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="A folder for everything it makes.")] = Path(
        "fssbench-demo"
    ),
) -> None:
    """Draw toy data, build and verify episode sets, evaluate models on them, and rank those."""
    from fssbench.engine.pictures import draw_answers
    from fssbench.files import write_atomic
    from fssbench.leaderboard.build import build_leaderboard

    start = time.perf_counter()
    sets = _prepare(output)
    with _step("verify every hash, count and key"):
        _verify(sets)
    pictured: dict[str, list[Answer]] = {}
    for name, options in MODELS.items():
        with _step(f"evaluate {name}{' (random weights, untrained)' if options else ''}"):
            pictured[name] = _evaluate(name, options, sets, output / "results")
    board = build_leaderboard(output / "results")
    write_atomic(output / "leaderboard.json", board.to_json())
    picture = output / "episodes.png"
    draw_answers(picture, pictured, class_names={pool.id: pool.name for pool in sets[0].manifest.classes})

    from fssbench.cli.leaderboard import print_leaderboard

    print()
    print_leaderboard(board)
    print(f"\nscores  {output / 'leaderboard.json'}\npicture {picture}")
    print(f"{time.perf_counter() - start:.0f} s. The data is drawn, so these scores say nothing about real images.")


@contextmanager
def _step(what: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    print(f"{time.perf_counter() - start:5.1f} s  {what}")


def _prepare(output: Path) -> list[EpisodeSet]:
    """Draw the data, and build one set a fold, by the same reader and code as the real data."""
    from fssbench.benchmarks import TOY_20I
    from fssbench.pipelines.episode_set import EpisodeSet
    from fssbench.pipelines.plan import Request, plan_folds
    from fssbench.pipelines.prepare import build
    from fssbench.pipelines.sources import open_source
    from fssbench.pipelines.sources.toy import IMAGES, draw_toy
    from fssbench.protocols import STRICT

    folder = output / "raw" / "toy"
    with _step(f"draw {IMAGES} images of {TOY_20I.n_classes} classes in COCO's format"):
        with progress("drawing", IMAGES) as advance:
            draw_toy(folder, advance=advance)
        source = open_source(TOY_20I, folder)
    folds = tuple(range(len(TOY_20I.folds)))
    with _step(f"prepare {len(folds)} folds of {EPISODES} episodes"):
        request = Request(benchmark=TOY_20I, protocol=STRICT, folds=folds, episodes=EPISODES)
        plans = plan_folds(source, request, output / "episodes")
        return [EpisodeSet.open(build(plan, source, workers=2).path) for plan in plans]


def _verify(sets: list[EpisodeSet]) -> None:
    from fssbench.errors import EpisodeSetError
    from fssbench.pipelines.verify import verify_set

    for one in sets:
        if problems := verify_set(one.path).problems:
            raise EpisodeSetError(f"{one.path}: {problems[0]}", remedy="delete the demo's folder and run it again")


def _evaluate(name: str, options: dict[str, object], sets: list[EpisodeSet], results: Path) -> list[Answer]:
    """Evaluate a model on all folds; returns its answers to the episodes that are pictured."""
    from fssbench.benchmarks import TOY_20I
    from fssbench.engine.model import load_model
    from fssbench.engine.run import Job, run
    from fssbench.home import Home

    answers: list[Answer] = []
    loaded = load_model(name, options, weights="none", benchmark=TOY_20I, fold=0, home=Home.find())
    for fold, one in enumerate(sets):
        job = Job(
            episode_set=one,
            shot=1,
            seed=0,
            episodes=None,
            output=results,
            overwrite=True,
            asked=("fssbench", "demo"),
            resolved={"model": name, "options": options, "data": str(one.path)},
        )
        with progress(f"{name} fold {fold}", job.n_episodes, unit="episodes") as advance:

            def look(answer: Answer, fold: int = fold) -> None:
                advance(1)
                if fold == 0 and answer.index < PICTURED:
                    answers.append(answer)

            run(loaded, job, look=look)
    return sorted(answers, key=lambda answer: answer.index)
