"""The episodes of a result that were drawn, as pictures beside it, read back for pages."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Literal

from pydantic import Field

from fssbench.base.errors import ResultError
from fssbench.base.files import is_file_name
from fssbench.base.records import Record, Sha256, read_record
from fssbench.schemas.result import Result, Share

__all__ = [
    "INDEX",
    "SHEET",
    "Choice",
    "Example",
    "Examples",
    "examples_folder",
    "read_picture",
]

INDEX = "examples.json"
SHEET = "sheet.png"

Choice = Literal["worst", "median", "best"]


class Example(Record):
    """One episode and its pictures."""

    index: int = Field(ge=0, description="of the episode in its track")
    choice: Choice
    class_id: int
    class_name: str
    query: str
    supports: tuple[str, ...] = Field(description="the images the model was shown")
    iou: Share = Field(description="of this episode alone, under the headline policy")
    object_share: Share = Field(description="of the query image that the class covers")
    pictures: dict[str, str] = Field(
        description="files in the folder by what they show: support 1 …, truth, prediction, errors, and what the "
        "model compared, coarse to fine, where it has such maps"
    )


class Examples(Record):
    """The episodes of a result that were drawn."""

    schema_version: Literal[1]
    kind: Literal["fssbench-examples"]
    counts_sha256: Sha256 = Field(description="of the table of counts that they were chosen by")
    policy: str
    examples: tuple[Example, ...] = Field(description="the worst, the median and the best, each by ascending IoU")

    def to_json(self) -> str:
        """The index as it is stored: indented JSON that ends in a newline."""
        return self.model_dump_json(indent=1) + "\n"

    @staticmethod
    def beside(path: Path, result: Result) -> Examples | None:
        """The examples of the result at ``path``; ``None`` if it has none, or those of earlier counts.

        Raises `ResultError` if their index is damaged.
        """
        file = examples_folder(path) / INDEX
        if not file.is_file():
            return None
        found = read_record(
            file,
            Examples,
            error=ResultError,
            damaged="is not a list of examples",
            remedy="draw them again with eval --visualize",
        )
        return found if found.counts_sha256 == result.counts.sha256 else None


def read_picture(result: Path, file: str) -> bytes:
    """A picture of the examples of a result file; `ResultError` if it is not there."""
    path = examples_folder(result) / file
    try:
        if not is_file_name(file):
            raise OSError(errno.EINVAL, "it is not a file's name")
        return path.read_bytes()
    except OSError as error:
        raise ResultError(
            f"{path} cannot be read: {error.strerror}", remedy="draw the episodes again with eval --visualize"
        ) from error


def examples_folder(result: Path) -> Path:
    """Where the examples of a result file lie."""
    return result.with_suffix(".examples")
