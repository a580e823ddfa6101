"""Importing a user's file and what lies beside it, without mixing its packages up with anybody else's.

People's folders have packages called ``models``, ``data`` and ``utils``, and so have other people's. While a
file is imported its folder comes first, as with ``python file.py``. What it imported under a name that
something else goes by too is then taken out of sight again; the file itself keeps its own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from fssbench.base.errors import ModelError, UsageError

__all__ = ["load_file"]


@cache
def load_file(path: str) -> ModuleType:
    """Import the Python file at an absolute path, once.

    Raises:
        UsageError: there is no such file.
        ModelError: importing it failed.
    """
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}", remedy="a model of your own is given as path/to/file.py:Name")
    name = f"fssbench_user_model_{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _first(Path(path).parent):
            spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ModelError(f"importing {path} failed: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def _first(folder: Path) -> Iterator[None]:
    """Let names mean what lies in ``folder`` first; afterwards, and for imports while the model runs, last."""
    own = _importable(folder)
    aside = _take_out(lambda name: name.partition(".")[0] in own)
    entry = str(folder)
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    sys.modules.update(_outranked(folder, own))
    try:
        yield
    finally:
        sys.path.remove(entry)
        elsewhere = {name for name in own if name in aside or PathFinder.find_spec(name) is not None}
        _take_out(lambda name: name.partition(".")[0] in elsewhere)
        sys.modules.update(aside)
        if entry not in sys.path:
            sys.path.append(entry)


def _importable(folder: Path) -> set[str]:
    """Names that files and folders in ``folder`` can be imported by, but for those that are the program's own."""
    names = {file.stem for file in folder.glob("*.py")} | {inner.name for inner in folder.iterdir() if inner.is_dir()}
    return {name for name in names if name.isidentifier()} - set(sys.stdlib_module_names) - {"fssbench", "__pycache__"}


def _outranked(folder: Path, own: set[str]) -> dict[str, ModuleType]:
    """Packages of ``folder`` without an ``__init__.py``, which Python would pass over for one that has it elsewhere."""
    found = {}
    for name in own:
        bare = (folder / name).is_dir() and not (folder / name / "__init__.py").exists()
        if bare and any((folder / name).glob("*.py")) and not (folder / f"{name}.py").exists():
            found[name] = ModuleType(name)
            found[name].__path__ = [str(folder / name)]
    return found


def _take_out(chosen: Callable[[str], bool]) -> dict[str, ModuleType]:
    """Take modules out of those that count as imported; returns them by name."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if chosen(name)}
