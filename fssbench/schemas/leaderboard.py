"""The entries of a leaderboard's JSON, as a schema."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from fssbench.base.records import Record, Sha256
from fssbench.schemas.result import IntervalRecord, ModelRecord, Share

__all__ = [
    "REGIME_NAMES",
    "ClassScore",
    "DifferenceRecord",
    "Entry",
    "FoldScore",
    "Printed",
    "Regime",
    "ReportedEntry",
    "RunSummary",
    "Score",
    "ShiftInterval",
]

Shift = Annotated[float, Field(ge=-1, le=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+([.-][a-z0-9]+)*$")]


Regime = Literal["base classes", "training-free", "generalist", "unknown"]
REGIME_NAMES: dict[Regime, str] = {
    "base classes": "trained on base classes",
    "training-free": "training-free",
    "generalist": "generalist that saw the tested classes or images",
    "unknown": "not known what it was trained on",
}
"""What a model's weights have learned from, in words."""


class Score(Record):
    """A figure in [0, 1] with its intervals, or null and the reason."""

    value: Share | None
    reason: str | None = Field(description="why there is no value; null if there is one")
    other_episodes: IntervalRecord | None = Field(
        description="if other episodes had been drawn from the same images; null with too few episodes to say"
    )
    other_images: IntervalRecord | None = Field(
        description="if the images had been others; null with fewer than ten query images of a class"
    )

    @model_validator(mode="after")
    def _value_or_reason(self) -> Score:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a score has either a value or a reason why it has none")
        return self


class FoldScore(Record):
    """One fold: the mean over its seeds."""

    fold: int
    n_episodes: int = Field(ge=1, description="of all its seeds")
    miou: Score
    fb_iou: Score


class ClassScore(Record):
    """One class, in the fold that tests it: the mean over the seeds."""

    id: int
    name: str
    fold: int
    iou: Score


class ShiftInterval(IntervalRecord):
    """A 95 % interval of a difference and how it was made."""

    low: Shift
    high: Shift


class DifferenceRecord(Record):
    """An entry's mIoU less the leader's, paired episode by episode; or null and the reason."""

    leader: str | None = Field(description="id of the best entry of the group; null if no entry is ranked")
    value: Shift | None
    reason: str | None = Field(description="why there is no value; null if there is one")
    other_episodes: ShiftInterval | None
    other_images: ShiftInterval | None
    p_episodes: Probability | None = Field(description="two-sided, against none, if other episodes had been drawn")
    p_images: Probability | None = Field(description="likewise if the images had been others")

    @model_validator(mode="after")
    def _value_or_reason(self) -> DifferenceRecord:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a difference has either a value or a reason why it has none")
        return self

    @staticmethod
    def none(reason: str, *, leader: str | None = None) -> DifferenceRecord:
        """No difference, and why."""
        return DifferenceRecord(
            leader=leader,
            value=None,
            reason=reason,
            other_episodes=None,
            other_images=None,
            p_episodes=None,
            p_images=None,
        )


class RunSummary(Record):
    """One result of an entry: a fold and seed."""

    fold: int
    seed: int
    n_episodes: int
    digest: Sha256 = Field(description="of the episodes evaluated")
    truth_digest: Sha256 | None = Field(
        default=None, description="of their masks, ignored pixels and images; null if the result does not say"
    )
    miou: Share | None
    fb_iou: Share | None
    official: bool
    result: str = Field(description="the result file, relative to the folder gathered")
    result_sha256: Sha256
    counts_sha256: Sha256
    predictions_sha256: Sha256 | None = Field(description="null if the masks were not kept")
    checkpoint_sha256: Sha256 | None
    backbone_sha256: Sha256 | None
    device_name: str | None = Field(description="null if the model was not asked here")
    precision: str | None
    episodes_per_second: float | None = Field(ge=0)
    asked: tuple[str, ...] = Field(description="the command, word by word")
    fssbench: str = Field(description="version it ran with")
    git_revision: str | None


class Entry(Record):
    """One model on one benchmark, protocol and number of shots, over all its folds and seeds."""

    id: Slug = Field(description="stable and unique among entries: for anchors and file names")
    group: Slug = Field(
        description="entries with one group were asked the same, scored alike and are of one regime: one ranking"
    )
    rank: int | None = Field(
        ge=1, description="within the group; null without a mean, and for controls; equals share one"
    )
    label: str = Field(description="the model in words")
    model: ModelRecord = Field(description="of the first run; checkpoints may differ by fold")
    benchmark: str
    protocol: str
    protocol_version: int
    shot: int
    policy: str = Field(description="how masks were scored, such as original/ignore")
    regime: Regime = Field(
        default="unknown", description="what its weights have learned from; ranks are given within a regime"
    )
    episodes_digest: Sha256 = Field(
        description="of the folds', seeds' and episodes' digests: equal means same episodes"
    )
    truth_digest: Sha256 | None = Field(
        default=None,
        description="of the folds', seeds' and truth digests: equal means same masks, ignored pixels and images; "
        "null if a result does not say",
    )
    miou: Score = Field(description="mean over folds")
    fb_iou: Score = Field(description="mean over folds")
    difference: DifferenceRecord
    folds: tuple[FoldScore, ...]
    per_class: tuple[ClassScore, ...]
    runs: tuple[RunSummary, ...]
    checkpoints: dict[int, Sha256 | None] = Field(description="checkpoint SHA-256 by fold")
    backbones: dict[int, Sha256 | None] = Field(description="SHA-256 of the backbone's weights by fold")
    selection: str | None = Field(description="the rule by which the checkpoints were chosen; null if not known")
    commands: tuple[str, ...] = Field(description="what was asked, as typed in a shell; to measure it again")
    episodes_per_second: float | None = Field(ge=0, description="over all runs; null if the model was not asked here")
    device_name: str | None
    precision: str | None
    source: Literal["measured", "recomputed"] = Field(description="by asking the model, or from masks it left")
    official: bool
    unofficial: tuple[str, ...]


class Printed(Record):
    """Where a reported score is printed."""

    paper: str = Field(description="fssbench's short name of it, such as hsnet")
    title: str
    venue: str
    table: str = Field(description="fssbench's name of the table, such as hsnet-table1")
    number: str = Field(description="what the paper calls it, such as Table 1")


class ReportedEntry(Record):
    """A score as papers print it: never ranked, since nobody can compute it again."""

    id: Slug = Field(description="stable and unique among all entries")
    group: Slug = Field(description="rows with one group: same benchmark, shots, protocol and regime as reported")
    source: Literal["reported"]
    label: str = Field(description="the method and its backbone")
    method: str = Field(description="as printed, with what sets it apart")
    ablation: bool = Field(
        default=False, description="whether it is printed only to show what a part of a method is worth"
    )
    backbone: str | None
    benchmark: str
    protocol: str | None = Field(description="fssbench's name of the one that scored it; null if that is not known")
    ignore_label: bool = Field(description="whether ignored pixels were left out of the score")
    regime: Regime = Field(default="base classes", description="what its weights have learned from")
    shot: int
    folds: tuple[Share | None, ...] = Field(description="mIoU by fold, null where it is not known")
    miou: Share | None = Field(description="mean over folds, as printed")
    fb_iou: Share | None
    learnable_parameters: float | None = Field(ge=0, description="in millions")
    model: str | None = Field(description="fssbench's model of it, if there is one")
    options: dict[str, Any] = Field(description="with which that model is the one printed")
    printed: tuple[Printed, ...] = Field(min_length=1, description="every table that has it")
    note: str | None

    @property
    def printed_in(self) -> str:
        """Papers and tables in words, such as ``hsnet Table 1, A2, Poster; hmfs Table 2``."""
        papers: dict[str, list[str]] = {}
        for one in self.printed:
            papers.setdefault(one.paper, []).append(one.number)
        named = "; ".join(f"{paper} {', '.join(dict.fromkeys(numbers))}" for paper, numbers in papers.items())
        return named.replace(", Table ", ", ")
