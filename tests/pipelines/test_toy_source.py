"""The toy data, which fssbench draws itself."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fssbench.base.errors import StorageError
from fssbench.pipelines.sources.toy import draw_toy


def test_toy_data_that_a_killed_run_left_half_named_are_drawn_again(toy_raw: Path, tmp_path: Path) -> None:
    """The images have their name, their annotations have not yet; without a trace of that the folder is somebody's."""
    left = Path(shutil.copytree(toy_raw, tmp_path / "toy"))
    annotations = left / "annotations" / "instances_val2014.json"
    whole = annotations.read_bytes()
    annotations.unlink()
    with pytest.raises(StorageError, match="is in the way: it has no annotations beside it"):
        draw_toy(left)
    annotations.with_name(f"{annotations.name}.partial").touch()
    assert draw_toy(left)
    assert annotations.read_bytes() == whole
    assert sorted(path.name for path in left.iterdir()) == sorted(path.name for path in toy_raw.iterdir())
