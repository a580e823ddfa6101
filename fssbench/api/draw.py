"""The episodes of a track without a set, and without touching images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fssbench.api.sources import class_list, list_files, named_protocol, open_raw
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import MaskRule
from fssbench.pipelines.episode_sets.drawing import Request, draw_alone
from fssbench.pipelines.sources.coco_masks import Crowds
from fssbench.schemas.manifest import TrackRecord

__all__ = ["Drawn", "draw"]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A track, how a manifest states it, and why results on it would not be official."""

    track: Track
    record: TrackRecord
    unofficial: tuple[str, ...]


def draw(
    benchmark: Benchmark,
    *,
    source: str | None = None,
    protocol: str = "strict",
    splits: str | None = None,
    mask_rule: MaskRule | None = None,
    crowds: Crowds = "exclude",
    masks: Path | None = None,
    columns: Mapping[str, str] | None = None,
    fold: int = 0,
    shot: int = 1,
    seed: int | None = None,
    episodes: int | None = None,
    min_pixels: int | None = None,
    loader_workers: int | None = None,
    allow_missing_classes: bool = False,
    report: Report = SILENT,
) -> Drawn:
    """Draw the episodes that `fssbench.prepare` would build a set of; arguments and errors as there."""
    rules = named_protocol(protocol, loader_workers, report=report)
    files, order = list_files(rules, benchmark, splits, report=report)
    request = Request(
        benchmark=benchmark,
        protocol=rules,
        splits=files,
        order=order,
        folds=(fold,),
        shots=(shot,),
        seeds=(rules.seeds[0] if seed is None else seed,),
        episodes=episodes,
        min_pixels=min_pixels,
        allow_missing_classes=allow_missing_classes,
    )
    raw = None
    # What else a query shows is asked of the masks, if there are any.
    home = Home.find()
    there = source is not None or (home.is_known and home.raw(benchmark.raw).is_dir())
    shown = rules.small_queries and there
    if files is None or shown:
        raw = open_raw(
            benchmark,
            source,
            class_list(benchmark, splits, files),
            protocol=rules,
            mask_rule=mask_rule,
            crowds=crowds,
            masks=masks,
            columns=columns,
            report=report,
        )
    else:
        idle = {
            "--source": source,
            "--mask-rule": mask_rule,
            "--crowds": crowds != "exclude",
            "--masks": masks,
            "--column": columns,
        }
        _note_idle(idle, report)
    with report.progress(f"drawing {benchmark.title}", None, unit="masks") as advance:
        track, record, unofficial = draw_alone(raw, request, advance=advance)
    data = () if raw is None else raw.unofficial()
    return Drawn(track=track, record=record, unofficial=(*data, *unofficial, *record.unofficial))


def _note_idle(options: Mapping[str, object], report: Report) -> None:
    """Name the options given that change nothing."""
    if given := [name for name, value in options.items() if value]:
        means = "means" if len(given) == 1 else "mean"
        report.note(f"split files alone determine the episodes, so {' and '.join(given)} {means} nothing here")
