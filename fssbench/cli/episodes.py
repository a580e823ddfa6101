"""``fssbench episodes``: draw a track without building a set."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from fssbench.benchmarks import BENCHMARKS, Benchmark
from fssbench.cli.console import print_json, progress, warn
from fssbench.cli.prepare import (
    LoaderWorkers,
    MinPixels,
    Missing,
    Protocol,
    Source_,
    Splits,
    class_list,
    open_raw,
    resolve_protocol,
    split_files,
)

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Print or write the episodes of a track, without touching images. The lines printed are those the "
    "digest is taken of: `fssbench episodes coco | sha256sum` gives it too.",
)


def _command(benchmark: Benchmark) -> Callable[..., None]:
    def run(
        source: Source_ = None,
        protocol: Protocol = "strict",
        splits: Splits = None,
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
        from fssbench.pipelines.plan import Request, draw_one

        found = resolve_protocol(protocol, loader_workers)
        request = Request(
            benchmark=benchmark,
            protocol=found,
            splits=split_files(found, benchmark, splits),
            folds=(fold,),
            shots=(shot,),
            seeds=(found.seeds[0] if seed is None else seed,),
            episodes=episodes,
            min_pixels=min_pixels,
            allow_missing_classes=allow_missing_classes,
        )
        raw = None
        if request.splits is None:
            raw = open_raw(benchmark, source, class_list(benchmark, splits, request.splits))
        elif source is not None:
            warn("split files alone determine the episodes, so --source means nothing here")
        with progress(f"drawing {benchmark.title}", None, unit="masks") as advance:
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


def _write(path: Path, track: object) -> None:
    from fssbench.episodes import Track
    from fssbench.files import write_atomic
    from fssbench.pipelines import locks

    assert isinstance(track, Track)
    write_atomic(path, track.text if path.suffix == ".tsv" else locks.to_bytes([track]))


for _benchmark in BENCHMARKS:
    app.command(_benchmark.alias, help=f"Draw episodes of {_benchmark.title}.")(_command(_benchmark))
