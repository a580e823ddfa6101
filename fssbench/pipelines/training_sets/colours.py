"""Changes of colour: of the image alone, since they move nothing."""

from __future__ import annotations

from torch import Tensor
from torchvision.transforms.v2 import functional as v2

from fssbench.pipelines.training_sets.draws import Draws

__all__ = ["recolour"]


def recolour(image: Tensor, *, chance: float, draws: Draws) -> Tensor:
    """An image (3, H, W) uint8 after each of seven changes, in this order, with the same chance.

    Grey; four bits a channel; an equalised histogram; sharper; brighter or darker with more or less contrast;
    inverted where it is bright; and jittered in brightness, contrast, saturation and hue. These are the changes that
    HMFS takes over for PASCAL-5i from CATs (Cho et al., NeurIPS 2021), each with a chance of 0.2 there, at the
    default strengths of Albumentations as far as torchvision has the same operation: sharpening differs.
    """
    if draws.chance(chance):
        image = v2.rgb_to_grayscale(image, num_output_channels=3)
    if draws.chance(chance):
        image = v2.posterize(image, bits=4)
    if draws.chance(chance):
        image = v2.equalize(image)
    if draws.chance(chance):
        image = v2.adjust_sharpness(image, draws.between(1.2, 2.0))
    if draws.chance(chance):
        image = v2.adjust_brightness(image, draws.between(0.8, 1.2))
        image = v2.adjust_contrast(image, draws.between(0.8, 1.2))
    if draws.chance(chance):
        image = v2.solarize(image, threshold=128)
    if draws.chance(chance):
        image = v2.adjust_brightness(image, draws.between(0.8, 1.2))
        image = v2.adjust_contrast(image, draws.between(0.8, 1.2))
        image = v2.adjust_saturation(image, draws.between(0.8, 1.2))
        image = v2.adjust_hue(image, draws.between(-0.2, 0.2))
    return image
