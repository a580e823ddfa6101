"""The images of a fold to learn from: a training set under a policy."""

from __future__ import annotations

from pathlib import Path

from fssbench.base.errors import SourceError, UsageError
from fssbench.episodes.benchmarks import Benchmark
from fssbench.episodes.training import TrainingLists, TrainingPolicy, derive_training
from fssbench.pipelines.sources import files, hdmnet_splits
from fssbench.pipelines.sources.hdmnet_splits import HdmnetSplits
from fssbench.pipelines.sources.image_order import has_lists
from fssbench.pipelines.training_sets.hsnet_lists import Pairs, read_hsnet_lists
from fssbench.pipelines.training_sets.training_set import TrainingSet, shared

__all__ = ["listed_pairs", "read_image_list", "training_lists"]


def training_lists(
    training_set: TrainingSet,
    fold: int,
    policy: TrainingPolicy,
    *,
    benchmark: Benchmark | None = None,
    image_list: Path | None = None,
) -> TrainingLists:
    """What the epochs of a fold are drawn from; reads the index alone.

    Args:
        benchmark: whose fold it is, where it shares the set's data; the set's own if left out.
        image_list: file of the images to use, one a line; or the folder of HSNet's or HDMNet's split files, which
            also say which class an image may serve; all if left out. See `read_image_list`, `read_hsnet_lists` and
            `HdmnetSplits`.

    Raises:
        UsageError: there is no such fold, or the benchmark is of other data.
        SourceError: a list is missing or malformed, or names images or classes that the set does not have.
    """
    found = benchmark or training_set.benchmark
    if shared(found).name != training_set.manifest.benchmark:
        raise UsageError(
            f"{training_set.place} is a training set of {training_set.manifest.benchmark}, which {found.title} is not",
            remedy=f"build one with fssbench prepare {found.alias} --train",
        )
    areas = {image_id: entry.areas for image_id, entry in training_set.entries.items()}
    if image_list is None:
        return derive_training(areas, benchmark=found, fold=fold, policy=policy)
    if not image_list.is_dir():
        images = read_image_list(image_list, training_set)
        return derive_training(areas, benchmark=found, fold=fold, policy=policy, images=images)
    pairs = listed_pairs(image_list, found, fold)
    if absent := sorted((i, c) for i, c in pairs if c not in areas.get(i, {})):
        raise SourceError(
            f"the lists in {image_list} name {len(absent):,} of {len(pairs):,} images for a class that "
            f"{training_set.place} does not show in them: {files.shorten([f'{i} (class {c})' for i, c in absent])}",
            remedy="build the training set of the data as published, whole",
        )
    return derive_training(areas, benchmark=found, fold=fold, policy=policy, pairs=pairs)


def listed_pairs(folder: Path, benchmark: Benchmark, fold: int) -> Pairs:
    """The images in a folder of split files, HSNet's or HDMNet's, each with a class it may serve.

    Raises `SourceError` if a list is missing or malformed.
    """
    if benchmark.alias not in hdmnet_splits.BENCHMARKS or not has_lists(folder, benchmark):
        return read_hsnet_lists(folder, benchmark, fold)
    pools = HdmnetSplits(folder, benchmark, part="training").lists(fold).pools
    return frozenset((image, class_id) for class_id, ids in pools.items() for image in ids)


def read_image_list(path: Path, training_set: TrainingSet) -> frozenset[str]:
    """The images of a training set that a text file names, one a line, by id or by file.

    ``2007_000032``, ``2007_000032.jpg`` and ``JPEGImages/2007_000032.jpg SegmentationClassAug/2007_000032.png`` are
    one image, and so are COCO's ``train2014/COCO_train2014_000000000009.jpg`` and ``000000000009``.

    Raises `SourceError` if it names images that the set does not have.
    """
    there = training_set.entries.keys()
    named = {line: files.image_name(line) for line in files.read_names(path)}
    found = {line: name if name in there else name.rpartition("/")[2] for line, name in named.items()}
    if absent := [line for line, image_id in found.items() if image_id not in there]:
        raise SourceError(
            f"{path} names {len(absent):,} of its {len(named):,} images that {training_set.place} does not have: "
            f"{files.shorten(absent)}",
            remedy="pass a list of this benchmark's training images",
        )
    return frozenset(found.values())
