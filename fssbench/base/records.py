"""What all stored JSON has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

__all__ = ["Record", "Sha256", "first_error"]

Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Record(BaseModel):
    """A part of a stored file: fixed once made, and nothing in it that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


def first_error(error: ValidationError) -> str:
    """The first thing that is wrong, and where, in one line."""
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'content'}: {first['msg']}"
