"""Raw data, protocols and split lists: what users name → what is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fssbench.base.errors import UsageError
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.episodes.benchmarks import FSS_1000, TOY_20I, Benchmark
from fssbench.episodes.protocols import EvaluationProtocol, MaskRule, find_protocol
from fssbench.pipelines.sources import Source, open_source
from fssbench.pipelines.sources.base import Part
from fssbench.pipelines.sources.coco_masks import Crowds
from fssbench.pipelines.sources.description import read_description
from fssbench.pipelines.sources.image_order import ImageOrder, find_order, has_lists, open_order
from fssbench.pipelines.sources.splits import SplitFiles, has_splits, open_splits
from fssbench.pipelines.sources.toy import IMAGES, draw_toy

__all__ = ["DERIVE", "class_list", "list_files", "named_protocol", "open_raw", "own_benchmark"]

DERIVE = "derive"
"""What stands in place of a folder of split lists, to make the lists from the masks; with ``:DIR`` in an order."""


def own_benchmark(source: str | None) -> Benchmark:
    """The benchmark that a folder's description makes of it; `UsageError` if no folder is named."""
    if source is None:
        raise UsageError("a benchmark of your own needs --source", remedy="name the folder with its benchmark.toml")
    return read_description(Path(source)).benchmark


def open_raw(
    benchmark: Benchmark,
    source: str | None,
    splits: Path | None,
    *,
    protocol: EvaluationProtocol | None = None,
    mask_rule: MaskRule | None = None,
    crowds: Crowds = "exclude",
    masks: Path | None = None,
    columns: Mapping[str, str] | None = None,
    part: Part = "test",
    report: Report = SILENT,
) -> Source:
    """Open a part of the raw data in ``source``, or in the home; the toy is drawn if it is not there.

    Without a ``mask_rule`` it is the protocol's, where masks are made of annotations.
    """
    place = source or str(Home.find().raw(benchmark.raw))
    if mask_rule is None and protocol is not None and masks is None and not place.startswith("hf:"):
        mask_rule = protocol.masks_of(benchmark)
    if benchmark is TOY_20I and not place.startswith("hf:"):
        with report.progress("drawing the toy data", IMAGES, unit="images") as advance:
            draw_toy(Path(place), part=part, advance=advance)
    return open_source(
        benchmark,
        place,
        splits=splits,
        mask_rule=mask_rule or "union",
        crowds=crowds,
        masks=masks,
        columns=columns or {},
        part=part,
    )


def named_protocol(name: str, loader_workers: int | None, *, report: Report = SILENT) -> EvaluationProtocol:
    """The protocol called ``name``, with another number of loader workers if it knows any."""
    protocol = find_protocol(name)
    if loader_workers is not None and protocol.loader_workers is None:
        report.note(f"the protocol {name} draws without a data loader, so --loader-workers means nothing to it")
        return protocol
    return replace(protocol, loader_workers=loader_workers or protocol.loader_workers)


def list_files(
    protocol: EvaluationProtocol, benchmark: Benchmark, splits: str | None, *, report: Report = SILENT
) -> tuple[SplitFiles | None, ImageOrder | None]:
    """The split files to draw from, or the order of lists made from the masks; neither if their ids ascend.

    They are in the folder named, or else in the home. A folder that has the order alone has no split files.

    Raises `UsageError` if the protocol needs split files and there are none.
    """
    protocol.require(benchmark)
    if splits is not None and splits.startswith(f"{DERIVE}:"):
        return None, _order(protocol, Path(splits.removeprefix(f"{DERIVE}:")), benchmark)
    if splits == DERIVE or (splits is None and not has_splits(protocol, benchmark)):
        return None, None
    if not protocol.listed:
        if benchmark is not FSS_1000:
            report.note(f"the strict protocol draws {benchmark.title} from images, so --splits means nothing to it")
        return None, None
    home = Home.find()
    if splits is None and protocol.ruled and not (home.is_known and home.splits(protocol.name).is_dir()):
        return None, None
    folder = home.splits(protocol.name) if splits is None else Path(splits)
    if splits is None and not folder.is_dir():
        raise UsageError(
            f"the protocol {protocol.name} draws {benchmark.title} from split files, and there are none in {folder}",
            remedy="put them there, have prepare --download fetch them, or name their folder with --splits DIR; "
            "--splits derive makes unofficial lists from the masks",
        )
    if protocol.ruled and not has_lists(folder, benchmark) and find_order(folder, benchmark):
        return None, open_order(folder, benchmark)
    return open_splits(protocol, benchmark, folder), None


def _order(protocol: EvaluationProtocol, folder: Path, benchmark: Benchmark) -> ImageOrder:
    if not protocol.ruled:
        raise UsageError(
            f"the protocol {protocol.name} derives lists in an order of its own", remedy=f"pass --splits {DERIVE}"
        )
    return open_order(folder, benchmark)


def class_list(benchmark: Benchmark, splits: str | None, drawn_from: SplitFiles | None) -> Path | None:
    """Where FSS-1000's test classes are listed, if that is known; a protocol's split file is such a list."""
    if benchmark is not FSS_1000 or splits == DERIVE:
        return None
    if drawn_from is not None:
        return drawn_from.path(0)
    return None if splits is None else Path(splits)
