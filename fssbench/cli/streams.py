"""Standard output and error as they are found: closed, full, with no reader, or of another encoding than UTF-8."""

from __future__ import annotations

import codecs
import contextlib
import os
import sys
from typing import TextIO

from fssbench.base.errors import StorageError

__all__ = ["end_output", "open_streams", "takes_all"]

PLAIN = {"→": "->", "—": "-", "–": "-", "…": "...", "·": "-", "×": "x", "±": "+/-", "≥": ">=", "≤": "<=", "†": "+"}
"""What stands for characters of ours where the encoding has none of them."""

PLAIN_NAME = "fssbench-plain"


def open_streams() -> None:
    """Make standard output and error take whatever is printed."""
    codecs.register_error(PLAIN_NAME, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us; what would be told there is lost
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=PLAIN_NAME)


def takes_all(stream: TextIO) -> bool:
    """Whether a stream can be given any text as it is."""
    return (getattr(stream, "encoding", None) or "utf-8").lower().startswith("utf")


def end_output() -> StorageError | None:
    """Write what is still held of standard output; returns the system's refusal, if it is one that must be told.

    After a refusal nothing is held any more: the interpreter, which writes it once more at its end, must not fail.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whose reader wanted no more
            return StorageError(f"cannot write standard output: {error.strerror}", remedy="fix that and run it again")
    return None


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    kept = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in kept), error.end
