"""Which images a training learns from: the published list where it is at hand, and what is said where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fssbench.base.errors import SourceError, UsageError
from fssbench.base.home import Home
from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I
from fssbench.leaderboard.reproduction.given import Given
from fssbench.leaderboard.reproduction.runs import Variant
from fssbench.pipelines.sources.image_order import has_lists
from fssbench.pipelines.training_sets.lists import listed_pairs
from fssbench.pipelines.training_sets.published import FAMILIES, Published, published

__all__ = ["TrainingImages", "told", "training_images"]

MERGED = "voc_sbd_merge_noduplicate.txt"
"""VOC's images to train on and those of SBD that VOC's validation has not; HDMNet's lists are made of them."""
BASE_LEARNERS = {"pspnet": "hdmnet"}
"""Beside whose lists lies `MERGED`, the file of all images that a base learner was trained on."""
NAMED = {"hsnet": "HSNet's folder data/splits", "hdmnet": "HDMNet's folder lists"}


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """What one training learns from.

    Attributes:
        path: for ``--list``; ``None`` for all images of the training set.
        pairs: of image and class in ``path``, where it says so itself.
        published: the list that the paper's model was trained on, where one is known.
        folder: that holds such lists, in words, for who has them.
    """

    path: Path | None
    pairs: int | None
    published: Published | None
    folder: str | None

    def as_json(self) -> dict[str, object]:
        """What a script wants to know."""
        known = self.published
        return {
            "list": None if self.path is None else str(self.path),
            "pairs": self.pairs,
            "published_pairs": None if known is None else known.pairs,
            "published_list": None if known is None else known.label,
        }


def told(model: str, benchmark: str, images: Mapping[int, TrainingImages], *, home: Home) -> str:
    """What the trainings of a model on some folds learn from, in a sentence; all from one list, or none from any."""
    first = next(iter(images.values()))
    who = f"{model} learns {benchmark}'s fold{'s' if len(images) > 1 else ''} {_joined(images)}"
    if first.path is not None:
        return f"{who} from {_of([one.pairs for one in images.values()])}{first.path}"
    if first.folder is None:
        return f"{who} from all images, as published"
    family = FAMILIES.get(model) or BASE_LEARNERS[model]
    sizes = _of([None if one.published is None else one.published.pairs for one in images.values()])
    where = f"pass --train-list {model}=FOLDER with {first.folder}, or put that at {home.splits(family)}"
    return f"{who} from all images, not from {sizes}the published list; {where}"


def _of(sizes: Iterable[int | None]) -> str:
    known = [f"{n:,}" for n in sizes if n is not None]
    return f"{_joined(known)} pairs of image and class of " if known else ""


def _joined(parts: Iterable[object]) -> str:
    *most, last = map(str, parts)
    return f"{', '.join(most)} and {last}" if most else last


def training_images(variant: Variant, fold: int, *, given: Given, home: Home) -> TrainingImages:
    """What a training learns from: the list it is given, or the published one in the home, or all images.

    Raises:
        UsageError: a list that was given does not exist.
        SourceError: it has no list of this fold, or a malformed one.
    """
    family = _family(variant)
    known = published(variant.model, variant.benchmark, fold)
    everything = TrainingImages(path=None, pairs=None, published=known, folder=NAMED[family] if family else None)
    asked = given.image_list(variant)
    if asked == "none":
        return everything
    if asked is not None:
        path = Path(asked)
        if not path.exists():
            raise UsageError(f"--train-list: there is no {path}", remedy="name a file of images, or a folder of lists")
        return replace(everything, path=path) if path.is_file() else _in(path, variant, fold, everything)
    if family and (path := home.splits(family)).is_dir():
        with suppress(SourceError):  # a home with lists of test images alone is as good as one without
            return _in(path, variant, fold, everything)
    return everything


def _family(variant: Variant) -> str | None:
    """Whose lists a model was trained on; ``None`` if it was on all images of its training set."""
    if variant.benchmark is PASCAL_5I or (variant.benchmark is COCO_20I and variant.model in FAMILIES):
        return FAMILIES.get(variant.model) or BASE_LEARNERS.get(variant.model)
    return None


def _in(folder: Path, variant: Variant, fold: int, everything: TrainingImages) -> TrainingImages:
    """The list of a fold in a folder of one paper's lists, or of several such folders."""
    if (family := _family(variant)) is None:
        return everything
    folder = own if (own := folder / family).is_dir() else folder
    merged = next((path for path in (folder / "pascal" / MERGED, folder / MERGED) if path.is_file()), None)
    instead = merged if family == "hdmnet" and variant.benchmark is PASCAL_5I else None
    try:
        if variant.model in BASE_LEARNERS or has_lists(folder, variant.benchmark) != (family == "hdmnet"):
            raise SourceError(
                f"{folder} has no lists for {variant.model} to learn from", remedy=f"name {NAMED[family]}"
            )
        pairs = len(listed_pairs(folder, variant.benchmark, fold))
    except SourceError:
        if instead is None:
            raise
        return replace(everything, path=instead)  # a fold's list follows from it by the recipe's rule
    return replace(everything, path=folder, pairs=pairs)
