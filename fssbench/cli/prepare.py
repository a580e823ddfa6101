"""``fssbench prepare``: raw data → episode sets."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fssbench.base.errors import PoolError, UsageError
from fssbench.cli import training_sets
from fssbench.cli.console import JsonFlag, integers, megabytes, print_json, progress, warn
from fssbench.cli.download import CatalogueFile, Download, DownloadRequest, DryRun, Training, fetch_missing
from fssbench.episodes.benchmarks import BENCHMARKS, FSS_1000, TOY_20I, Benchmark

if TYPE_CHECKING:
    from fssbench.episodes.protocols import EvaluationProtocol
    from fssbench.pipelines.episode_sets.build_episode_set import Built
    from fssbench.pipelines.sources import Source
    from fssbench.pipelines.sources.base import Part
    from fssbench.pipelines.sources.coco_masks import Crowds
    from fssbench.pipelines.sources.splits import HsnetSplits

__all__ = ["app", "class_list", "named_columns", "open_raw", "own_benchmark", "resolve_protocol", "split_files"]

DERIVE = "derive"
"""What --splits is given in place of a folder, to make the lists from the masks."""

app = typer.Typer(no_args_is_help=True, help="Build episode sets from raw data as it was published.")

Source_ = Annotated[
    str | None,
    typer.Option(
        "--source",
        "-s",
        help="Folder of raw data, or hf:NAME, a Hugging Face dataset. [default: raw/NAME in the home]",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="A Hugging Face dataset's image, mask or id column, as mask=label; repeatable."),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where sets go. [default: episodes in the home]")]
Protocol = Annotated[str, typer.Option("--protocol", "-p", help="How episodes are drawn and scored.")]
Folds = Annotated[list[int] | None, typer.Option("--fold", "-f", help="A fold, repeatable. [default: all]")]
Splits = Annotated[
    str | None,
    typer.Option(
        "--splits",
        help="Folder of split lists: HSNet's for the protocol hsnet, FSS-1000's classes for any; or 'derive', to "
        "make the lists of a published protocol from the masks.",
    ),
]
LoaderWorkers = Annotated[
    int | None,
    typer.Option(
        "--loader-workers", min=1, max=1024, help="Data-loader workers that hdmnet's draws emulate. [default: 8]"
    ),
]
Crowds_ = Annotated[
    Literal["exclude", "paint", "ignore"],
    typer.Option(
        "--crowds",
        help="COCO's crowd regions: left out of masks, part of them, or not scored. Not exclude is not official.",
    ),
]
Masks = Annotated[
    Path | None,
    typer.Option("--masks", help="Folder of ready-made class-index PNGs to use as COCO's masks; not official."),
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
Train = Annotated[bool, typer.Option("--train", help="Build the set of images to train on, in place of episodes.")]


def _command(benchmark: Benchmark | None) -> Callable[..., None]:
    """The command of a benchmark, or of whatever the folder named as source describes."""

    def run(
        source: Source_ = None,
        output: Output = None,
        train: Train = False,
        protocol: Protocol = "strict",
        splits: Splits = None,
        crowds: Crowds_ = "exclude",
        masks: Masks = None,
        column: Columns = None,
        fold: Folds = None,
        shots: Annotated[
            str | None, typer.Option("--shots", help="Numbers of supports, joined by commas. [default: 1]")
        ] = None,
        seeds: Annotated[
            str | None, typer.Option("--seeds", help="Seeds, joined by commas. [default: the protocol's]")
        ] = None,
        episodes: Annotated[
            int | None,
            typer.Option("--episodes", "-n", min=1, help="Episodes a track. [default: the protocol's]"),
        ] = None,
        workers: Annotated[
            int | None,
            typer.Option("--workers", "-w", min=1, help="Shards written at a time. [default: the cores]"),
        ] = None,
        min_pixels: MinPixels = None,
        loader_workers: LoaderWorkers = None,
        allow_missing_classes: Missing = False,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Build anew what is there.")] = False,
        download: Download = False,
        dry_run: DryRun = False,
        training: Training = False,
        catalogue: CatalogueFile = None,
        as_json: JsonFlag = False,
    ) -> None:
        from fssbench.base.home import Home
        from fssbench.pipelines.episode_sets.build_episode_set import build
        from fssbench.pipelines.episode_sets.plan import Request, plan_folds

        found, rules = benchmark or own_benchmark(source), resolve_protocol(protocol, loader_workers)
        download_request = DownloadRequest(
            download=download, dry_run=dry_run, training=training or (train and download), catalogue=catalogue
        )
        if train:
            training_sets.require_no_episodes(
                fold=fold,
                shots=shots,
                seeds=seeds,
                episodes=episodes,
                min_pixels=min_pixels,
                loader_workers=loader_workers,
                allow_missing_classes=allow_missing_classes,
                protocol=None if protocol == "strict" else protocol,
                splits=None if found is FSS_1000 else splits,
            )
            fetch_missing(found.training, rules, download_request, source=source, splits=splits, as_json=as_json)
            lists = training_sets.class_lists(found.training, splits)
            raw = open_raw(found.training, source, lists, crowds=crowds, masks=masks, columns=column, part="training")
            place = output or Home.find().episodes
            training_sets.build(raw, place, workers=workers, overwrite=overwrite, as_json=as_json)
            return
        folds = tuple(dict.fromkeys(fold if fold is not None else range(len(found.folds))))
        n_shots = integers(shots or "1", option="--shots", least=1)
        chosen = None if seeds is None else integers(seeds, option="--seeds", least=0)
        for one in folds:
            found.novel_classes(one)  # refused before anything is fetched, not after
        fetch_missing(found, rules, download_request, source=source, splits=splits, as_json=as_json)
        request = Request(
            benchmark=found,
            protocol=rules,
            splits=split_files(rules, found, splits),
            folds=folds,
            shots=n_shots,
            seeds=chosen,
            episodes=episodes,
            min_pixels=min_pixels,
            allow_missing_classes=allow_missing_classes,
        )
        target = output or Home.find().episodes
        lists = class_list(found, splits, request.splits)
        raw = open_raw(found, source, lists, crowds=crowds, masks=masks, columns=column)
        with progress(f"reading {found.title}", None, unit="masks") as advance:
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
            for note in built[-1].notes:
                warn(note)
            if not as_json:
                _report(built[-1])
        if as_json:
            print_json([_summary(one) for one in built])
        _say_unofficial(built)

    return run


def own_benchmark(source: str | None) -> Benchmark:
    """The benchmark that a folder's description makes of it."""
    from fssbench.pipelines.sources.description import read_description

    if source is None:
        raise UsageError("a benchmark of your own needs --source", remedy="name the folder with its benchmark.toml")
    return read_description(Path(source)).benchmark


def open_raw(
    benchmark: Benchmark,
    source: str | None,
    splits: Path | None,
    *,
    crowds: Crowds = "exclude",
    masks: Path | None = None,
    columns: Sequence[str] | None = None,
    part: Part = "test",
) -> Source:
    """Open a part of raw data in ``source`` or in the home; the toy is drawn if it is not there."""
    from fssbench.base.home import Home
    from fssbench.pipelines.sources import open_source

    place = source or str(Home.find().raw(benchmark.raw))
    if benchmark is TOY_20I and not place.startswith("hf:"):
        from fssbench.pipelines.sources.toy import IMAGES, draw_toy

        with progress("drawing the toy data", IMAGES, unit="images") as advance:
            draw_toy(Path(place), part=part, advance=advance)
    return open_source(
        benchmark, place, splits=splits, crowds=crowds, masks=masks, columns=named_columns(columns or []), part=part
    )


def named_columns(pairs: Sequence[str]) -> dict[str, str]:
    """``mask=label`` and the like as a mapping."""
    if bad := [pair for pair in pairs if not all(pair.partition("="))]:
        raise UsageError(f"--column must be role=name, got '{bad[0]}'", remedy="as in --column mask=label")
    return dict(pair.split("=", 1) for pair in pairs)


def resolve_protocol(name: str, loader_workers: int | None) -> EvaluationProtocol:
    """The protocol called ``name``, with another number of loader workers if it knows any."""
    from fssbench.episodes.protocols import find_protocol

    protocol = find_protocol(name)
    if loader_workers is not None and protocol.loader_workers is None:
        warn(f"the protocol {name} draws without a data loader, so --loader-workers means nothing to it")
        return protocol
    return replace(protocol, loader_workers=loader_workers or protocol.loader_workers)


def split_files(protocol: EvaluationProtocol, benchmark: Benchmark, splits: str | None) -> HsnetSplits | None:
    """The split files to draw from: in the folder named, or else in the home; ``None`` to draw from masks.

    Raises `UsageError` if the protocol has split files and neither is there.
    """
    from fssbench.base.home import Home
    from fssbench.pipelines.sources.splits import has_splits, open_splits

    protocol.require(benchmark)
    if splits == DERIVE or (splits is None and not has_splits(protocol, benchmark)):
        return None
    if not protocol.listed:
        if benchmark is not FSS_1000:
            warn(f"the strict protocol draws {benchmark.title} from images, so --splits means nothing to it")
        return None
    if splits is not None:
        return open_splits(protocol, benchmark, Path(splits))
    if (folder := Home.find().splits(protocol.name)).is_dir():
        return open_splits(protocol, benchmark, folder)
    raise UsageError(
        f"the protocol {protocol.name} draws {benchmark.title} from split files, and there are none in {folder}",
        remedy="put them there, have prepare --download fetch them, or name their folder with --splits DIR; "
        "--splits derive makes unofficial lists from the masks",
    )


def class_list(benchmark: Benchmark, splits: str | None, drawn_from: HsnetSplits | None) -> Path | None:
    """Where FSS-1000's test classes are listed, if that is known; a protocol's split file is such a list."""
    if benchmark is not FSS_1000 or splits == DERIVE:
        return None
    if drawn_from is not None:
        return drawn_from.path(0)
    return None if splits is None else Path(splits)


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
app.command("folder", help="Build a benchmark of your own from images/, masks/ and benchmark.toml.")(_command(None))
