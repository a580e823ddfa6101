"""The list of files in an archive of results."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from fssbench.base.records import Record, Sha256

__all__ = ["Packed", "Submission"]


class Packed(Record):
    """One file of an archive."""

    name: str
    bytes: int = Field(ge=0)
    sha256: Sha256


class Submission(Record):
    """The list of an archive's files."""

    schema_version: Literal[1]
    kind: Literal["fssbench-submission"]
    files: tuple[Packed, ...] = Field(description="all but this list, by name")

    def to_json(self) -> str:
        """The list as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"
