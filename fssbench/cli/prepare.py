"""``fssbench prepare``: raw data → episode sets."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.benchmarks import BENCHMARKS, FSS_1000, TOY_20I, Benchmark
from fssbench.cli.console import JsonFlag, integers, megabytes, print_json, progress, warn
from fssbench.errors import PoolError

if TYPE_CHECKING:
    from fssbench.pipelines.prepare import Built
    from fssbench.pipelines.sources import Source

__all__ = ["app", "open_raw"]

app = typer.Typer(no_args_is_help=True, help="Build episode sets from raw data as it was published.")

Source_ = Annotated[Path | None, typer.Option("--source", "-s", help="Raw data. [default: raw/NAME in the home]")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where sets go. [default: episodes in the home]")]
Protocol = Annotated[str, typer.Option("--protocol", "-p", help="How episodes are drawn and scored.")]
Folds = Annotated[list[int] | None, typer.Option("--fold", "-f", help="A fold, repeatable. [default: all]")]
Splits = Annotated[
    Path | None,
    typer.Option("--splits", help="Folder of split lists, where test images follow from them: FSS-1000's classes."),
]
MinPixels = Annotated[
    int | None,
    typer.Option(
        "--min-pixels",
        min=1,
        help="Least mask pixels for an image to serve a class. [default: the protocol's]",
    ),
]
Missing = Annotated[
    bool,
    typer.Option("--allow-missing-classes", help="Leave out classes with too few images; makes the set unofficial."),
]


def _command(benchmark: Benchmark) -> Callable[..., None]:
    def run(
        source: Source_ = None,
        output: Output = None,
        protocol: Protocol = "strict",
        splits: Splits = None,
        fold: Folds = None,
        shots: Annotated[str, typer.Option("--shots", help="Numbers of supports, joined by commas.")] = "1",
        seeds: Annotated[str, typer.Option("--seeds", help="Seeds, joined by commas.")] = "0",
        episodes: Annotated[
            int | None,
            typer.Option("--episodes", "-n", min=1, help="Episodes a track. [default: the protocol's]"),
        ] = None,
        workers: Annotated[
            int | None,
            typer.Option("--workers", "-w", min=1, help="Shards written at a time. [default: the cores]"),
        ] = None,
        min_pixels: MinPixels = None,
        allow_missing_classes: Missing = False,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Build anew what is there.")] = False,
        as_json: JsonFlag = False,
    ) -> None:
        from fssbench.home import Home
        from fssbench.pipelines.plan import Request, plan_folds
        from fssbench.pipelines.prepare import build
        from fssbench.protocols import find_protocol

        request = Request(
            benchmark=benchmark,
            protocol=find_protocol(protocol),
            folds=tuple(dict.fromkeys(fold if fold is not None else range(len(benchmark.folds)))),
            shots=integers(shots, option="--shots", least=1),
            seeds=integers(seeds, option="--seeds", least=0),
            episodes=episodes,
            min_pixels=min_pixels,
            allow_missing_classes=allow_missing_classes,
        )
        target = output or Home.find().episodes
        raw = open_raw(benchmark, source, splits)
        with progress(f"reading {benchmark.title}", None, unit="masks") as advance:
            try:
                plans = plan_folds(raw, request, target, overwrite=overwrite, advance=advance)
            except PoolError:
                _say_notes(raw)  # what was left out is often why a class has too few images
                raise
        if any(plan.tracks for plan in plans):
            _say_notes(raw)
        built = []
        for plan in plans:
            with progress(f"fold {plan.header.fold}", len(plan.images), unit="images") as advance:
                built.append(build(plan, raw, workers=workers or min(8, os.cpu_count() or 1), advance=advance))
            if not as_json:
                _report(built[-1])
        if as_json:
            print_json([_summary(one) for one in built])
        _say_unofficial(built)

    return run


def open_raw(benchmark: Benchmark, source: Path | None, splits: Path | None) -> Source:
    """Open raw data in ``source`` or in the home; the toy is drawn if it is not there."""
    from fssbench.home import Home
    from fssbench.pipelines.sources import open_source

    folder = source or Home.find().raw(benchmark.raw)
    if benchmark is TOY_20I:
        from fssbench.pipelines.sources.toy import IMAGES, draw_toy

        with progress("drawing the toy data", IMAGES, unit="images") as advance:
            draw_toy(folder, advance=advance)
    if splits is not None and benchmark is not FSS_1000:
        warn(f"the strict protocol draws {benchmark.title} from images, so --splits means nothing to it")
    return open_source(benchmark, folder, splits=splits)


def _say_notes(raw: Source) -> None:
    for note in raw.notes():
        warn(note)


def _report(built: Built) -> None:
    manifest = built.manifest
    print(f"{built.outcome}: {built.path} ({manifest.n_images:,} images, {megabytes(manifest.n_bytes)})")
    for track in manifest.tracks:
        print(f"  {track.episodes:,} {track.shot}-shot episodes, seed {track.seed}, digest {track.digest}")


def _summary(built: Built) -> dict[str, object]:
    manifest = built.manifest
    return {
        "path": str(built.path),
        "outcome": built.outcome,
        "tracks": [track.model_dump(mode="json") for track in manifest.tracks],
        "unofficial": list(manifest.unofficial),
    }


def _say_unofficial(built: list[Built]) -> None:
    reasons = dict.fromkeys(reason for one in built for reason in one.manifest.reasons)
    if reasons:
        warn(f"results on this will not be official: {'; '.join(reasons)}")


for _benchmark in BENCHMARKS:
    _drawn = " (drawn on the spot if it is not there)" if _benchmark is TOY_20I else ""
    app.command(_benchmark.alias, help=f"Build {_benchmark.title}{_drawn}.")(_command(_benchmark))
