"""What published weights were learned from, and what of a benchmark those data hold.

Facts of the papers that released the weights. What is not here is not known, which is not the same as not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal, get_args

__all__ = ["DATA_SETS", "DataSet", "Seen", "learned_from", "seen_of", "title_of"]

Seen = Literal["images", "masks", "labels"]
"""What weights saw of a benchmark: images it tests on; masks of classes it tests; labels of whole images of them."""

COCO = ("coco-20i", "coco-20i-contiguous", "lvis-92i")
PASCAL = ("pascal-5i", "coco-20i-to-pascal")


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Images that weights were learned from.

    Attributes:
        title: as people call it.
        images: benchmarks whose test images are among them.
        masks: benchmarks of whose test classes it has masks.
        labels: benchmarks of whose test classes it labels whole images.
    """

    title: str
    images: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


# 584 of the 1,000 classes of FSS-1000 are ImageNet's too (Li et al., CVPR 2020). Where only some of the tested classes
# are among a data set's, the benchmark is named all the same. Text that comes with images from the web names anything.
OBJECTS = (*COCO, *PASCAL, "fss-1000")
DATA_SETS = {
    "imagenet-1k": DataSet(title="ImageNet-1k", labels=OBJECTS),
    "imagenet-22k": DataSet(title="ImageNet-22k", labels=OBJECTS),
    "instagram-3.6b": DataSet(title="hashtags of Instagram", labels=OBJECTS),
    "wit-400m": DataSet(title="CLIP's image-text pairs", labels=OBJECTS),
    "laion-2b": DataSet(title="LAION-2B", labels=OBJECTS),
    "webli": DataSet(title="WebLI", labels=OBJECTS),
    # Their images come without labels. Of LVD-142M some were chosen for being like those of PASCAL VOC and ADE20K.
    "lvd-142m": DataSet(title="LVD-142M"),
    "lvd-1689m": DataSet(title="LVD-1689M"),
    # Its masks say where things end, not what they are.
    "sa-1b": DataSet(title="SA-1B"),
    "coco": DataSet(title="COCO", images=COCO, masks=(*COCO, *PASCAL)),
    "pascal-voc": DataSet(title="PASCAL VOC", images=PASCAL, masks=(*COCO, *PASCAL)),
    "ade20k": DataSet(title="ADE20K", masks=(*COCO, *PASCAL)),
    "cityscapes": DataSet(title="Cityscapes", masks=(*COCO, *PASCAL)),
    "lip": DataSet(title="LIP", masks=(*COCO, *PASCAL)),
    "paco": DataSet(title="PACO", images=COCO, masks=(*COCO, *PASCAL)),
    "retina": DataSet(title="CHASE-DB1, DRIVE, HRF and STARE"),
    "isaid": DataSet(title="iSAID", images=("isaid-5i",), masks=("isaid-5i", *COCO, *PASCAL)),
    "loveda": DataSet(title="LoveDA"),
    # Its phrases are of Visual Genome, whose photographs are half COCO's.
    "phrasecut": DataSet(title="PhraseCut", images=COCO, masks=(*COCO, *PASCAL)),
}

# By name on the hub, as a pattern; the first that fits.
LEARNED_FROM: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("facebook/dinov2-*", ("lvd-142m",)),
    ("facebook/dinov3-*-lvd1689m", ("lvd-1689m",)),
    ("facebook/sam-vit-*", ("sa-1b",)),
    ("facebook/convnext-*-22k*", ("imagenet-22k",)),
    ("facebook/convnext-*", ("imagenet-1k",)),
    ("microsoft/resnet-*", ("imagenet-1k",)),
    ("openai/clip-*", ("wit-400m",)),
    ("CIDAS/clipseg-*", ("wit-400m", "phrasecut")),
    (
        "BAAI/seggpt-*",
        ("coco", "ade20k", "pascal-voc", "cityscapes", "lip", "paco", "retina", "isaid", "loveda"),
    ),
)


def learned_from(name: str) -> tuple[str, ...] | None:
    """What weights of a name on the hub were learned from; ``None`` if that is not known."""
    return next((data for pattern, data in LEARNED_FROM if fnmatch(name, pattern)), None)


def title_of(data: str) -> str:
    """What people call a data set; one that is not known here by its own name."""
    return DATA_SETS[data].title if data in DATA_SETS else data


def seen_of(benchmark: str, data: Iterable[str]) -> tuple[Seen, ...]:
    """What data sets are known to hold of a benchmark, by its full name."""
    known = [DATA_SETS[one] for one in data if one in DATA_SETS]
    return tuple(what for what in get_args(Seen) if any(benchmark in getattr(one, what) for one in known))
