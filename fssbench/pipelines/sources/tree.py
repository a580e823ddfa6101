"""Images and masks as files, one mask an image: what benchmarks of one's own and published ones have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from fssbench.base.errors import SourceError
from fssbench.base.progress import Advance, no_progress
from fssbench.episodes.benchmarks import Benchmark
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources import files
from fssbench.pipelines.sources.base import Part, Picture, RawSample
from fssbench.pipelines.sources.index_masks import IndexMasks
from fssbench.schemas.manifest import MaskPolicy

__all__ = ["IMAGE_SUFFIXES", "TreeSource"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class TreeSource:
    """The half of a `Source` that reads images and masks, once it is known which there are.

    Attributes:
        images: image files by id, those of the other part too.
        masks: mask files by id.
        tested: ids of the images that episodes are drawn from.
        image_ids: ids of the part's images.
        class_values: the mask value of every class index.
        values: the masks, read as those values.
        one_class: whether masks are of one class each, so that nobody knows what else an image shows.
    """

    benchmark: Benchmark
    part: Part
    images: Mapping[str, Path]
    masks: Mapping[str, Path]
    tested: Sequence[str]
    image_ids: Sequence[str]
    class_values: Sequence[int]
    values: IndexMasks
    one_class = False

    @property
    def mask_policy(self) -> MaskPolicy:
        """See `Source.mask_policy`: masks are as the files have them."""
        return MaskPolicy()

    @property
    def ignore_label(self) -> int | None:
        """See `Source.ignore_label`."""
        return self.benchmark.ignore_label

    def class_names(self) -> tuple[str, ...]:
        """The benchmark's classes, by index."""
        assert self.benchmark.class_names is not None
        return self.benchmark.class_names

    def mask_faults(self, *, advance: Advance = no_progress) -> list[SourceError]:
        """See `MaskFiles.mask_faults`."""
        return self.values.faults(self.image_ids, advance=advance)

    def pools(
        self, classes: Sequence[int], *, min_pixels: int, advance: Advance = no_progress
    ) -> dict[int, tuple[str, ...]]:
        """See `Source.pools`; every mask is read once, for all classes."""
        return files.pools(self.image_ids, self._areas, classes=classes, min_pixels=min_pixels, advance=advance)

    def missing(self, image_ids: Sequence[str]) -> list[str]:
        """See `Source.missing`."""
        return [image_id for image_id in image_ids if image_id not in self.images]

    def pictures(self) -> list[Picture]:
        """See `Source.pictures`; what episodes are not drawn from counts as training images."""
        tested = set(self.tested)
        return [
            Picture(
                image_id=image_id,
                part="test" if image_id in tested else "training",
                load=partial(files.read_bytes, path),
                size=partial(self._size, image_id),
                formats=images.FORMATS,
            )
            for image_id, path in sorted(self.images.items())
        ]

    def read(self, image_id: str, class_id: int) -> RawSample:
        """See `Source.read`."""
        indices = self.values.indices(image_id)
        ignore = None if self.ignore_label is None else masks.encode(indices == self.ignore_label)
        return files.read_sample(
            self.images[image_id],
            image_id=image_id,
            class_id=class_id,
            mask=masks.encode(indices == self.class_values[class_id]),
            ignore=ignore if ignore is not None and masks.area(ignore) else None,
            n_classes=None if self.one_class else len(self._areas(image_id)),
            formats=images.FORMATS,
        )

    def _size(self, image_id: str) -> tuple[int, int] | None:
        if image_id not in self.masks or image_id in self.values.faulty:
            return None
        height, width = self.values.indices(image_id).shape
        return height, width

    def _areas(self, image_id: str) -> dict[int, int]:
        """Mask pixels by class index, of the classes that an image shows; remembered."""
        histogram = self.values.histogram(image_id)
        return {c: int(histogram[value]) for c, value in enumerate(self.class_values) if histogram[value]}
