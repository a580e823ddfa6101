"""What all stored JSON has in common."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Annotated, Protocol, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from fssbench.base.errors import FssbenchError

__all__ = ["Printable", "Record", "Sha256", "first_error", "read_record", "without_mark"]

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"it must be text that can be printed in one line, got {text!r}")
    return text


Printable = Annotated[str, AfterValidator(_printable)]
"""Text of a stranger that is shown as it is: it may not move a terminal's cursor, or begin a line of its own."""


class Record(BaseModel):
    """A part of a stored file: fixed once made, and nothing in it that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Readable(Protocol):
    """A file, here or elsewhere."""

    def read_bytes(self) -> bytes:
        """What it holds; `OSError` if it cannot be read."""


R = TypeVar("R", bound=Record)


def read_record(
    path: Readable,
    kind: type[R],
    *,
    error: type[FssbenchError],
    damaged: str,
    remedy: str,
    absent: str = "",
    bring: str = "check the path",
) -> R:
    """The record that a JSON file holds.

    Args:
        error: what to raise if it holds none.
        damaged: what to say of a file that holds something else, such as ``is no result``.
        remedy: what to do about that.
        absent: what to say if there is no such file.
        bring: what to do if it cannot be read.
    """
    try:
        return kind.model_validate_json(without_mark(path.read_bytes()))
    except OSError as failure:
        missing = absent and isinstance(failure, FileNotFoundError | NotADirectoryError)
        said = absent if missing else f"{path} cannot be read"
        remedy = bring if missing or not absent else "check who may read it"
        raise error(f"{said}: {failure.strerror or failure}", remedy=remedy) from failure
    except ValidationError as failure:
        raise error(f"{path} {damaged}: {first_error(failure)}", remedy=remedy) from failure


def without_mark(data: bytes) -> bytes:
    """A text in UTF-8 without the byte order mark that editors of Windows put before it."""
    return data.removeprefix(BOM_UTF8)


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, and where, in one line."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'content'}: {first['msg']}"
