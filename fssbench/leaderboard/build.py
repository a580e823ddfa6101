"""Gathering result files into one leaderboard."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.engine.check import check_result
from fssbench.engine.load import results_below
from fssbench.errors import ResultError
from fssbench.files import sha256_file
from fssbench.leaderboard.schema import SCHEMA_VERSION, Entry, Leaderboard, Mean, RunSummary
from fssbench.results import FigureRecord, Result

__all__ = ["build_leaderboard", "gather"]


@dataclass(frozen=True)
class Gathered:
    """A result and the file it came from."""

    result: Result
    path: Path
    sha256: str

    @property
    def label(self) -> str:
        """The model in words: its name, backbone, and what else distinguishes it."""
        model = self.result.model
        marks = [f"{k}={v}" for k, v in model.options.items() if k != "backbone"]
        if model.backbone_weights == "none" or model.training == "untrained":
            marks.append("untrained")
        elif model.backbone_weights == "file":
            marks.append("own backbone weights")
        named = " ".join(filter(None, [Path(model.name).name, model.backbone]))
        return f"{named} ({', '.join(marks)})" if marks else named


def gather(folder: Path) -> list[Gathered]:
    """All results below ``folder``, everything they say computed again from the counts beside them.

    Raises:
        ResultError: there is none, one is damaged, or its figures do not follow from its counts.
    """
    return [_read(path) for path in results_below(folder)]


def _read(path: Path) -> Gathered:
    checked = check_result(path)
    if checked.result is None or checked.problems:
        more = f", and {len(checked.problems) - 1} more" if len(checked.problems) > 1 else ""
        raise ResultError(
            f"{path}: {checked.problems[0]}{more}",
            remedy="see everything that is wrong with fssbench score --check, or evaluate again with --overwrite",
        )
    return Gathered(checked.result, path, sha256_file(path))


def build_leaderboard(folder: Path) -> Leaderboard:
    """Gather the results below ``folder``; ranks are given only among entries of the very same episodes."""
    groups: dict[str, list[Gathered]] = defaultdict(list)
    for item in gather(folder):
        groups[_group_key(item)].append(item)
    entries = [_entry(items, folder) for items in groups.values()]
    return Leaderboard(schema_version=SCHEMA_VERSION, kind="fssbench-leaderboard", entries=tuple(_ranked(entries)))


def _group_key(item: Gathered) -> str:
    """What makes results runs of one entry: everything but fold, seed and the fold's checkpoint."""
    result = item.result
    episodes = result.episodes
    model = result.model.model_dump(mode="json", exclude={"checkpoint_sha256"})
    return json.dumps(
        [
            episodes.benchmark,
            episodes.folds,
            episodes.protocol,
            episodes.protocol_version,
            episodes.shot,
            result.headline,
            result.source,
            model,
        ]
    )


def _entry(items: Sequence[Gathered], folder: Path) -> Entry:
    items = sorted(items, key=lambda item: (item.result.episodes.fold, item.result.episodes.seed))
    _require_distinct(items)
    first = items[0].result
    runs = tuple(_run(item, folder) for item in items)
    identity = "".join(f"{run.fold}\t{run.seed}\t{run.digest}\n" for run in runs)
    ran = [item.result.execution for item in items if item.result.execution is not None]
    asked = sum(item.result.episodes.n_episodes for item in items) - sum(one.resumed_episodes for one in ran)
    seconds = sum(one.seconds for one in ran)
    reasons = dict.fromkeys(reason for item in items for reason in item.result.unofficial)
    missing = _incomplete(items)
    if missing:
        reasons[missing] = None
    return Entry(
        rank=None,
        model=first.model,
        label=items[0].label,
        benchmark=first.episodes.benchmark,
        protocol=first.episodes.protocol,
        protocol_version=first.episodes.protocol_version,
        shot=first.episodes.shot,
        policy=first.headline,
        episodes_digest=hashlib.sha256(identity.encode()).hexdigest(),
        miou=_mean(items, lambda result: result.score.miou, missing),
        fb_iou=_mean(items, lambda result: result.score.fb_iou, missing),
        runs=runs,
        checkpoints={item.result.episodes.fold: item.result.model.checkpoint_sha256 for item in items},
        episodes_per_second=round(asked / seconds, 3) if seconds else None,
        device_name=ran[0].device_name if ran else None,
        source=first.source,
        official=not reasons,
        unofficial=tuple(reasons),
    )


def _require_distinct(items: Sequence[Gathered]) -> None:
    seen: dict[tuple[int, int], Path] = {}
    for item in items:
        key = (item.result.episodes.fold, item.result.episodes.seed)
        if key in seen:
            raise ResultError(
                f"{seen[key]} and {item.path} are both {item.label} on fold {key[0]}, seed {key[1]}",
                remedy="keep one of them below the folder",
            )
        seen[key] = item.path


def _run(item: Gathered, folder: Path) -> RunSummary:
    episodes, score = item.result.episodes, item.result.score
    return RunSummary(
        fold=episodes.fold,
        seed=episodes.seed,
        n_episodes=episodes.n_episodes,
        digest=episodes.digest,
        miou=score.miou.value,
        fb_iou=score.fb_iou.value,
        official=item.result.official,
        result=item.path.relative_to(folder).as_posix(),
        result_sha256=item.sha256,
    )


def _incomplete(items: Sequence[Gathered]) -> str:
    """Why there is no mean over folds, or nothing."""
    folds = items[0].result.episodes.all_folds
    seeds: dict[int, set[int]] = {fold: set() for fold in range(len(folds))}
    for item in items:
        seeds[item.result.episodes.fold].add(item.result.episodes.seed)
    if missing := [fold for fold, found in seeds.items() if not found]:
        return f"no result on fold {', '.join(map(str, missing))}"
    if len({frozenset(found) for found in seeds.values()}) > 1:
        return "folds were evaluated with different seeds"
    return ""


def _mean(items: Sequence[Gathered], figure: Callable[[Result], FigureRecord], missing: str) -> Mean:
    """The mean over folds of the mean over seeds; all folds have the same seeds, so one mean does both."""
    if missing:
        return Mean(value=None, reason=missing)
    for item in items:
        if (reason := figure(item.result).reason) is not None:
            return Mean(value=None, reason=f"fold {item.result.episodes.fold}: {reason}")
    values = [value for item in items if (value := figure(item.result).value) is not None]
    return Mean(value=math.fsum(values) / len(values), reason=None)


def _ranked(entries: Sequence[Entry]) -> list[Entry]:
    """Entries ordered for reading, ranked within benchmark, protocol, shot, policy and episodes."""
    best_first = sorted(
        entries,
        key=lambda e: (*e.comparable, -(e.miou.value if e.miou.value is not None else -1), e.label),
    )
    comparable: dict[tuple[object, ...], list[float]] = defaultdict(list)
    for entry in best_first:
        if entry.miou.value is not None:
            comparable[entry.comparable].append(entry.miou.value)

    def rank(entry: Entry) -> int | None:
        """One more than there are better ones; equals share a rank."""
        mine = entry.miou.value
        return None if mine is None else 1 + sum(value > mine for value in comparable[entry.comparable])

    return [entry.model_copy(update={"rank": rank(entry)}) for entry in best_first]
