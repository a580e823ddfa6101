"""The leaderboard's JSON, as a schema."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fssbench.records import Record, Sha256
from fssbench.results import ModelRecord, Share

__all__ = ["SCHEMA_VERSION", "Entry", "Leaderboard", "Mean", "RunSummary"]

SCHEMA_VERSION: Literal[1] = 1


class Mean(Record):
    """A mean over folds, or null and the reason."""

    value: Share | None
    reason: str | None = Field(description="why there is no value; null if there is one")


class RunSummary(Record):
    """One result of an entry."""

    fold: int
    seed: int
    n_episodes: int
    digest: Sha256 = Field(description="of the episodes evaluated")
    miou: Share | None
    fb_iou: Share | None
    official: bool
    result: str = Field(description="the result file, relative to the folder gathered")
    result_sha256: Sha256


class Entry(Record):
    """One model on one benchmark, protocol and number of shots, over all its folds and seeds."""

    rank: int | None = Field(description="among entries of the same episodes; null without a mean, and for controls")
    model: ModelRecord = Field(description="of the first run; checkpoints may differ by fold")
    label: str
    benchmark: str
    protocol: str
    protocol_version: int
    shot: int
    policy: str = Field(description="how masks were scored, such as original/ignore")
    episodes_digest: Sha256 = Field(
        description="of the folds', seeds' and episodes' digests: equal means same episodes"
    )
    miou: Mean
    fb_iou: Mean
    runs: tuple[RunSummary, ...]
    checkpoints: dict[int, Sha256 | None] = Field(description="checkpoint SHA-256 by fold")
    episodes_per_second: float | None = Field(ge=0, description="over all runs; null if the model was not asked here")
    device_name: str | None
    source: Literal["measured", "recomputed"] = Field(description="by asking the model, or from masks it left")
    official: bool
    unofficial: tuple[str, ...]

    @property
    def comparable(self) -> tuple[str, str, int, int, str, str]:
        """Entries that agree in this were asked the same episodes and scored in the same way."""
        return (
            self.benchmark,
            self.protocol,
            self.protocol_version,
            self.shot,
            self.policy,
            self.episodes_digest,
        )


class Leaderboard(Record):
    """All entries, best first within each benchmark, protocol and number of shots."""

    schema_version: Literal[1]
    kind: Literal["fssbench-leaderboard"]
    entries: tuple[Entry, ...]

    def to_json(self) -> str:
        """The leaderboard as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"
