"""SAM prompted by what looks most and least like the supports: training-free, in the manner of PerSAM.

The steps are those of PerSAM without fine-tuning (Zhang et al., ICLR 2024): one point of each kind from the cosine
similarity of SAM's own features, the similarity in the decoder's attention, the target's embedding among its tokens,
and two refinements. transformers adds the similarity before the softmax, where PerSAM's code adds it after, so this is
not PerSAM to the digit, and is not called so.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from fssbench.models.foundation.weights import opened
from fssbench.models.interface import EpisodeSegmenter, Geometry, Preprocess, RawEpisode, Size

__all__ = ["SAMMatcher"]

PUBLISHED = "facebook/sam-vit-base"


class SAMMatcher(EpisodeSegmenter):
    """SAM (Kirillov et al., ICCV 2023) as transformers has it (``SamModel``), and how it is prompted.

    Images keep their shape, the longer side 1024, by Pillow's bilinear filter, and are padded with zeros after
    normalisation, right and below. One mask is found, so of several objects most are missed. Several supports give
    their mean embedding.

    Args:
        weights: a name on the hub, a folder, or ``none``; see `fssbench.models.foundation`.
        refine: how often the mask is refined: 0, 1 (from itself) or 2 (from itself and its box).
    """

    regime = "training-free"

    def __init__(self, *, weights: str = PUBLISHED, refine: int = 2) -> None:
        super().__init__()
        found = opened(
            "SamModel",
            weights,
            published=PUBLISHED,
            preprocess=Preprocess(size=1024, resize="keep", pad_value="mean"),
        )
        self.network, self.backbone_info, self.preprocess = found.network, found.info, found.preprocess
        self.refine = refine

    @torch.no_grad()
    def segment(self, episode: RawEpisode) -> Tensor:
        """Logits of foreground (1, H, W) at the query's own size."""
        query, supports, masks = self.inputs(episode)
        targets = [self._target(image, mask) for image, mask in zip(supports, masks, strict=True)]
        target = torch.stack(targets).mean(dim=0)  # (C,)
        embedding = self._embedding(query)  # (1, C, h, w)
        geometry = self.preprocess.geometry(episode.query.size)
        alike = torch.einsum("c,nchw->nhw", F.normalize(target, dim=0), F.normalize(embedding, dim=1))
        return self._segmented(embedding, alike, target, geometry)

    def inputs(self, episode: RawEpisode) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """As of `EpisodeSegmenter`, padding exactly 0."""
        query, supports, masks = super().inputs(episode)
        images = (episode.query, *episode.supports)
        clean = [self._clean(image, one.size) for image, one in zip((query, *supports), images, strict=True)]
        return clean[0], clean[1:], masks

    def _clean(self, image: Tensor, size: Size) -> Tensor:
        window = self.preprocess.geometry(size).window
        clean = torch.zeros_like(image)
        clean[..., *window] = image[..., *window]
        return clean

    def _embedding(self, image: Tensor) -> Tensor:
        """SAM's features (1, C, h, w) of an image (1, 3, H, W)."""
        found: Tensor = self.network.get_image_embeddings(image)
        return found

    def _target(self, image: Tensor, mask: Tensor) -> Tensor:
        """The mean feature (C,) of what a support's mask (1, H, W) touches."""
        features = self._embedding(image)[0]
        shown = F.interpolate(mask[None], features.shape[1:], mode="bilinear", align_corners=False)[0, 0] > 0
        if not bool(shown.any()):  # smaller than a cell
            shown = F.adaptive_max_pool2d(mask[None], features.shape[1:])[0, 0] > 0
        return features[:, shown].mean(dim=1) if bool(shown.any()) else features.new_zeros(len(features))

    def _segmented(self, embedding: Tensor, alike: Tensor, target: Tensor, geometry: Geometry) -> Tensor:
        """The best mask's logits (1, H, W), from similarities (1, h, w)."""
        low = tuple(4 * side for side in alike.shape[1:])
        prior = self._at_original(F.interpolate(alike[None], low, mode="bilinear", align_corners=False), geometry)[0]
        points = torch.stack([_place(prior.argmax(), geometry), _place(prior.argmin(), geometry)])
        prompt = {
            "image_embeddings": embedding,
            "input_points": points[None, None].to(embedding),
            "input_labels": torch.tensor([[[1, 0]]], device=embedding.device),
        }
        deviation = prior.std(correction=min(1, prior.numel() - 1))  # an image may have one pixel
        spread = ((prior - prior.mean()) / deviation).nan_to_num()  # and to supports that show nothing nothing is alike
        guide = F.interpolate(spread[None, None], alike.shape[1:], mode="bilinear", align_corners=False).sigmoid()
        found = self.network(
            **prompt,
            multimask_output=False,
            attention_similarity=guide.flatten(2)[:, None],  # (1, 1, 1, h·w)
            target_embedding=target[None, None],
        )
        best = found.pred_masks[:, 0]  # (1, 1, 4h, 4w)
        for step in range(self.refine):
            box = _box(self._at_original(best, geometry)[0] > 0, geometry) if step else None
            more = {} if box is None else {"input_boxes": box[None, None].to(embedding)}
            found = self.network(**prompt, input_masks=best, multimask_output=True, **more)
            best = found.pred_masks[:, 0, found.iou_scores[0, 0].argmax()][:, None]
        return self._at_original(best, geometry)

    def _at_original(self, low: Tensor, geometry: Geometry) -> Tensor:
        """What SAM says of the padded input, (1, 1, 4h, 4w), at the image's own size: (1, H, W), as SAM resizes it."""
        whole = F.interpolate(low, geometry.input, mode="bilinear", align_corners=False)
        content = whole[..., *geometry.window]
        return F.interpolate(content, geometry.original, mode="bilinear", align_corners=False)[0]


def _place(flat: Tensor, geometry: Geometry) -> Tensor:
    """A pixel of the original, by its number, as (x, y) of the input."""
    row, column = divmod(int(flat), geometry.original[1])
    return torch.tensor([column * _scale(geometry)[1], row * _scale(geometry)[0]], dtype=torch.float64)


def _box(mask: Tensor, geometry: Geometry) -> Tensor | None:
    """The box (x, y, x, y) of a mask (H, W) in the input; ``None`` of an empty one."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    if not len(rows):
        return None
    y, x = _scale(geometry)
    return torch.tensor([int(columns.min()) * x, int(rows.min()) * y, int(columns.max()) * x, int(rows.max()) * y])


def _scale(geometry: Geometry) -> tuple[float, float]:
    """Rows and columns of the input to one of the original."""
    return geometry.content[0] / geometry.original[0], geometry.content[1] / geometry.original[1]
