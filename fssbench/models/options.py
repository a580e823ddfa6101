"""Options of models as people write them, and as the code that takes them wants them.

Options are plain: what TOML and JSON have, so that a result can record them. What kind of value a model wants is said
by the annotation of its argument, or else by its default.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Literal

from fssbench.base.errors import UsageError
from fssbench.base.toml import parse_toml

__all__ = ["from_text", "to_wanted", "wanted_by"]

Wanted = Any
"""A type, such as ``int``, ``Literal["a", "b"]`` or ``list[int] | None``; ``Any`` where nobody says what is wanted."""

UNIONS: tuple[object, ...] = (typing.Union, types.UnionType)
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "none"}


def wanted_by(factory: Callable[..., object]) -> dict[str, Wanted]:
    """What each argument of a function or class is to be."""
    try:
        parameters = inspect.signature(factory, eval_str=True).parameters
    except Exception:  # an annotation that only a type checker can read
        parameters = inspect.signature(factory).parameters
    return {name: _wanted(one) for name, one in parameters.items()}


def _wanted(parameter: inspect.Parameter) -> Wanted:
    if parameter.annotation is not parameter.empty and not isinstance(parameter.annotation, str):
        default = parameter.default
        return parameter.annotation | None if default is None and _joins(parameter.annotation) else parameter.annotation
    if isinstance(parameter.default, (bool, str)):
        return type(parameter.default)
    return float | int if isinstance(parameter.default, (int, float)) else Any


def _joins(annotation: Wanted) -> bool:
    """Whether ``| None`` can be put behind it."""
    return isinstance(annotation, (type, types.UnionType, types.GenericAlias))


def to_wanted(value: object, wanted: Wanted, *, option: str, model: str, default: object) -> object:
    """A plain value, or one that is of the kind already, as what is wanted; `UsageError` if it is not that."""
    try:
        return _made(value, wanted)
    except ValueError:
        known = "" if default is inspect.Parameter.empty else f"its default is {_shown(default)}"
        raise UsageError(
            f"option '{option}' of model '{model}' must be {_named(wanted)}, got {value!r}", remedy=known
        ) from None


def from_text(text: str, wanted: Wanted = Any) -> Any:
    """The plain value that text stands for, where ``wanted`` is asked for; the likeliest if it stands for none.

    It is read as TOML has it, or else it is text. For a list, commas are enough; ``none`` is Python's ``None`` where
    text is not wanted.
    """
    readings = list(_readings(text))
    for value in readings:
        try:
            _made(value, wanted)
        except ValueError:
            continue
        return value
    return readings[0]


def _readings(text: str) -> Iterator[Any]:
    yield _toml(text)
    yield text
    if text in ("True", "False"):
        yield text == "True"
    if text in ("none", "None"):
        yield None
    parts = [part.strip() for part in text.strip("()").split(",") if part.strip()]
    yield [_toml(part) for part in parts]
    yield parts


def _toml(text: str) -> Any:
    try:
        return parse_toml(f"value = {text}")["value"]
    except ValueError:
        return text


def _made(value: object, wanted: Wanted) -> object:
    """``value`` as what is wanted; `ValueError` if it is not that.

    As JSON is read strictly: numbers are not made of text, but paths, members of an enumeration and tuples are.
    """
    if wanted is Any:
        return value
    if isinstance(value, str) and (names := [one for one in _enumerations(wanted) if value in one.__members__]):
        return names[0][value]
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

    try:
        try:
            adapter: TypeAdapter[object] = TypeAdapter(wanted, config=ConfigDict(arbitrary_types_allowed=True))
            return adapter.validate_python(value, strict=True)
        except ValidationError:
            return adapter.validate_json(json.dumps(value), strict=True)
    except TypeError as error:  # what JSON has not, such as a model
        raise ValueError from error
    except (PydanticUserError, NameError):  # an annotation that says nothing to pydantic
        return value


def _origin(wanted: Wanted) -> object:
    """Such as ``list`` of ``list[int]``."""
    return typing.get_origin(wanted)


def _enumerations(wanted: Wanted) -> Iterator[type[Enum]]:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        yield wanted
    elif _origin(wanted) in UNIONS:
        for one in typing.get_args(wanted):
            yield from _enumerations(one)


def _named(wanted: Wanted) -> str:
    """A kind of value for people."""
    origin, arguments = _origin(wanted), typing.get_args(wanted)
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in UNIONS:
        kinds = [one for one in arguments if one is not int or float not in arguments]
        return " or ".join(dict.fromkeys(map(_named, kinds)))
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return f"one of {', '.join(wanted.__members__)}"
    if list in (wanted, origin) or tuple in (wanted, origin):
        return 'a list, as in ["a", "b"]' if str in arguments else "a list, as in [1, 2]"
    return NAMES.get(wanted) or getattr(wanted, "__name__", None) or str(wanted)


def _shown(default: object) -> str:
    return default.name if isinstance(default, Enum) else f"{default}"
