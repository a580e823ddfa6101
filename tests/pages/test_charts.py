"""Charts: where things stand on them."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fssbench.pages.charts import FEWEST, MOST_POINTS, by_classes, by_size, scale_top

Floats = npt.NDArray[np.float64]
shares = st.floats(1e-6, 1)
numbers = arrays(np.float64, st.shared(st.integers(0, 40), key="n"), elements=shares)


@given(sizes=numbers, ious=numbers)
def test_everything_is_drawn_within_the_axes(sizes: Floats, ious: Floats) -> None:
    """Dots and boxes are between the ends of both axes, one dot an episode."""
    chart = by_size(sizes, ious)
    dots = [tuple(map(float, dot)) for dot in re.findall(r"M([\d.]+) ([\d.]+)h0", chart.points)]
    assert chart.shown == (len(dots), len(sizes)) == (len(sizes), len(sizes))
    for x, y in [*dots, *((box.x, box.middle) for box in chart.boxes), *((b.x + b.width, b.high) for b in chart.boxes)]:
        assert chart.left <= x <= chart.right + 0.1
        assert chart.top <= y <= chart.bottom
    assert all(box.high <= box.middle <= box.low for box in chart.boxes)


@given(sizes=numbers)
def test_larger_objects_stand_further_right(sizes: Floats) -> None:
    dots = re.findall(r"M([\d.]+) ", by_size(np.sort(sizes), sizes).points)
    assert [float(x) for x in dots] == sorted(float(x) for x in dots)


def test_boxes_are_the_middle_half_of_enough_episodes() -> None:
    """Of five episodes with one class and four with two, only the five have a box, with their quartiles."""
    ious = np.array([0.0, 0.25, 0.5, 0.75, 1.0, *[0.1] * (FEWEST - 1)])
    chart = by_classes([1] * 5 + [2] * (FEWEST - 1), ious)
    (box,) = chart.boxes
    height = chart.bottom - chart.top
    middle = [(chart.bottom - y) / height for y in (box.low, box.middle, box.high)]
    assert middle == pytest.approx([0.25, 0.5, 0.75], abs=0.001)
    assert "1 class in the image: median IoU 50 %, half between 25 and 75 %; 5 episodes" in box.text


def test_many_classes_are_one_group() -> None:
    chart = by_classes([5, 6, 7, 8, 80], np.full(5, 0.5))
    assert [box.text.partition(":")[0] for box in chart.boxes] == ["5 or more classes in the image"]


def test_of_many_episodes_some_are_dots_and_all_are_counted() -> None:
    n = 2 * MOST_POINTS + 1
    chart = by_size(np.full(n, 0.2), np.full(n, 0.5))
    assert chart.shown[0] <= MOST_POINTS
    assert chart.shown[1] == n
    assert chart.boxes[0].text.endswith(f"{n:,} episodes")


@given(values=st.lists(st.floats(0, 1)))
def test_a_scale_has_room_for_all_and_little_more(values: list[float]) -> None:
    top = scale_top(values)
    assert 0.1 <= top <= 1
    assert max(values, default=0) <= top + 1e-9
    assert top == 0.1 or max(values) > top - 0.1 - 1e-9
