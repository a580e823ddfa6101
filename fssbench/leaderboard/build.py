"""Gathering result files into one leaderboard."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import sha256_bytes
from fssbench.base.progress import Advance, no_progress
from fssbench.leaderboard.board import Leaderboard
from fssbench.leaderboard.gathered import Candidate, Gathered, candidates, digest_of, gather, slug
from fssbench.leaderboard.ranking import ranked
from fssbench.leaderboard.scores import Figures, figures_of
from fssbench.schemas.leaderboard import REGIME_NAMES, DifferenceRecord, Entry, ReportedEntry, RunSummary
from fssbench.schemas.result import EpisodesRecord

__all__ = ["board_of", "build_leaderboard", "gather"]

REGIMES = tuple(REGIME_NAMES)
"""In the order that their rankings of one question stand in."""
MAKE = "make some with fssbench eval --output"
UNTOLD = "a result of old does not say on which masks and images it was measured, and is ranked only among such"


def build_leaderboard(
    *folders: Path,
    reported: Sequence[ReportedEntry] = (),
    advance: Advance = no_progress,
    note: Callable[[str], None] = lambda _: None,
) -> Leaderboard:
    """Gather the results below ``folders``; ranks are given only among entries of the very same episodes.

    Args:
        reported: rows of published tables to stand beside them.
        advance: called with the number of results just read.
        note: told what was left out.

    Raises:
        ResultError: as `gather`, two results are the same run of one model, or there is nothing to gather.
    """
    items = [item for folder in folders for item in gather(folder, advance=advance, note=note)]
    if not items and not reported:
        named = " and ".join(map(str, folders))
        raise ResultError(f"{named} {'hold' if len(folders) > 1 else 'holds'} no results", remedy=MAKE)
    return board_of(items, reported=reported)


def board_of(items: Iterable[Gathered], *, reported: Sequence[ReportedEntry] = ()) -> Leaderboard:
    """The leaderboard of results that were gathered; `ResultError` if two are the same run of one model."""
    groups: dict[tuple[object, ...], list[Candidate]] = defaultdict(list)
    for candidate in candidates(items):
        groups[*_question(candidate), REGIMES.index(candidate.first.model.seen)].append(candidate)
    entries: list[Entry] = []
    for _, group in sorted(groups.items()):
        found = [figures_of(candidate) for candidate in group]
        entries += ranked([(_entry(*one), one[1]) for one in zip(group, found, strict=True)])
    return Leaderboard.of(tuple(entries), tuple(reported))


def _question(candidate: Candidate) -> tuple[str, str, int, int, str, str, str]:
    """What a model was asked and how its masks were scored; those that agree in this make one ranking."""
    asked = candidate.first.episodes
    return (
        asked.benchmark,
        asked.protocol,
        asked.protocol_version,
        asked.shot,
        candidate.first.headline,
        digest_of(candidate.tracks),
        digest_of(candidate.truths),
    )


def _group(asked: EpisodesRecord, question: tuple[object, ...], regime: str) -> str:
    short = sha256_bytes(repr(question).encode())[:8]
    return slug(asked.benchmark, asked.protocol, f"{asked.shot}shot", regime, short)


def _entry(candidate: Candidate, figures: Figures) -> Entry:
    items, first = candidate.items, candidate.first
    question = _question(candidate)
    ran = [item.result.execution for item in items if item.result.execution is not None]
    asked = sum(item.result.episodes.n_episodes for item in items) - sum(one.resumed_episodes for one in ran)
    seconds = sum(one.seconds for one in ran)
    reasons = dict.fromkeys(reason for item in items for reason in item.result.unofficial)
    if candidate.incomplete:
        reasons[candidate.incomplete] = None
    if candidate.truth_digest is None:
        reasons[UNTOLD] = None
    return Entry(
        id=candidate.id,
        group=_group(first.episodes, question, first.model.seen),
        rank=None,
        label=candidate.label,
        model=first.model,
        benchmark=first.episodes.benchmark,
        protocol=first.episodes.protocol,
        protocol_version=first.episodes.protocol_version,
        shot=first.episodes.shot,
        policy=first.headline,
        regime=first.model.seen,
        episodes_digest=question[-2],
        truth_digest=candidate.truth_digest,
        miou=figures.miou,
        fb_iou=figures.fb_iou,
        difference=DifferenceRecord.none("not ranked yet"),
        folds=figures.folds,
        per_class=figures.per_class,
        runs=tuple(map(_run, items)),
        checkpoints={item.fold: item.result.model.checkpoint_sha256 for item in items},
        backbones={item.fold: item.result.model.backbone_sha256 for item in items},
        selection=_joined(item.result.model.selection for item in items),
        commands=tuple(dict.fromkeys(shlex.join(item.result.command.asked) for item in items)),
        episodes_per_second=round(asked / seconds, 3) if seconds else None,
        device_name=_joined(one.device_name for one in ran),
        precision=_joined(one.precision for one in ran),
        source=first.source,
        official=not reasons,
        unofficial=tuple(reasons),
    )


def _joined(names: Iterable[str | None]) -> str | None:
    """Different names in words; ``None`` if there are none."""
    return ", ".join(dict.fromkeys(filter(None, names))) or None


def _run(item: Gathered) -> RunSummary:
    result, ran = item.result, item.result.execution
    return RunSummary(
        fold=result.episodes.fold,
        seed=result.episodes.seed,
        n_episodes=result.episodes.n_episodes,
        digest=result.episodes.digest,
        truth_digest=result.episodes.truth_digest,
        miou=result.score.miou.value,
        fb_iou=result.score.fb_iou.value,
        official=result.official,
        result=item.name,
        result_sha256=item.sha256,
        counts_sha256=result.counts.sha256,
        predictions_sha256=result.predictions.sha256 if result.predictions else None,
        checkpoint_sha256=result.model.checkpoint_sha256,
        backbone_sha256=result.model.backbone_sha256,
        device_name=ran.device_name if ran else None,
        precision=ran.precision if ran else None,
        episodes_per_second=ran.episodes_per_second if ran else None,
        asked=result.command.asked,
        fssbench=result.environment.fssbench,
        git_revision=result.environment.git_revision,
    )
