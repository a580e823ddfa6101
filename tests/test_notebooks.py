"""The notebooks run from top to bottom, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs" / "notebooks").glob("*.ipynb"))


def code_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_what_a_run_left(notebook: Path) -> None:
    """Outputs grow old, and say whose machine they are from."""
    for cell in json.loads(notebook.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "run.py").write_text(code_of(notebook))
    own = {"FSSBENCH_HOME": str(tmp_path / "home"), "MPLBACKEND": "agg", "MPLCONFIGDIR": str(tmp_path / "plots")}
    ran = subprocess.run([sys.executable, "run.py"], cwd=tmp_path, env=os.environ | own, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "points of mIoU better than" in ran.stdout
