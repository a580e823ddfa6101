"""Whether a model's masks lie where the image is, whatever its shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from fssbench.engine.any_check import ModelCheck
from fssbench.engine.askers import asker_of
from fssbench.engine.drawn import drawn_frame
from fssbench.engine.inference import PLAIN, USUAL, InferenceCost, InferenceSettings
from fssbench.engine.prepared import PreparedEpisode, prepare
from fssbench.engine.shown import Shown
from fssbench.episodes.benchmarks import TOY_CLASSES
from fssbench.models.interface import EpisodeSegmenter, FeatureSegmenter, FewShotSegmenter, Size
from fssbench.pipelines.episode_sets.stream import Frame

__all__ = ["GeometryCheck"]

SQUARE: Size = (112, 112)
SHAPES: tuple[Size, ...] = ((96, 128), (90, 160), (128, 64))
"""Queries of 3:4, 16:9 and 1:2, height first."""

LONG = SHAPES[1:]
"""Of these a mask that is stretched over padding lies so far off that nothing else explains it."""

SUPPORTS: tuple[Size, ...] = ((128, 64), (96, 128))
CLASS = 0
STRIP, AROUND = 1 / 4, 1 / 8
"""Share of a query that is changed, at one end of its shorter side, and how far around it the mask may change."""

ENOUGH = 20
"""Pixels of a mask that must change before anything is said of where."""

ASTRAY, HOME = 0.1, 0.5
"""Shares of the changed pixels that lie near what was changed: where the mask is astray, and where it is not."""


class GeometryCheck:
    """Asks episodes of images that are not square, with supports of other shapes than the query."""

    def __init__(self, check: ModelCheck, model: FewShotSegmenter) -> None:
        self.check, self.model = check, model
        self.supports = [drawn_frame(CLASS, 1 + n, size=size) for n, size in enumerate(SUPPORTS)]

    def run(self) -> None:
        """Look at answers of every shape, and at where a mask changes when a part of the query does."""
        answers = {size: self.ask(drawn_frame(CLASS, 0, size=size), f"a query of {_shape(size)}") for size in SHAPES}
        if any(answer is None for answer in answers.values()):
            return
        if isinstance(self.model, FeatureSegmenter):
            self.ways(answers)
        # What is squashed to one size comes back by stretching: its shape is out of the model's sight.
        if isinstance(self.model, EpisodeSegmenter) or self.model.preprocess.resize != "squash":
            self.places(answers)

    def ask(self, query: Frame, what: str, inference: InferenceSettings = USUAL) -> Tensor | None:
        """The mask (H, W) of a query at its own size."""
        show = self.model.preprocess
        shown = Shown(benchmark="toy-20i", class_names=dict(enumerate(TOY_CLASSES)))
        frames = [prepare(one, show, with_pixels=self.model.reads_pixels) for one in (query, *self.supports)]
        episode = PreparedEpisode(frames[0], frames[1:], [frames[0].geometry.original], 0)

        def asked() -> Tensor:
            ask = asker_of(self.model, self.check.device, inference, shown, InferenceCost())
            with inference.arithmetic(gradients=self.model.needs_gradients):
                return ask([episode]).masks[0][0].cpu()

        return self.check.tried(f"{what} with supports of {' and '.join(map(_shape, SUPPORTS))}", asked)

    def ways(self, answers: dict[Size, Tensor | None]) -> None:
        """Features that are kept give the mask that whole episodes give."""
        for size, answer in answers.items():
            plain = self.ask(drawn_frame(CLASS, 0, size=size), f"a query of {_shape(size)}, --plain", PLAIN)
            self.check.alike(
                "feature reuse, images of other shapes",
                answer,
                plain,
                what="the mask that the model gives without keeping features",
                remedy="leave predict, predict_sizes and match_episodes as they are inherited, or let them agree",
                tolerance=0.01,
            )

    def places(self, answers: dict[Size, Tensor | None]) -> None:
        """Where a part of the query changes, the mask changes: there, and not beside it."""
        square = self.ask(drawn_frame(CLASS, 0, size=SQUARE), "a square query")
        for end in (0, 1):
            if (self.near(SQUARE, square, end) or 0.0) < HOME:
                continue  # of such a model nothing can be said
            found = [(size, self.near(size, answers[size], end)) for size in LONG]
            if astray := [(size, share) for size, share in found if share is not None and share < ASTRAY]:
                size, share = astray[0]
                self.check.wrong(
                    "place of masks",
                    expected=f"a mask that changes where a query of {_shape(size)} does, as it does in a square one",
                    found=f"{share:.0%} of the changed pixels there",
                    remedy="cut the padding off before the mask is enlarged, or leave that to Preprocess(resize=…) "
                    "and return what the network gives for the whole input",
                )
                return

    def near(self, size: Size, answer: Tensor | None, end: int) -> float | None:
        """Of the pixels that change with one end of a query the share that lies near it; ``None`` of too few."""
        frame = drawn_frame(CLASS, 0, size=size)
        changed, inside = 0, 0
        for other in _changed(frame, end):
            now = self.ask(other, f"a changed query of {_shape(size)}")
            if answer is None or now is None:
                return None
            differs = (now != answer).numpy()
            changed += int(differs.sum())
            inside += int(differs[_strip(size, end, STRIP + AROUND)].sum())
        return inside / changed if changed >= ENOUGH else None


def _changed(frame: Frame, end: int) -> Iterator[Frame]:
    """A frame with one end of its shorter side in other colours, in two ways."""
    for other in (255 - frame.image, np.roll(frame.image, 1, axis=2)[::-1, ::-1]):
        image = frame.image.copy()
        strip = _strip((image.shape[0], image.shape[1]), end, STRIP)
        image[strip] = other[strip]
        yield replace(frame, image=image, key=f"{frame.key}/{end}")


def _strip(size: Size, end: int, share: float) -> tuple[slice, slice]:
    """Rows and columns at the beginning or the end of the shorter side."""
    axis = 0 if size[0] <= size[1] else 1
    width = round(share * size[axis])
    along = slice(size[axis] - width, None) if end else slice(0, width)
    return (along, slice(None)) if axis == 0 else (slice(None), along)


def _shape(size: Size) -> str:
    return f"{size[0]}×{size[1]}"
