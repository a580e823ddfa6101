"""Errors of other people's code, told as theirs: what was raised, and in which of their lines."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fssbench.base.errors import FssbenchError, ModelError, first_line

__all__ = ["blamed", "called", "described", "remedy_of"]

PACKAGE = Path(__file__).parents[1]
WITHOUT_GRADIENTS = ("require grad", "nference tensor")
"""What torch says where gradients are computed that nobody enabled."""
LIBRARIES = (f"{PACKAGE}/", f"{sysconfig.get_paths()['stdlib']}/", "<")
INSTALLED = {"site-packages", "dist-packages"}


@contextmanager
def blamed(owner: object, *, doing: str = "") -> Iterator[None]:
    """Let what the code of ``owner`` raises in the block be a `ModelError` that names it.

    What a model of fssbench raises is a defect of fssbench, and left as it is; so is a refusal with its reason.

    Args:
        owner: a model, its class, or a function.
        doing: when that was, for the message.
    """
    try:
        yield
    except (FssbenchError, KeyboardInterrupt):
        raise
    except BaseException as error:  # nobody's exit ends fssbench but its own
        if _is_ours(owner):
            raise
        raise ModelError(
            f"{called(owner)} failed{doing and f' {doing}'}: {described(error)}",
            remedy=f"{remedy_of(error)}; --debug shows all of it",
        ) from error


def called(owner: object) -> str:
    """The name of a function or class, or of the class of an object."""
    return str(getattr(owner, "__qualname__", "")).rpartition("<locals>.")[2] or type(owner).__name__


def described(error: BaseException) -> str:
    """What was raised, in one line, with the last of the lines that are neither of fssbench nor of a library."""
    if isinstance(error, SystemExit):
        said = f"it called sys.exit({error.code!r})"
    else:
        kind, line = type(error).__name__, first_line(error)
        said = kind if line == kind else f"{kind}: {line}"
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename)]
    return f"{said} ({own[-1].filename}, line {own[-1].lineno})" if own else said


def remedy_of(error: BaseException) -> str:
    """What its author can do about it."""
    if isinstance(error, RuntimeError) and any(words in str(error) for words in WITHOUT_GRADIENTS):
        return "set needs_gradients = True on the model if it learns while it answers"
    return "fix that"


def _is_own(filename: str) -> bool:
    return not filename.startswith(LIBRARIES) and not INSTALLED & set(Path(filename).parts)


def _is_ours(owner: object) -> bool:
    kind = owner if inspect.isroutine(owner) or inspect.isclass(owner) else type(owner)
    return f"{getattr(kind, '__module__', '')}.".startswith("fssbench.")
