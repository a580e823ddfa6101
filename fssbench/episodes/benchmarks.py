"""The benchmarks of few-shot segmentation: their classes, folds and names.

A class is known by its 0-based index; a fold by the indices of its *novel* classes, those that are
tested and never trained on. Everything else is a *base* class of that fold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from typing import Any

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.base.toml import parse_toml

__all__ = [
    "BENCHMARKS",
    "COCO_20I",
    "COCO_20I_CONTIGUOUS",
    "COCO_20I_TO_PASCAL",
    "COCO_CLASSES",
    "FSS_1000",
    "PASCAL_5I",
    "TOY_20I",
    "VOC_CLASSES",
    "Benchmark",
    "Rules",
    "find_benchmark",
]

FILES = ("lvis-92i", "isaid-5i", "deepglobe", "isic", "chest-xray")
"""Benchmarks that a data file describes, which is ``benchmark_files/NAME.toml``."""

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip

COCO_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag",
    "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat",
    "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork",
    "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog",
    "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv",
    "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip

# What COCO calls the classes of VOC that it calls otherwise.
VOC_IN_COCO = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}

TOY_COLOURS = ("red", "amber", "green", "teal", "blue", "violet", "pink", "grey")
TOY_SHAPES = (
    "disc", "square", "triangle", "star", "cross", "ring", "diamond", "crescent", "arrow", "hexagon",
)  # fmt: skip
TOY_CLASSES = tuple(f"{colour} {shape}" for colour in TOY_COLOURS for shape in TOY_SHAPES)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a benchmark's data file says beside its classes and folds.

    Attributes:
        source: where its classes, folds and files are taken from.
        unverified: what nobody has held against the published data yet; no result is official before.
        obtain: where the data is to be had, and what to do with it.
        episodes: of a track of the protocol ``strict``.
        min_pixels: the least mask pixels, at original size, for an image to serve a class in that protocol.
        layout: its files, as `fssbench.pipelines.sources` reads them.
    """

    source: str
    unverified: str
    obtain: str
    episodes: int
    min_pixels: int
    layout: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A set of classes and the way they are dealt into folds.

    Attributes:
        name: folder and result name, such as ``coco-20i``.
        alias: the short name on the command line, such as ``coco``.
        title: the name papers print, such as ``COCO-20i``.
        n_classes: number of classes; class indices run from 0 to ``n_classes - 1``.
        class_names: one name per class index, or ``None`` where only the data's own lists name them.
        folds: for every fold the ascending indices of its novel classes.
        ignore_label: the mask value of pixels that are not scored, or ``None`` if there are none.
        published: whether papers report on it; results on anything else are never official.
        shares_data_of: the alias of the benchmark whose raw data it is made of, if that is another.
        validation_classes: the ascending class indices that are neither tested nor trained on, but kept to choose
            between models by; none where publications set none apart.
        trained_on: the alias of the benchmark whose fold of the same number its models are trained on, if
            that is another: a shift of domain.
        rules: what its data file says besides, if a data file describes it.
    """

    name: str
    alias: str
    title: str
    n_classes: int
    class_names: tuple[str, ...] | None
    folds: tuple[tuple[int, ...], ...]
    ignore_label: int | None = None
    published: bool = True
    shares_data_of: str | None = None
    validation_classes: tuple[int, ...] = ()
    trained_on: str | None = None
    rules: Rules | None = field(default=None, compare=False)

    @property
    def raw(self) -> str:
        """Whose raw data it is made of: the name of its reader and of its folder in the home."""
        return self.shares_data_of or self.alias

    @property
    def training(self) -> Benchmark:
        """The benchmark whose folds its models are trained on: itself, unless the domain shifts."""
        return self if self.trained_on is None else find_benchmark(self.trained_on)

    def tested_among(self, fold: int, classes: Collection[int], *, of: str) -> tuple[int, ...]:
        """Which of a fold's novel classes are among ``classes`` of the benchmark called ``of``.

        Class ids are compared on one benchmark, and the names that COCO gives classes between built-in ones.
        """
        novel = self.novel_classes(fold)
        if of == self.name:
            return tuple(c for c in novel if c in classes)
        other = next((one for one in BENCHMARKS if one.name == of), None)
        if other is None or other.class_names is None or self.class_names is None:
            return ()
        known = {VOC_IN_COCO.get(other.class_names[c], other.class_names[c]) for c in classes}
        return tuple(c for c in novel if VOC_IN_COCO.get(self.class_names[c], self.class_names[c]) in known)

    def novel_classes(self, fold: int) -> tuple[int, ...]:
        """The ascending class indices tested in ``fold`` (0-based); `UsageError` if there is no such fold."""
        if not 0 <= fold < len(self.folds):
            raise UsageError(
                f"{self.title} has no fold {fold}",
                remedy=f"folds are 0 to {len(self.folds) - 1}" if len(self.folds) > 1 else "its only fold is 0",
            )
        return self.folds[fold]


def _interleaved(n_classes: int, n_folds: int) -> tuple[tuple[int, ...], ...]:
    """Fold i tests classes i, i + n, i + 2n, … (the split FWB introduced for COCO)."""
    return tuple(tuple(range(fold, n_classes, n_folds)) for fold in range(n_folds))


def _contiguous(n_classes: int, n_folds: int) -> tuple[tuple[int, ...], ...]:
    """Fold i tests one run of neighbouring classes (OSLSM's split of PASCAL, PANet's of COCO)."""
    size = n_classes // n_folds
    return tuple(tuple(range(fold * size, (fold + 1) * size)) for fold in range(n_folds))


def _novel_in_coco(coco_folds: tuple[tuple[int, ...], ...]) -> tuple[tuple[int, ...], ...]:
    """For each fold of COCO's classes those of VOC that are among them, by the name COCO gives them."""
    as_coco = [COCO_CLASSES.index(VOC_IN_COCO.get(name, name)) for name in VOC_CLASSES]
    return tuple(tuple(voc for voc, coco in enumerate(as_coco) if coco in fold) for fold in coco_folds)


PASCAL_5I = Benchmark(
    name="pascal-5i",
    alias="pascal",
    title="PASCAL-5i",
    n_classes=20,
    class_names=VOC_CLASSES,
    folds=_contiguous(20, 4),
    ignore_label=255,
)

COCO_20I = Benchmark(
    name="coco-20i",
    alias="coco",
    title="COCO-20i",
    n_classes=80,
    class_names=COCO_CLASSES,
    folds=_interleaved(80, 4),
)

# PANet's folds of the same classes. Other folds are other questions, so this is another benchmark.
COCO_20I_CONTIGUOUS = Benchmark(
    name="coco-20i-contiguous",
    alias="coco-panet",
    title="COCO-20i with contiguous folds",
    n_classes=80,
    class_names=COCO_CLASSES,
    folds=_contiguous(80, 4),
    shares_data_of="coco",
)

# Domain shift: a model of COCO-20i's fold i is asked for the VOC classes that are novel in it (as RePRI first did).
COCO_20I_TO_PASCAL = Benchmark(
    name="coco-20i-to-pascal",
    alias="coco-to-pascal",
    title="COCO-20i to PASCAL",
    n_classes=20,
    class_names=VOC_CLASSES,
    folds=_novel_in_coco(COCO_20I.folds),
    ignore_label=255,
    shares_data_of="pascal",
    trained_on="coco",
)

FSS_1000 = Benchmark(
    name="fss-1000",
    alias="fss",
    title="FSS-1000",
    n_classes=1000,
    class_names=None,
    folds=(tuple(range(760, 1000)),),
    validation_classes=tuple(range(520, 760)),
)

# COCO's structure with drawn shapes: what the demo and the tests run on. Never a benchmark of anything.
TOY_20I = Benchmark(
    name="toy-20i",
    alias="toy",
    title="Toy-20i",
    n_classes=80,
    class_names=TOY_CLASSES,
    folds=_interleaved(80, 4),
    published=False,
)

DEALT = {"interleaved": _interleaved, "contiguous": _contiguous}


def _described(name: str) -> Benchmark:
    """The benchmark of a data file."""
    path = package_files(__package__).joinpath("benchmark_files", f"{name}.toml")
    said = parse_toml(path.read_bytes())
    folds, classes = said.pop("folds"), said.pop("classes")
    named = isinstance(classes, list)
    n_classes = len(classes) if named else classes
    strict = said.pop("strict")
    rules = Rules(**{key: said.pop(key) for key in ("source", "unverified", "obtain", "layout")}, **strict)
    return Benchmark(
        name=name,
        n_classes=n_classes,
        class_names=tuple(classes) if named else None,
        folds=DEALT[folds["dealt"]](n_classes, folds["number"]),
        rules=rules,
        **said,
    )


BENCHMARKS = (
    PASCAL_5I,
    COCO_20I,
    COCO_20I_CONTIGUOUS,
    COCO_20I_TO_PASCAL,
    FSS_1000,
    *map(_described, FILES),
    TOY_20I,
)


def find_benchmark(name: str) -> Benchmark:
    """The benchmark called ``name``, by its alias or its full name; `UsageError` if there is none."""
    for benchmark in BENCHMARKS:
        if name in (benchmark.alias, benchmark.name):
            return benchmark
    known = [benchmark.alias for benchmark in BENCHMARKS]
    raise UsageError(f"there is no benchmark '{name}'", remedy=known_are(name, known))
