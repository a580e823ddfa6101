"""The kit: ten episodes small enough to count by hand, and the right answers for them.

docs/background/conformance.md counts them. Between them they hold what tools treat in different ways: no truth, no
prediction, neither, nothing but ignored pixels, a border of ignored pixels, an image that is asked for
twice, objects of very different size in one class, and a class without episodes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from fssbench.scoring.metrics import Scores, count, score, split_ignore

__all__ = ["ABSENT", "CLASSES", "IGNORE_LABEL", "PAIRS", "Pair", "right_answers"]

IGNORE_LABEL = 255
PIXELS = {".": 0, "#": 1, "x": IGNORE_LABEL}

CLASSES = {1: "boat", 2: "cup", 3: "bird", 4: "dog"}
"""The classes of the kit's fold."""
ABSENT = 4
"""The class without episodes."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One episode: a predicted mask of a query, and its truth.

    Attributes:
        class_id: the class that was asked for, a key of `CLASSES`.
        query: the id of the query image.
        about: what the pair is there for.
        prediction: H rows of W characters, ``.`` background and ``#`` foreground.
        truth: H rows of W characters, likewise, and ``x`` ignored.
    """

    class_id: int
    query: str
    about: str
    prediction: tuple[str, ...]
    truth: tuple[str, ...]

    @property
    def predicted(self) -> npt.NDArray[np.uint8]:
        """The predicted mask (H, W), uint8 in {0, 1}."""
        return _pixels(self.prediction)

    @property
    def label(self) -> npt.NDArray[np.uint8]:
        """The truth as a label map (H, W), uint8 in {0, 1, 255}."""
        return _pixels(self.truth)


def _pixels(rows: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    return np.array([[PIXELS[pixel] for pixel in row] for row in rows], dtype=np.uint8)


def _pair(class_id: int, query: str, about: str, *rows: str) -> Pair:
    """A pair from rows that show prediction and truth side by side."""
    prediction, truth = zip(*(row.split() for row in rows), strict=True)
    return Pair(class_id=class_id, query=query, about=about, prediction=prediction, truth=truth)


PAIRS = (
    _pair(
        *(1, "harbour", "a large object"),
        ".#### #####",
        ".#### #####",
        ".#### #####",
        "..... .....",
    ),
    _pair(
        *(1, "horizon", "a very small object"),
        "###.. .....",
        "####. .#...",
        "..... .....",
        "..... .....",
    ),
    _pair(
        *(1, "beach", "no truth"),
        "#.... .....",
        "###.. .....",
        "..... .....",
        "..... .....",
    ),
    _pair(
        *(1, "fog", "everything ignored"),
        ".#... xxxxx",
        "###.. xxxxx",
        "..... xxxxx",
        "..... xxxxx",
    ),
    _pair(
        *(2, "table", "an ordinary pair"),
        "..... .....",
        "..... .###.",
        ".#### .###.",
        ".#### .....",
    ),
    _pair(
        *(2, "shelf", "a border of ignored pixels"),
        "..... xxxx.",
        "..### x##x.",
        "..### x##x.",
        "..### xxxx.",
    ),
    _pair(
        *(2, "desk", "neither truth nor prediction"),
        "..... .....",
        "..... .....",
        "..... .....",
        "..... .....",
    ),
    _pair(
        *(3, "roof", "no prediction"),
        "..... ..#..",
        "..... .###.",
        "..... .....",
        "..... .....",
    ),
    _pair(
        *(3, "pond", "an image that is asked for twice"),
        "###.. .....",
        ".#... .##..",
        "..... .##..",
        "..... .##..",
    ),
    _pair(
        *(3, "pond", "the same image again"),
        "..... .....",
        ".##.. .##..",
        ".##.. .##..",
        "..... .##..",
    ),
)
"""The episodes, in the order in which they are asked."""


def right_answers(classes: Collection[int] = tuple(CLASSES)) -> Scores:
    """The scores of the kit over ``classes``: all of the fold, or only those that occur.

    Over all of them mIoU is undefined, because one has no episodes. Without it mIoU has a value.
    """
    counts = []
    for pair in PAIRS:
        truth, ignored = split_ignore(pair.label, ignore_label=IGNORE_LABEL)
        counts.append(astuple(count(pair.predicted, truth, ignore=ignored)))
    class_ids = np.array([pair.class_id for pair in PAIRS], dtype=np.int64)
    return score(class_ids, np.array(counts, dtype=np.int64), classes={c: CLASSES[c] for c in classes})
