"""``--download``: what ``fssbench prepare`` fetches before it reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fssbench.base.errors import UsageError
from fssbench.base.progress import Bar
from fssbench.cli.console import megabytes, print_json, progress
from fssbench.episodes.benchmarks import Benchmark

if TYPE_CHECKING:
    from fssbench.episodes.protocols import EvaluationProtocol
    from fssbench.pipelines.transport.download import Catalogue, Holding

__all__ = ["CatalogueFile", "Download", "DownloadRequest", "DryRun", "Training", "fetch_missing"]

Download = Annotated[bool, typer.Option("--download", help="First download what is missing from its publisher.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be built (with --download: fetched), and do nothing.")
]
Training = Annotated[bool, typer.Option("--training", help="With --download: also fetch what only training needs.")]
CatalogueFile = Annotated[
    Path | None, typer.Option("--catalogue", help="With --download: a TOML file of other addresses.")
]

MEGA = 1_000_000


@dataclass(frozen=True, kw_only=True)
class DownloadRequest:
    """What was said about downloads."""

    download: bool
    dry_run: bool
    training: bool
    catalogue: Path | None

    def __post_init__(self) -> None:
        given = {"--training": self.training, "--catalogue": self.catalogue is not None}
        if not self.download and any(given.values()):
            names = " and ".join(name for name, there in given.items() if there)
            mean = "mean" if all(given.values()) else "means"
            raise UsageError(f"{names} {mean} nothing without --download", remedy="add --download")


def fetch_missing(
    benchmark: Benchmark,
    protocol: EvaluationProtocol,
    request: DownloadRequest,
    *,
    source: str | None,
    splits: str | None,
    as_json: bool,
) -> None:
    """Fetch raw data, and the protocol's split files unless they were named, as far as they are not there.

    Args:
        source: folder for the raw data; ``None`` for that in the home.
        splits: what was given as --splits; ``None`` for the split files in the home.
    """
    from fssbench.pipelines.transport.download import obtain, read_catalogue, require_by_hand, require_space

    if not request.download:
        return
    protocol.require(benchmark)
    wanted = _wanted(read_catalogue(request.catalogue), benchmark, protocol, request, source=source, splits=splits)
    if request.dry_run or not as_json:
        _show(wanted, as_json=as_json)
    if request.dry_run:
        raise typer.Exit
    require_by_hand(wanted)
    require_space(wanted)
    for one in wanted:
        if not one.is_there:
            total = None if one.file.bytes is None else one.file.bytes // MEGA
            with progress(one.file.name, total, unit="MB") as bar:
                obtain(one, advance=_Megabytes(bar), say=bar.say)
            if not as_json:
                print(f"fetched {one.file.name}")


def _wanted(
    catalogue: Catalogue,
    benchmark: Benchmark,
    protocol: EvaluationProtocol,
    request: DownloadRequest,
    *,
    source: str | None,
    splits: str | None,
) -> list[Holding]:
    from fssbench.base.home import Home
    from fssbench.pipelines.transport.download import Holding

    home = Home.find()
    if source is not None and source.startswith("hf:"):
        raise UsageError("--download fetches into a folder, and --source names none", remedy="leave one of them out")
    if benchmark.raw not in catalogue.raw:
        by_hand = f"; {benchmark.rules.obtain}" if benchmark.rules else ""
        raise UsageError(
            f"there is no download of the raw data of {benchmark.title}",
            remedy=f"leave out --download; it knows {', '.join(sorted(catalogue.raw))}{by_hand}",
        )
    folder = home.raw(benchmark.raw) if source is None else Path(source)
    files = [file for file in catalogue.raw[benchmark.raw] if request.training or not file.training]
    lists = catalogue.splits.get(protocol.name, {}).get(benchmark.alias, ()) if splits is None else ()
    return [
        *(Holding(file=file, folder=home.splits(protocol.name)) for file in lists),
        *(Holding(file=file, folder=folder) for file in files),
    ]


def _show(wanted: list[Holding], *, as_json: bool) -> None:
    """Every file: its name, its size, what is to be done about it, its address and its place."""
    if as_json:
        print_json([one.file.model_dump(mode="json") | {"to": str(one.target), "state": _state(one)} for one in wanted])
        return
    for one in wanted:
        size = "size from the server" if one.file.bytes is None else _size(one.file.bytes)
        print(f"{one.file.name} ({size}) {_state(one)}")
        print(f"  from {one.file.url or one.file.by_hand}")
        print(f"  to   {one.target}")


def _state(one: Holding) -> str:
    if one.is_there:
        return "is there"
    if one.file.by_hand is not None:
        return "to be fetched by hand"
    if one.own_archive is not None:
        return f"to be unpacked from {one.own_archive}"
    return f"to be fetched, {_size(one.received)} of it are there" if one.received else "to be fetched"


def _size(n_bytes: int) -> str:
    return megabytes(n_bytes) if n_bytes >= MEGA else f"{n_bytes:,} bytes"


class _Megabytes:
    """Tells a bar of megabytes, when it is told of bytes."""

    def __init__(self, bar: Bar) -> None:
        self.bar = bar
        self.bytes = 0

    def __call__(self, n: int) -> None:
        before, self.bytes = self.bytes // MEGA, self.bytes + n
        self.bar(self.bytes // MEGA - before)
