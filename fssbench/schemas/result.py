"""The result of one evaluation, as a schema: what was asked, what was run, what came out, and from what.

One result is one model on one fold, shot and seed. Every figure in it can be computed again from the
table of per-episode counts that lies beside it, and the counts from the predictions where those were kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from fssbench.base.errors import ResultError, UsageError
from fssbench.base.records import Printable, Record, Sha256, read_record
from fssbench.episodes.benchmarks import BENCHMARKS, find_benchmark
from fssbench.episodes.identity import Identity

__all__ = [
    "SCHEMA_VERSION",
    "ClassResult",
    "CountsFile",
    "Ends",
    "Environment",
    "EpisodesRecord",
    "Execution",
    "FigureRecord",
    "GroupResult",
    "IntervalRecord",
    "ModelRecord",
    "PolicyResult",
    "PrecisionCheck",
    "PredictionsFolder",
    "PretrainingRecord",
    "Request",
    "Result",
    "SplitResult",
    "TrainingRecord",
    "read_result",
]

SCHEMA_VERSION: Literal[2] = 2
Share = Annotated[float, Field(ge=0, le=1)]


class Ends(Protocol):
    """Where a figure lies, or a difference."""

    @property
    def low(self) -> float:
        """The lower end."""

    @property
    def high(self) -> float:
        """The upper end."""


class IntervalRecord(Record):
    """A 95 % interval and how it was made."""

    low: Share
    high: Share
    method: str

    @classmethod
    def of(cls, interval: Ends | None, method: str) -> Self | None:
        """The interval as it is stored, if there is one."""
        return None if interval is None else cls(low=interval.low, high=interval.high, method=method)


class FigureRecord(Record):
    """A figure: a value in [0, 1], or null and the reason."""

    value: Share | None
    reason: str | None = Field(description="why there is no value; null if there is one")
    n_episodes: int = Field(ge=0, description="it rests on")
    n_classes: int = Field(ge=0, description="it rests on")
    other_episodes: IntervalRecord | None = Field(
        description="if other episodes had been drawn from the same images; null with too few episodes to say"
    )
    other_images: IntervalRecord | None = Field(
        description="if the images had been others; null with fewer than ten query images of a class"
    )

    @model_validator(mode="after")
    def _value_or_reason(self) -> FigureRecord:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a figure has either a value or a reason why it has none")
        return self


class ClassResult(Record):
    """The IoU of one class."""

    id: int
    name: Printable
    iou: FigureRecord


class GroupResult(Record):
    """Figures of some of the episodes."""

    name: Printable
    miou: FigureRecord
    fb_iou: FigureRecord
    episode_iou: FigureRecord


class SplitResult(Record):
    """Figures by group, on the classes that occur in every group."""

    by: str
    definition: str = Field(description="how an episode's group is found")
    classes: tuple[int, ...] = Field(description="that occur in every group")
    reason: str | None = Field(description="why there are no groups; null if there are")
    groups: tuple[GroupResult, ...]


class PolicyResult(Record):
    """All figures under one scoring policy."""

    policy: str = Field(description="size and treatment of ignored pixels, such as original/ignore")
    miou: FigureRecord = Field(description="mean over classes of intersections over unions summed by class")
    fb_iou: FigureRecord = Field(description="mean of foreground and background IoU summed over all episodes")
    episode_iou: FigureRecord = Field(description="mean of the episodes' own IoUs; not what papers call mIoU")
    per_class: tuple[ClassResult, ...]
    splits: tuple[SplitResult, ...]


class LearnedRecord(Record):
    """The images that weights were learned from, each with the classes it served."""

    images: int = Field(ge=0)
    pairs: int = Field(ge=0, description="of image and class")
    sha256: Sha256 = Field(description="of all pairs")
    published: str | None = Field(
        description="the publication's list that they are, such as hsnet pascal fold 0; null for others"
    )


class TrainingRecord(Record):
    """How weights came to be, where fssbench trained them."""

    benchmark: str
    fold: int = Field(ge=0, description="whose base classes were learned from")
    shot: int = Field(ge=1)
    seed: int = Field(ge=0)
    training_set: Sha256 = Field(description="digest of the training set")
    classes: tuple[int, ...] = Field(description="learned from")
    held_out: tuple[int, ...] = Field(description="base classes that were not learned from, to choose weights by")
    select_on: Literal["last", "base-val", "test-fold"] = Field(
        description="which weights were chosen: the last; the best on held-out base classes; the best on the test "
        "fold, as is usual in publications, so that the score is no longer that of unseen classes alone"
    )
    steps: int = Field(ge=0, description="after which these weights were kept")
    planned_steps: int = Field(ge=1, description="of the whole run")
    recipe_sha256: Sha256 = Field(description="of the recipe as resolved, in JSON")
    settled_after: int | None = Field(
        default=None, ge=1, description="steps after which validation no longer rose and the run ended; null if not so"
    )
    images_with_novel_classes: int | None = Field(
        default=None, ge=0, description="learned from, where novel classes were background; null if not counted"
    )
    learned: LearnedRecord | None = Field(default=None, description="what from; null if that was not recorded")
    augmentation: dict[str, Any] | None = Field(
        default=None, description="of training images, as in the recipe; null if that was not recorded"
    )

    @property
    def cut_short(self) -> bool:
        """Whether these are the last weights of a run that had not come to its end."""
        return self.select_on == "last" and self.settled_after is None and self.steps < self.planned_steps


class PretrainingRecord(Record):
    """What weights were learned from before they came here, as far as those who released them say."""

    data: tuple[str, ...] = Field(description="data sets, as people call them")
    saw: tuple[Literal["images", "masks", "labels"], ...] = Field(
        description="of the benchmark, as far as is known: images it tests on; masks of classes it tests; labels of "
        "whole images of them, as ImageNet has"
    )

    @property
    def told(self) -> str:
        """In words, such as ``COCO, ADE20K: saw images, masks``."""
        return f"{', '.join(self.data)}{': saw ' if self.saw else ''}{', '.join(self.saw)}"


class ModelRecord(Record):
    """The model: what it is, and the weights it ran with."""

    name: Printable
    options: dict[str, Any] = Field(description="as given to the model; what is not named has its default")
    code_sha256: Sha256 | None = Field(
        description="of the code of a user's own model: of its file, or where that imports others of its folder, of a "
        "line a file, with the file's SHA-256 and its path; null for ours"
    )
    training: Literal["not needed", "untrained", "trained", "unknown", "declared", "undeclared"] = Field(
        description="trained: by a checkpoint that fssbench loaded; declared: by files that the model loaded itself "
        "and names; undeclared: it has parameters that nobody says the origin of"
    )
    checkpoint_sha256: Sha256 | None
    backbone: str | None
    backbone_weights: str | None = Field(description="none (random), imagenet, file, or checkpoint: part of it")
    backbone_sha256: Sha256 | None
    parameters: int | None = Field(ge=0, description="all parameters, the backbone's included; null if not known")
    learnable_parameters: int | None = Field(ge=0)
    input_size: int | None = Field(
        ge=1, description="side of the square that images are squashed to, in pixels; null if they are not"
    )
    control: Literal["no-support", "wrong-class"] | None = Field(
        default=None, description="what was done to its supports to see whether it uses them; null if nothing"
    )
    selection: str | None = Field(
        default=None, description="the rule by which its weights were chosen, as their card says; null if unknown"
    )
    trained: TrainingRecord | None = Field(default=None, description="how, where fssbench trained it")
    regime: Literal["base classes", "training-free", "generalist"] | None = Field(
        default=None, description="what its weights have learned from, as the model declares; null if it does not"
    )
    weights: dict[str, Sha256] = Field(
        default_factory=dict, description="by name, the files of weights that it declares to have loaded itself"
    )

    preprocess: dict[str, Any] = Field(
        default_factory=dict,
        description="how images become the model's input, as far as that is not squashing to that square, by the "
        "names of `fssbench.models.preprocess.Preprocess`",
    )
    class_names: bool = Field(default=False, description="whether it is told what classes are called")
    pretrained: PretrainingRecord | None = Field(
        default=None, description="what its backbone, or the whole of it, was learned from; null if that is not known"
    )

    @staticmethod
    def unseen(name: str, *, options: Mapping[str, Any] | None = None, input_size: int | None = None) -> ModelRecord:
        """A model of which only the masks are known.

        Args:
            name: what it is called.
            options: what else tells it from others of this name.
            input_size: side of the square its masks are, if they do not have their queries' sizes.
        """
        return ModelRecord(
            name=name,
            options=dict(options or {}),
            code_sha256=None,
            training="unknown",
            checkpoint_sha256=None,
            backbone=None,
            backbone_weights=None,
            backbone_sha256=None,
            parameters=None,
            learnable_parameters=None,
            input_size=input_size,
        )

    @property
    def seen(self) -> Literal["base classes", "training-free", "generalist", "unknown"]:
        """The regime it is ranked in: the declared one, or what the record implies, or ``unknown``.

        Results from before regimes were recorded imply it in the same way.
        """
        if self.regime is not None:
            return self.regime
        ours = self.code_sha256 is None and self.training != "unknown"
        if self.trained is not None or (ours and self.training == "trained"):
            return "base classes"
        free = self.training in ("not needed", "untrained") and (ours or not self.parameters)
        return "training-free" if free else "unknown"

    @property
    def prior(self) -> str:
        """What it was pre-trained on and what that held of the benchmark, in words; empty if it was not.

        Of results from before that was recorded, ImageNet's weights alone imply it.
        """
        if self.pretrained is not None:
            return self.pretrained.told
        if self.backbone_weights == "imagenet":
            return "ImageNet-1k"
        return "" if self.backbone_weights == "none" or self.parameters == 0 else "not known"

    @property
    def saw_the_test(self) -> bool:
        """Whether what it was pre-trained on is known to hold the benchmark's images, or masks of its classes."""
        return self.pretrained is not None and bool({"images", "masks"} & set(self.pretrained.saw))

    @property
    def later_fields(self) -> set[str]:
        """Fields that came after schema 2 and say nothing here: without them a record is named as it was then."""
        return {name for name in ("regime", "weights", "preprocess", "class_names") if not getattr(self, name)}

    @property
    def selected_on_test_fold(self) -> bool:
        """Whether its weights are those that scored best on the very fold they are tested on."""
        return self.trained is not None and self.trained.select_on == "test-fold"


class EpisodesRecord(Record):
    """What the model was asked."""

    benchmark: str
    protocol: str
    protocol_version: int
    fold: int
    shot: int
    seed: int
    n_episodes: int
    digest: Sha256 = Field(description="of the episodes evaluated")
    truth_digest: Sha256 | None = Field(
        default=None, description="of their masks, ignored pixels and images; null in results of old"
    )
    track_digest: Sha256 = Field(description="of the whole track they are the first of")
    pools: dict[int, Sha256] = Field(description="by class, of the sorted ids of its eligible images")
    folds: tuple[tuple[int, ...], ...] | None = Field(
        default=None, description="the classes that each fold of the benchmark tests; null if it is built in"
    )

    @model_validator(mode="after")
    def _defines_no_other(self) -> EpisodesRecord:
        if self.folds is not None and self.benchmark in {benchmark.name for benchmark in BENCHMARKS}:
            raise ValueError(f"{self.benchmark} is built in and cannot have other folds")
        return self

    @property
    def identity(self) -> Identity:
        """What another result must agree in to be compared with this one."""
        return Identity(self.digest, self.truth_digest)

    @property
    def all_folds(self) -> tuple[tuple[int, ...], ...]:
        """For every fold of the benchmark the classes it tests; `UsageError` if nobody says."""
        return self.folds or find_benchmark(self.benchmark).folds

    @property
    def novel_classes(self) -> tuple[int, ...]:
        """The classes that the fold tests; `UsageError` if there is no such benchmark or fold."""
        folds = self.all_folds
        if not 0 <= self.fold < len(folds):
            raise UsageError(f"{self.benchmark} has no fold {self.fold}", remedy=f"folds are 0 to {len(folds) - 1}")
        return folds[self.fold]


class CountsFile(Record):
    """The table of per-episode counts beside the result."""

    file: str
    sha256: Sha256
    rows: int


class PredictionsFolder(Record):
    """The masks beside the result."""

    folder: str
    sha256: Sha256 = Field(description="of its predictions.json, which has those of its shards")


class PrecisionCheck(Record):
    """What a lower precision changed in the first episodes, which were asked in float32 as well, one at a time."""

    episodes: int = Field(ge=1)
    pixels: int = Field(ge=0, description="of their masks, at the queries' own sizes")
    differing_pixels: int = Field(ge=0)
    miou: float | None = Field(description="of these episodes under the headline policy; null if undefined")
    miou_float32: float | None = Field(description="likewise, in float32")


class Execution(Record):
    """How it was run, and how fast."""

    device: str
    device_name: str
    processes: int = Field(ge=1, description="that shared the episodes")
    precision: str
    seconds: float = Field(ge=0, description="from the first shard read to the last mask scored")
    episodes_per_second: float = Field(ge=0, description="of those asked in this run")
    resumed_episodes: int = Field(ge=0, description="asked by an earlier run that was interrupted")
    path: Literal["plain", "fast"] = Field(
        default="plain", description="every episode whole, or features shared and the model accelerated"
    )
    batch: int = Field(default=1, ge=1, description="images encoded and episodes matched at a time, at the end")
    shortages: int = Field(default=0, ge=0, description="how often memory ran out and less was tried at a time")
    feature_cache: int | None = Field(default=None, ge=0, description="bytes for features; null if none are kept")
    encoded_images: int | None = Field(default=None, ge=0, description="in this run; null if nobody counted")
    compiled: bool = False
    precision_check: PrecisionCheck | None = Field(default=None, description="null if it was float32 itself")


class Environment(Record):
    """The software it was run with."""

    fssbench: str
    python: str
    packages: dict[str, str]
    git_revision: str | None
    git_dirty: bool | None


class Request(Record):
    """The command, as asked and as resolved."""

    asked: tuple[str, ...]
    resolved: dict[str, Any]

    @staticmethod
    def of(asked: Iterable[str], resolved: Mapping[str, Any]) -> Request:
        """The same as text, also where a path has bytes that are none in this locale: they stand there as such."""
        told = {name: _as_text(value) if isinstance(value, str) else value for name, value in resolved.items()}
        return Request(asked=tuple(map(_as_text, asked)), resolved=told)


def _as_text(word: str) -> str:
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class Result(Record):
    """One model on one fold, shot and seed."""

    schema_version: Literal[2]
    kind: Literal["fssbench-result"]
    model: ModelRecord
    episodes: EpisodesRecord
    headline: str = Field(description="the policy that rankings use")
    policies: tuple[PolicyResult, ...]
    counts: CountsFile
    predictions: PredictionsFolder | None = Field(description="null if the masks were not kept")
    source: Literal["measured", "recomputed"] = Field(description="by asking the model, or from masks it left")
    execution: Execution | None = Field(description="null if the model was not asked here")
    environment: Environment
    command: Request
    official: bool
    unofficial: tuple[str, ...] = Field(description="why it is not official; empty if it is")

    @model_validator(mode="after")
    def _consistent(self) -> Result:
        if self.official != (not self.unofficial):
            raise ValueError("a result is official exactly if no reason speaks against it")
        if (self.source == "measured") != (self.execution is not None):
            raise ValueError("a result says how the model was asked exactly if it was")
        if self.headline not in {policy.policy for policy in self.policies}:
            raise ValueError(f"the headline policy {self.headline} is not among the policies")
        return self

    @property
    def score(self) -> PolicyResult:
        """The figures of the headline policy."""
        return next(policy for policy in self.policies if policy.policy == self.headline)

    def to_json(self) -> str:
        """The result as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"


def read_result(path: Path) -> Result:
    """Read a result file; `ResultError` naming the file if it is missing or no result."""
    return read_record(
        path,
        Result,
        error=ResultError,
        damaged="is not a result of this version",
        remedy="evaluate again with --overwrite",
    )
