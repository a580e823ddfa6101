"""The result of one evaluation, as a schema: what was asked, what was run, what came out, and from what.

One result is one model on one fold, shot and seed. Every figure in it can be computed again from the
table of per-episode counts that lies beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from fssbench.benchmarks import find_benchmark
from fssbench.errors import ResultError
from fssbench.records import Record, Sha256, first_error

__all__ = [
    "SCHEMA_VERSION",
    "ClassResult",
    "CountsFile",
    "Environment",
    "EpisodesRecord",
    "Execution",
    "FigureRecord",
    "IntervalRecord",
    "ModelRecord",
    "PolicyResult",
    "Request",
    "Result",
    "parse_result",
    "read_result",
]

SCHEMA_VERSION: Literal[1] = 1
Share = Annotated[float, Field(ge=0, le=1)]


class IntervalRecord(Record):
    """A 95 % interval and how it was made."""

    low: Share
    high: Share
    method: str


class FigureRecord(Record):
    """A figure: a value in [0, 1], or null and the reason."""

    value: Share | None
    reason: str | None = Field(description="why there is no value; null if there is one")
    n_episodes: int = Field(ge=0)
    interval: IntervalRecord | None

    @model_validator(mode="after")
    def _value_or_reason(self) -> FigureRecord:
        if (self.value is None) == (self.reason is None):
            raise ValueError("a figure has either a value or a reason why it has none")
        return self


class ClassResult(Record):
    """The IoU of one class."""

    id: int
    name: str
    iou: FigureRecord


class PolicyResult(Record):
    """All figures under one scoring policy."""

    policy: str = Field(description="size and treatment of ignored pixels, such as original/ignore")
    miou: FigureRecord
    fb_iou: FigureRecord
    per_class: tuple[ClassResult, ...]


class ModelRecord(Record):
    """The model: what it is, and the weights it ran with."""

    name: str
    options: dict[str, Any] = Field(description="as given to the model; what is not named has its default")
    code_sha256: Sha256 | None = Field(description="of the file of a user's own model; null for ours")
    training: Literal["not needed", "untrained", "trained"]
    checkpoint_sha256: Sha256 | None
    backbone: str | None
    backbone_weights: str | None = Field(description="none (random), imagenet, file, or checkpoint: part of it")
    backbone_sha256: Sha256 | None
    parameters: int = Field(ge=0, description="all parameters, the backbone's included")
    learnable_parameters: int = Field(ge=0)
    input_size: int = Field(ge=1, description="side of the square the model works at, in pixels")


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
    track_digest: Sha256 = Field(description="of the whole track they are the first of")
    pools: dict[int, Sha256] = Field(description="by class, of the sorted ids of its eligible images")
    folds: tuple[tuple[int, ...], ...] | None = Field(
        default=None, description="the classes that each fold of the benchmark tests; null if it is built in"
    )

    @property
    def all_folds(self) -> tuple[tuple[int, ...], ...]:
        """For every fold of the benchmark the classes it tests; `UsageError` if nobody says."""
        return self.folds or find_benchmark(self.benchmark).folds


class CountsFile(Record):
    """The table of per-episode counts beside the result."""

    file: str
    sha256: Sha256
    rows: int


class Execution(Record):
    """How it was run, and how fast."""

    device: str
    device_name: str
    precision: str
    seconds: float = Field(ge=0, description="from the first shard read to the last mask scored")
    episodes_per_second: float = Field(ge=0, description="of those asked in this run")
    resumed_episodes: int = Field(ge=0, description="asked by an earlier run that was interrupted")


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


class Result(Record):
    """One model on one fold, shot and seed."""

    schema_version: Literal[1]
    kind: Literal["fssbench-result"]
    model: ModelRecord
    episodes: EpisodesRecord
    headline: str = Field(description="the policy that rankings use")
    policies: tuple[PolicyResult, ...]
    counts: CountsFile
    execution: Execution
    environment: Environment
    command: Request
    official: bool
    unofficial: tuple[str, ...] = Field(description="why it is not official; empty if it is")

    @model_validator(mode="after")
    def _consistent(self) -> Result:
        if self.official != (not self.unofficial):
            raise ValueError("a result is official exactly if no reason speaks against it")
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


def parse_result(data: bytes, *, where: str) -> Result:
    """Parse a result's JSON; `ResultError` naming ``where`` and the first thing that is wrong with it."""
    try:
        return Result.model_validate_json(data)
    except ValidationError as error:
        raise ResultError(
            f"{where} is no result of this version: {first_error(error)}",
            remedy="evaluate again with --overwrite",
        ) from error


def read_result(path: Path) -> Result:
    """Read a result file; `ResultError` naming the file if it is missing or no result."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}", remedy="check the path") from error
    return parse_result(data, where=str(path))
