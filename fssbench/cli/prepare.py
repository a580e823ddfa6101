"""``fssbench prepare``: raw data → episode sets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete, training_sets
from fssbench.cli.build_plan import show_plan
from fssbench.cli.console import TERMINAL, JsonFlag, megabytes, print_json
from fssbench.cli.download import CatalogueFile, Download, DownloadRequest, DryRun, Training, fetch_missing
from fssbench.cli.many import FoldsOption, SeedsOption, ShotsOption, several
from fssbench.episodes.benchmarks import BENCHMARKS, FSS_1000, TOY_20I, Benchmark

if TYPE_CHECKING:
    from fssbench.pipelines.episode_sets.build_episode_set import Built

__all__ = ["app", "named_columns", "without_meaning"]

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
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where to put sets. [default: episodes in the home]")
]
Protocol = Annotated[
    str, typer.Option("--protocol", "-p", help="How episodes are drawn and scored.", autocompletion=complete.protocols)
]
Splits = Annotated[
    str | None,
    typer.Option(
        "--splits",
        help="Folder of split lists: HSNet's for the protocol hsnet, HDMNet's for hdmnet, FSS-1000's classes for any; "
        "or 'derive', to make the lists of a published protocol from the masks; or 'derive:DIR', in the order of "
        "DIR/coco/val.txt.",
    ),
]
MaskRule_ = Annotated[
    Literal["union", "label-map"] | None,
    typer.Option(
        "--mask-rule",
        help="COCO's masks of a class: the union of its instances; or what later annotations leave of it in one label "
        "map an image. [default: the protocol's; union to train on]",
    ),
]
LoaderWorkers = Annotated[
    int | None,
    typer.Option(
        "--loader-workers", min=1, max=1024, help="Data-loader workers that the protocol hdmnet emulates. [default: 8]"
    ),
]
Crowds_ = Annotated[
    Literal["exclude", "paint", "ignore"],
    typer.Option(
        "--crowds",
        help="COCO's crowd regions: leave them out of masks, paint them in, or do not score them. Only exclude is "
        "official.",
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
        help="Fewest mask pixels with which an image serves a class. [default: the protocol's]",
    ),
]
Missing = Annotated[
    bool,
    typer.Option(
        "--allow-missing-classes", help="Leave out classes with too few images, which makes the set unofficial."
    ),
]
Train = Annotated[bool, typer.Option("--train", help="Build the set of training images instead of episodes.")]


def _command(benchmark: Benchmark | None) -> Callable[..., None]:
    """The command of a benchmark, or of whatever the folder named as source describes."""

    def run(
        source: Source_ = None,
        output: Output = None,
        train: Train = False,
        protocol: Protocol = "strict",
        splits: Splits = None,
        mask_rule: MaskRule_ = None,
        crowds: Crowds_ = "exclude",
        masks: Masks = None,
        column: Columns = None,
        fold: FoldsOption = None,
        shots: ShotsOption = None,
        seeds: SeedsOption = None,
        episodes: Annotated[
            int | None,
            typer.Option("--episodes", "-n", min=1, help="Episodes per track. [default: the protocol's]"),
        ] = None,
        workers: Annotated[
            int | None,
            typer.Option("--workers", "-w", min=1, help="Shards to write at a time. [default: the number of cores]"),
        ] = None,
        min_pixels: MinPixels = None,
        loader_workers: LoaderWorkers = None,
        allow_missing_classes: Missing = False,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Rebuild sets that exist.")] = False,
        download: Download = False,
        dry_run: DryRun = False,
        training: Training = False,
        catalogue: CatalogueFile = None,
        as_json: JsonFlag = False,
    ) -> None:
        from fssbench.api import prepare as api
        from fssbench.api.sources import own_benchmark
        from fssbench.episodes.protocols import find_protocol

        found, rules = benchmark or own_benchmark(source), find_protocol(protocol)
        request = DownloadRequest(
            download=download, dry_run=dry_run, training=training or (train and download), catalogue=catalogue
        )
        raw: dict[str, Any] = {
            "source": source,
            "output": output,
            "splits": splits,
            "mask_rule": mask_rule,
            "crowds": crowds,
            "masks": masks,
            "columns": named_columns(column or []),
            "workers": workers,
            "overwrite": overwrite,
            "report": TERMINAL,
        }
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
            fetch_missing(found.training, rules, request, source=source, splits=splits, as_json=as_json)
            if dry_run:
                show_plan(api.plan_training_set(found, **raw), as_json=as_json)
                return
            api.prepare_training(found, after=partial(training_sets.report_built, as_json=as_json), **raw)
            return
        folds = several(fold)
        for one in folds or ():
            found.novel_classes(one)  # refused before anything is fetched, not after
        fetch_missing(found, rules, request, source=source, splits=splits, as_json=as_json)
        asked = raw | {
            "folds": folds,
            "shots": several(shots) or (1,),
            "seeds": several(seeds),
            "episodes": episodes,
            "protocol": protocol,
            "min_pixels": min_pixels,
            "loader_workers": loader_workers,
            "allow_missing_classes": allow_missing_classes,
        }
        if dry_run:
            show_plan(api.plan(found, **asked), as_json=as_json)
            return
        built: list[Built] = []

        def after(one: Built) -> None:
            built.append(one)
            if not as_json:
                _report(one)

        api.prepare(found, after=after, **asked)
        if as_json:
            print_json([_summary(one) for one in built])

    return run


DRAWN_BY_HDMNET = ("pascal", "coco", "coco-panet", "toy")
"""Benchmarks that the protocol hdmnet knows, whose own module imports too much for a help text."""


def without_meaning(benchmark: Benchmark | None) -> set[str]:
    """Options of `prepare` and `episodes` that mean nothing to a benchmark; given all the same, they are refused."""
    name, raw = ("folder", "folder") if benchmark is None else (benchmark.alias, benchmark.raw)
    return {
        *(() if raw in ("coco", "toy") else ("--mask-rule", "--crowds", "--masks")),
        *(() if name in DRAWN_BY_HDMNET else ("--loader-workers",)),
        *(() if name in (*DRAWN_BY_HDMNET, "coco-to-pascal", "fss") else ("--splits",)),
        *(("--column",) if raw == "folder" else ()),
        *(("--download", "--training", "--catalogue") if raw in ("folder", "toy") else ()),
    }


def named_columns(pairs: Sequence[str]) -> dict[str, str]:
    """``mask=label`` and the like as a mapping."""
    if bad := [pair for pair in pairs if not all(pair.partition("="))]:
        raise UsageError(f"--column must be role=name, got '{bad[0]}'", remedy="as in --column mask=label")
    return dict(pair.split("=", 1) for pair in pairs)


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


for _benchmark in BENCHMARKS:
    _drawn = " (drawn on the spot if it is not there)" if _benchmark is TOY_20I else ""
    app.command(_benchmark.alias, help=f"Build {_benchmark.title}{_drawn}.")(_command(_benchmark))
app.command("folder", help="Build a benchmark of your own from images/, masks/ and benchmark.toml.")(_command(None))
