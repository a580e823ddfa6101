"""``fssbench episodes``: draw a track without building a set."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from fssbench.cli.console import print_json, progress, warn
from fssbench.cli.prepare import (
    Columns,
    Crowds_,
    LoaderWorkers,
    Masks,
    MinPixels,
    Missing,
    Protocol,
    Source_,
    Splits,
    class_list,
    open_raw,
    own_benchmark,
    resolve_protocol,
    split_files,
)
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Print or write the episodes of a track, without touching images. The lines printed are those the "
    "digest is taken of: `fssbench episodes coco | sha256sum` gives it too.",
)


def _command(benchmark: Benchmark | None) -> Callable[..., None]:
    def run(
        source: Source_ = None,
        protocol: Protocol = "strict",
        splits: Splits = None,
        crowds: Crowds_ = "exclude",
        masks: Masks = None,
        column: Columns = None,
        fold: Annotated[int, typer.Option("--fold", "-f", help="The fold.")] = 0,
        shot: Annotated[int, typer.Option("--shot", "-k", min=1, help="Number of supports.")] = 1,
        seed: Annotated[
            int | None, typer.Option("--seed", min=0, help="The seed. [default: the protocol's first]")
        ] = None,
        episodes: Annotated[
            int | None, typer.Option("--episodes", "-n", min=1, help="How many. [default: the protocol's]")
        ] = None,
        min_pixels: MinPixels = None,
        loader_workers: LoaderWorkers = None,
        allow_missing_classes: Missing = False,
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", help="Write the lock there: Parquet, or text if it ends in .tsv."),
        ] = None,
        digest: Annotated[bool, typer.Option("--digest", help="Print the SHA-256 alone.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the track and its digest as JSON.")] = False,
    ) -> None:
        from fssbench.pipelines.episode_sets.plan import Request, draw_one

        found, rules = benchmark or own_benchmark(source), resolve_protocol(protocol, loader_workers)
        request = Request(
            benchmark=found,
            protocol=rules,
            splits=split_files(rules, found, splits),
            folds=(fold,),
            shots=(shot,),
            seeds=(rules.seeds[0] if seed is None else seed,),
            episodes=episodes,
            min_pixels=min_pixels,
            allow_missing_classes=allow_missing_classes,
        )
        raw = None
        if request.splits is None:
            lists = class_list(found, splits, request.splits)
            raw = open_raw(found, source, lists, crowds=crowds, masks=masks, columns=column)
        else:
            _say_idle({"--source": source, "--crowds": crowds != "exclude", "--masks": masks, "--column": column})
        with progress(f"drawing {found.title}", None, unit="masks") as advance:
            track, record = draw_one(raw, request, advance=advance)
        if output is not None:
            _write(output, track)
        if digest:
            print(track.digest)
        elif as_json:
            print_json(record.model_dump(mode="json") | {"lines": track.text.splitlines()})
        elif output is None:
            sys.stdout.write(track.text)
        else:
            print(f"{record.episodes:,} {shot}-shot episodes of fold {fold}, digest {track.digest} → {output}")
        data = () if raw is None else raw.unofficial()
        if reasons := (*data, *request.unofficial(fold), *record.unofficial):
            warn(f"results on this would not be official: {'; '.join(reasons)}")

    return run


def _say_idle(options: Mapping[str, object]) -> None:
    """Name the options given that change nothing."""
    if given := [name for name, value in options.items() if value]:
        means = "means" if len(given) == 1 else "mean"
        warn(f"split files alone determine the episodes, so {' and '.join(given)} {means} nothing here")


def _write(path: Path, track: object) -> None:
    from fssbench.base.files import write_atomic
    from fssbench.episodes.episodes import Track
    from fssbench.pipelines.formats import locks

    assert isinstance(track, Track)
    write_atomic(path, track.text if path.suffix == ".tsv" else locks.to_bytes([track]))


for _benchmark in BENCHMARKS:
    app.command(_benchmark.alias, help=f"Draw episodes of {_benchmark.title}.")(_command(_benchmark))
app.command("folder", help="Draw episodes of a benchmark of your own.")(_command(None))
