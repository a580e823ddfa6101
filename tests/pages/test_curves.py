"""Line charts and learning curves: where things stand on them, and how soon a training was how good."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from command import Command
from hypothesis import given
from hypothesis import strategies as st

from fssbench.base.errors import TrainingError, UsageError
from fssbench.pages.curves import read_curves
from fssbench.pages.lines import MOST_POINTS, Series, line_chart, round_ticks

values = st.floats(-1e6, 1e6)


@given(ends=st.tuples(values, values).map(sorted), most=st.integers(3, 10))
def test_ticks_are_few_round_steps_around_the_ends(ends: list[float], most: int) -> None:
    low, high = ends
    ticks = round_ticks(low, high, most=most)
    assert 2 <= len(ticks) <= most
    slack = 2e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert high <= ticks[-1] + slack
    assert {f"{b - a:.2e}"[:4] for a, b in pairwise(ticks)} <= {"1.00", "2.00", "5.00"}


@given(points=st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e3)), min_size=1, max_size=2 * MOST_POINTS))
def test_lines_are_drawn_within_the_axes(points: list[tuple[float, float]]) -> None:
    chart = line_chart("t", [Series(name="a", number=9, points=sorted(points))], x_name="x", y_name="y")
    assert chart is not None
    (line,) = chart.lines
    places = [tuple(map(float, place.split())) for place in line.path[1:].split("L")]
    assert len(places) <= MOST_POINTS
    for x, y in places:
        assert chart.left <= x <= chart.right + 0.1
        assert chart.top - 0.1 <= y <= chart.bottom + 0.1
    assert all(chart.left <= tick.at <= chart.right + 0.1 for tick in chart.x)


def run(folder: Path, validated: list[float], *, losses: tuple[str, ...] = ("segmentation",)) -> Path:
    """A training's folder with a validation every ten steps."""
    folder.mkdir(parents=True)
    lines = []
    for n, miou in enumerate(validated, 1):
        parts = dict.fromkeys(losses, 0.5 / n)
        lines.append({"step": 10 * n, "loss": 1 / n, "parts": parts, "rate": 1e-3, "miou": miou})
        lines.append({"step": 10 * n, "validated": miou, "best": False})
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_how_soon_is_told_by_the_level_that_all_reached(tmp_path: Path) -> None:
    """The slow run has its best, 40 %, after five validations; the fast one has as much after one."""
    slow = run(tmp_path / "slow", [0.1, 0.2, 0.36, 0.38, 0.4])
    fast = run(tmp_path / "fast", [0.45, 0.5, 0.5])
    found = read_curves([slow, fast])
    assert (found.unit, found.level) == ("steps", 40)
    first, second = found.reached
    assert (first.best, first.best_at, first.after, first.sooner) == (40, 50, (30, 40, 50), 1)
    assert (second.best, second.best_at, second.after, second.sooner) == (50, 20, (10, 10, 10), 5)
    assert [chart.title for chart in found.charts] == ["mIoU of validation", "mIoU of training", "Loss of training"]


def test_every_loss_has_a_chart_where_there_are_several(tmp_path: Path) -> None:
    found = read_curves([run(tmp_path / "a", [0.1, 0.2], losses=("meta", "base"))])
    assert [chart.title for chart in found.charts][-2:] == ["Loss of training: meta", "Loss of training: base"]


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    paths = [run(tmp_path / home / "hsnet", [0.1, 0.2]) for home in ("a", "b")]
    assert [one.name for one in read_curves(paths).reached] == ["a/hsnet", "b/hsnet"]
    with pytest.raises(UsageError, match="a training was named twice"):
        read_curves([paths[0], paths[0]])
    with pytest.raises(TrainingError, match=r"there is no training in .*: log.jsonl is missing or empty"):
        read_curves([tmp_path])


def test_curves_are_drawn_from_the_command_line(fssbench: Command, tmp_path: Path) -> None:
    slow, fast = run(tmp_path / "slow<b>", [0.1, 0.2, 0.4]), run(tmp_path / "fast", [0.5])
    page = tmp_path / "page.html"
    ran = fssbench("curves", slow, fast, "--output", page)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        "slow<b>: best mIoU 40.0 % after 30 steps; 40.0 % after 30 steps",
        "fast: best mIoU 50.0 % after 10 steps; 40.0 % after 10 steps, 3.0 times as soon as the last",
        f"→ {page}",
    ]
    html = page.read_text()
    assert "slow&lt;b&gt;" in html
    assert "<b>" not in html
    assert html.count("<figure") == 3
    assert fssbench("curves", tmp_path / "nowhere").code == 2
