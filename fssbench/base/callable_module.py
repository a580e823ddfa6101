"""A package that can be called.

``fssbench.models`` and ``fssbench.leaderboard`` are packages, and users of the library call them as functions. Python
sets a package's attribute to its subpackage as soon as anybody imports that, so a function of the same name would come
and go. A subpackage that can be called stays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["make_callable"]


def make_callable(module: str, function: Callable[..., Any]) -> None:
    """Let the imported module of this name be called as ``function``."""

    class CallableModule(ModuleType):
        __doc__ = function.__doc__

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

    sys.modules[module].__class__ = CallableModule
