"""Where the models by name come from: their source, the weights they are filled with, and the licence of those."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ABOUT", "About"]


@dataclass(frozen=True, kw_only=True)
class About:
    """Where a model comes from.

    Attributes:
        source: the publication, or what it is.
        weights: what fills it, and where that is kept.
        licence: of these weights, as those who released them say.
        extra: of this package, that it needs.
    """

    source: str
    weights: str = ""
    licence: str = ""
    extra: str = ""


BACKBONE = "a backbone of ImageNet"
TRAINED = "by training, on a backbone of ImageNet"
ABOUT = {
    "all-foreground": About(source="baseline: every pixel is foreground"),
    "copy-support": About(source="baseline: the support's mask is the answer"),
    "prototype": About(source="baseline after PANet, Wang et al., ICCV 2019", weights=BACKBONE),
    "hsnet": About(source="Min et al., ICCV 2021", weights=TRAINED),
    "hmfs": About(source="Moon et al., ECCV 2022", weights=TRAINED),
    "hdmnet": About(source="Peng et al., CVPR 2023", weights="by training, on a PSPNet of the base classes"),
    "dino-prototype": About(
        source="baseline on DINOv2, Oquab et al., TMLR 2024",
        weights="facebook/dinov2-base; also DINOv3, timm's",
        licence="Apache-2.0; DINOv3 has its own",
        extra="hf",
    ),
    "seggpt": About(source="Wang et al., ICCV 2023", weights="BAAI/seggpt-vit-large", licence="Apache-2.0", extra="hf"),
    "clipseg": About(
        source="Lüddecke and Ecker, CVPR 2022",
        weights="CIDAS/clipseg-rd64-refined",
        licence="Apache-2.0",
        extra="hf",
    ),
    "sam-matcher": About(
        source="after PerSAM, Zhang et al., ICLR 2024, on SAM, Kirillov et al., ICCV 2023",
        weights="facebook/sam-vit-base",
        licence="Apache-2.0",
        extra="hf",
    ),
}
"""By name. What others register says nothing of itself."""
