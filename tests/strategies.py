"""Hypothesis strategies shared by the tests."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Mask = npt.NDArray[np.bool_]

shapes = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


def masks(shape: tuple[int, ...] | st.SearchStrategy[tuple[int, ...]] = shapes) -> st.SearchStrategy[Mask]:
    """Binary masks (H, W)."""
    return hnp.arrays(np.bool_, shape)


def mask_groups(n: int) -> st.SearchStrategy[tuple[Mask, ...]]:
    """``n`` binary masks of one shape."""
    return shapes.flatmap(lambda shape: st.tuples(*(masks(shape) for _ in range(n))))


def labelled() -> st.SearchStrategy[tuple[Mask, ...]]:
    """A prediction, a truth, and pixels to ignore, which are not foreground; of one shape."""
    return mask_groups(3).map(lambda group: (group[0], group[1] & ~group[2], group[2]))


def pools(*, n_classes: int = 5, min_images: int = 2, max_images: int = 12) -> st.SearchStrategy[dict[int, list[str]]]:
    """Eligible images of a fold: distinct ids for each of some classes, in any order."""
    ids = st.lists(
        st.integers(0, 999_999).map(lambda n: f"{n:012d}"), min_size=min_images, max_size=max_images, unique=True
    )
    return st.dictionaries(st.integers(0, 79), ids, min_size=1, max_size=n_classes)
