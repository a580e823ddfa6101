"""Which files a user's file imports from its own folder, and which packages from elsewhere, read from the source.

Imports inside functions are found too, so that what a model will import while it runs is known before it does.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["own_imports"]


def own_imports(file: Path) -> tuple[frozenset[Path], frozenset[str]]:
    """The file with all it imports from its folder, however indirectly; and the top names of what lies elsewhere."""
    root = file.parent
    found, elsewhere, waiting = {file}, set(), [file]
    while waiting:
        current = waiting.pop()
        for name in _imported_names(current, root):
            files = set(_files(name, root))
            if not files:
                elsewhere.add(name.partition(".")[0])
            waiting += files - found
            found |= files
    return frozenset(found), frozenset(elsewhere - set(sys.stdlib_module_names))


def _imported_names(file: Path, root: Path) -> Iterator[str]:
    """Whole names that a file imports; of ``from a import b`` both ``a`` and, if it is a module here, ``a.b``."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # importing it says what is wrong
    package = file.relative_to(root).parts[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            if base:
                yield base
            for alias in node.names:
                name = ".".join(filter(None, (base, alias.name)))
                if any(True for _ in _module_files(name, root)):
                    yield name


def _files(name: str, root: Path) -> Iterator[Path]:
    """The files that importing a whole name runs: of every package on the way, and its own."""
    parts = name.split(".")
    for n in range(1, len(parts) + 1):
        yield from _module_files(".".join(parts[:n]), root)


def _module_files(name: str, root: Path) -> Iterator[Path]:
    path = root.joinpath(*name.split("."))
    for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
        if file.is_file():
            yield file
            return
