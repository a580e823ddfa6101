"""Importing a user's file and what lies beside it, without mixing its packages up with anybody else's.

People's folders have packages called ``models``, ``data`` and ``utils``, and so have other people's. While a
file is imported its folder comes first, as with ``python file.py``. What it imported under a name that
something else goes by too is then taken out of sight again, until the model is built or asked.

All that comes from the folder is hashed as it is imported, since a result is of that code and of no other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

from fssbench.base.errors import ModelError, UsageError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.models.blame import described
from fssbench.models.own_imports import own_imports

__all__ = ["UserCode", "load_file"]

PREFIX = "fssbench_user_model_"
OTHERS = {"site-packages", "dist-packages"}
"""Folders of packages that are not the user's own, wherever they lie."""


@dataclass(frozen=True, kw_only=True, eq=False)
class UserCode:
    """An imported file, and the code that it consists of.

    Attributes:
        file: the file that was imported.
        module: what importing it gave.
        packages: top names of what it imports from elsewhere, such as ``timm``.
        hashes: SHA-256 of each file of the folder that it imports, by path relative to the folder.
        running: those of them that have been imported; what is not may still change on disk.
        before: the modules that were there before it, which are none of its own.
        own: its modules by name, whatever else goes by these names meanwhile.
    """

    file: Path
    module: ModuleType
    packages: frozenset[str]
    hashes: dict[str, str]
    running: set[str] = field(default_factory=set)
    before: dict[str, ModuleType] = field(default_factory=dict, repr=False)
    own: dict[str, ModuleType] = field(default_factory=dict, repr=False)

    @property
    def sha256(self) -> str:
        """Of the file if it is all there is, else of a line a file: hash and path."""
        if len(self.hashes) == 1:
            return next(iter(self.hashes.values()))
        return sha256_bytes("".join(f"{sha}  {name}\n" for name, sha in sorted(self.hashes.items())).encode())

    @property
    def unchanged(self) -> bool:
        """Whether all of it lies on disk as it was hashed."""
        return all(
            (path := self.file.parent / name).is_file() and sha256_file(path) == sha
            for name, sha in self.hashes.items()
        )

    @contextmanager
    def in_sight(self) -> Iterator[None]:
        """While the block runs, names mean this code, as with ``python file.py``: for what is imported late."""
        with _first(self.file.parent, self.own):
            yield

    def add_imported(self) -> None:
        """Hash what was imported from the folder since, such as while the model was built."""
        for name in self._imported() - self.running:
            self._require_unchanged(name)
            self.hashes.setdefault(name, sha256_file(self.file.parent / name))
            self.running.add(name)

    def require_hashed(self) -> None:
        """Raise `ModelError` if code of the folder was imported since that is not the code that was hashed."""
        for name in self._imported() - self.running:
            if name not in self.hashes:
                raise ModelError(
                    f"{self.file.name} imported {name} while it ran, so its code is not part of what results name",
                    remedy=f"write the import as a statement, best at the top of {self.file.name}, and evaluate again",
                )
            self._require_unchanged(name)
            self.running.add(name)

    def _require_unchanged(self, name: str) -> None:
        path = self.file.parent / name
        if name in self.hashes and sha256_file(path) != self.hashes[name]:
            raise ModelError(
                f"{path} changed between the start of the run and its import, so results would be of neither code",
                remedy="evaluate again",
            )

    def _imported(self) -> set[str]:
        """Files of the folder that modules were made of since the import began, but for other users' files."""
        new = (m for name, m in list(sys.modules.items()) if m is not self.before.get(name) and _is_own(name, self))
        return {name for module in new if (name := _below(module, self.file.parent))}


_loaded: dict[str, UserCode] = {}


def load_file(path: str) -> UserCode:
    """Import the Python file at an absolute path; once, unless its code changes.

    Raises:
        UsageError: there is no such file.
        ModelError: importing it failed.
    """
    if not Path(path).is_file():
        raise UsageError(f"there is no file {path}", remedy="a model of your own is given as path/to/file.py:Name")
    if path not in _loaded or not _loaded[path].unchanged:
        _loaded[path] = _import(path)
    return _loaded[path]


def _import(path: str) -> UserCode:
    name = f"{PREFIX}{hashlib.sha256(path.encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ModelError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    file = Path(path)
    files, packages = own_imports(file)
    hashes = {one.relative_to(file.parent).as_posix(): sha256_file(one) for one in files}
    code = UserCode(file=file, module=module, packages=packages, hashes=hashes)
    try:
        with code.in_sight():
            code.before.update(sys.modules)
            sys.modules[name] = module
            spec.loader.exec_module(module)
            code.add_imported()
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, (Exception, SystemExit)) and not isinstance(error, ModelError):
            raise ModelError(f"importing {path} failed: {described(error)}") from error
        raise
    return code


def _is_own(name: str, code: UserCode) -> bool:
    return not name.startswith(PREFIX) or name == code.module.__name__


def _below(module: ModuleType, folder: Path) -> str | None:
    """A module's file relative to ``folder``, if it lies below it and belongs to no installed package."""
    try:
        file = Path(getattr(module, "__file__", None) or "")
        path = file.resolve().relative_to(folder)
    except (TypeError, ValueError, OSError):
        return None
    if not file.is_absolute():
        return None  # torch's own, which are made of nothing
    return None if OTHERS & set(path.parts) or not path.suffix else path.as_posix()


@contextmanager
def _first(folder: Path, known: dict[str, ModuleType]) -> Iterator[None]:
    """Let names mean what lies in ``folder`` first, and afterwards last; ``known`` is of earlier such blocks."""
    own = _importable(folder)
    aside = _take_out(lambda name: name.partition(".")[0] in own)
    entry = str(folder)
    sys.path.insert(0, entry)
    importlib.invalidate_caches()
    sys.modules.update(_outranked(folder, own) | known)
    try:
        yield
    finally:
        sys.path.remove(entry)
        known.update({name: module for name, module in sys.modules.items() if name.partition(".")[0] in own})
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
