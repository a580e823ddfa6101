"""The package as it is imported: cheap, complete, and the same names for people and type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fssbench

HEAVY = (
    "torch",
    "timm",
    "transformers",
    "torchvision",
    "numpy",
    "pandas",
    "pyarrow",
    "datasets",
    "webdataset",
    "pydantic",
    "PIL",
)


def test_importing_it_imports_nothing_heavy() -> None:
    script = f"import fssbench, sys; print([name for name in {HEAVY} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", fssbench.__all__)
def test_every_promised_name_is_there_and_documented(name: str) -> None:
    value = getattr(fssbench, name)
    assert name in dir(fssbench)
    assert isinstance(value, str) or value.__doc__


def test_type_checkers_are_told_of_every_promised_name() -> None:
    """What is imported for them alone is what ``__all__`` names, the version aside."""
    tree = ast.parse(Path(fssbench.__file__).read_text())
    (told,) = (node for node in tree.body if isinstance(node, ast.If))
    names = {
        alias.asname or alias.name for node in told.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert names == {*fssbench.__all__} - {"__version__"}


def test_an_unknown_name_is_refused_as_python_does() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'evalute'"):
        _ = fssbench.evalute


def test_models_and_leaderboard_are_packages_and_functions(tmp_path: Path) -> None:
    import fssbench.leaderboard
    import fssbench.models

    assert "hsnet" in fssbench.models()
    with pytest.raises(fssbench.FssbenchError, match="there is no folder"):
        fssbench.leaderboard(tmp_path / "nowhere")
