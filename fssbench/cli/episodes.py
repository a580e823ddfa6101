"""``fssbench episodes``: draw a track without building a set."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.cli import complete
from fssbench.cli.console import TERMINAL, print_json, warn
from fssbench.cli.prepare import (
    Columns,
    Crowds_,
    LoaderWorkers,
    MaskRule_,
    Masks,
    MinPixels,
    Missing,
    Protocol,
    Source_,
    Splits,
    named_columns,
)
from fssbench.episodes.benchmarks import BENCHMARKS, Benchmark

if TYPE_CHECKING:
    from fssbench.episodes.episodes import Track

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
        mask_rule: MaskRule_ = None,
        crowds: Crowds_ = "exclude",
        masks: Masks = None,
        column: Columns = None,
        fold: Annotated[int, typer.Option("--fold", "-f", help="The fold.", autocompletion=complete.folds)] = 0,
        shot: Annotated[int, typer.Option("--shot", "-k", min=1, help="Number of supports.")] = 1,
        seed: Annotated[
            int | None, typer.Option("--seed", min=0, help="The seed. [default: the protocol's first]")
        ] = None,
        episodes: Annotated[
            int | None, typer.Option("--episodes", "-n", min=1, help="Number of episodes. [default: the protocol's]")
        ] = None,
        min_pixels: MinPixels = None,
        loader_workers: LoaderWorkers = None,
        allow_missing_classes: Missing = False,
        output: Annotated[
            Path | None,
            typer.Option("--output", "-o", help="The lock file to write: Parquet, or text if it ends in .tsv."),
        ] = None,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a lock file with other content.")] = False,
        digest: Annotated[bool, typer.Option("--digest", help="Print only the SHA-256.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print the track and its digest as JSON.")] = False,
    ) -> None:
        from fssbench.api.draw import draw
        from fssbench.api.sources import own_benchmark

        drawn = draw(
            benchmark or own_benchmark(source),
            source=source,
            protocol=protocol,
            splits=splits,
            mask_rule=mask_rule,
            crowds=crowds,
            masks=masks,
            columns=named_columns(column or []),
            fold=fold,
            shot=shot,
            seed=seed,
            episodes=episodes,
            min_pixels=min_pixels,
            loader_workers=loader_workers,
            allow_missing_classes=allow_missing_classes,
            report=TERMINAL,
        )
        track, record = drawn.track, drawn.record
        if output is not None:
            _write(output, track, overwrite=overwrite)
        if digest:
            print(track.digest)
        elif as_json:
            print_json(record.model_dump(mode="json") | {"lines": track.text.splitlines()})
        elif output is None:
            sys.stdout.write(track.text)
        else:
            print(f"{record.episodes:,} {shot}-shot episodes of fold {fold}, digest {track.digest} → {output}")
        if drawn.unofficial:
            warn(f"results on this would not be official: {'; '.join(drawn.unofficial)}")

    return run


def _write(path: Path, track: Track, *, overwrite: bool) -> None:
    from fssbench.base.errors import UsageError
    from fssbench.base.files import write_atomic
    from fssbench.pipelines.formats import locks

    data = track.text.encode() if path.suffix == ".tsv" else locks.to_bytes([track])
    if path.exists() and not overwrite and not (path.is_file() and path.read_bytes() == data):
        raise UsageError(
            f"{path} is there already, and says something else", remedy="pass --overwrite, or choose another --output"
        )
    write_atomic(path, data)


for _benchmark in BENCHMARKS:
    app.command(_benchmark.alias, help=f"Draw episodes of {_benchmark.title}.")(_command(_benchmark))
app.command("folder", help="Draw episodes of a benchmark of your own.")(_command(None))
