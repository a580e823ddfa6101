"""How transformers' own processors and post-processing answer an episode: what our wrappers are held against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from foundation_models import by_pillow
from PIL import Image
from torch import Tensor

from fssbench.models.foundation.clipseg import PHRASE, THRESHOLD, visual_prompt
from fssbench.models.interface import EpisodeSegmenter, RawEpisode, resize_mask

__all__ = ["ANSWERS", "MODELS", "dino_mask", "pin_pillow", "the_same"]


def pin_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Pillow resize across first and then down, as it always did before 13, which chooses by the image's shape.

    It rounds between the two, so one colour in four differs by 1 (bilinear) and a few by up to 18 (bicubic).
    """
    resize = Image.Image.resize

    def across_first(image: Image.Image, size: Any, resample: Any = None, *more: Any, **options: Any) -> Image.Image:
        if resample in (None, Image.Resampling.NEAREST):
            return resize(image, size, resample, *more, **options)
        return resize(resize(image, (size[0], image.height), resample), size, resample)

    monkeypatch.setattr(Image.Image, "resize", across_first)


def seggpt(folder: Path, episode: RawEpisode) -> Tensor:
    from transformers import SegGptForImageSegmentation

    processor: Any = by_pillow("SegGpt").from_pretrained(folder)
    shots = len(episode.supports)
    inputs = processor(
        images=[episode.query.pil] * shots,
        prompt_images=[one.pil for one in episode.supports],
        prompt_masks=[one.mask.astype("uint8") for one in episode.supports],
        num_labels=1,
        return_tensors="pt",
    )
    outputs = SegGptForImageSegmentation.from_pretrained(folder).eval()(**inputs, feature_ensemble=shots > 1)
    found = processor.post_process_semantic_segmentation(outputs, [episode.query.size] * shots, num_labels=1)
    mask: Tensor = found[0] == 1
    return mask


def clipseg(folder: Path, episode: RawEpisode, *, whole: bool = False, text: bool = False) -> Tensor:
    from transformers import CLIPSegForImageSegmentation, CLIPSegProcessor, CLIPTokenizer

    processor: Any = CLIPSegProcessor(
        image_processor=by_pillow("ViT").from_pretrained(folder), tokenizer=CLIPTokenizer.from_pretrained(folder)
    )
    model: Any = CLIPSegForImageSegmentation.from_pretrained(folder).eval()
    if text:
        inputs = processor(images=episode.query.pil, text=[PHRASE.format("cat")], return_tensors="pt")
        logits = model(**inputs).logits
    else:
        query = processor(images=episode.query.pil, return_tensors="pt")["pixel_values"]
        prompts = [processor(visual_prompt=one.pil, return_tensors="pt") for one in episode.supports]
        shown = [one["conditional_pixel_values"][0] for one in prompts]
        if not whole:
            masks = [resize_mask(torch.from_numpy(one.mask), query.shape[-2:]).float() for one in episode.supports]
            shown = [visual_prompt(image, mask) for image, mask in zip(shown, masks, strict=True)]
        if len(shown) == 1:
            logits = model(pixel_values=query, conditional_pixel_values=torch.stack(shown)).logits
        else:
            found = model.clip.get_image_features(torch.stack(shown))
            seen = getattr(found, "pooler_output", found)  # itself before transformers 5
            logits = model(pixel_values=query, conditional_embeddings=seen.mean(dim=0, keepdim=True)).logits
    logits = logits.reshape(1, 1, *logits.shape[-2:])
    enlarged = F.interpolate(logits, episode.query.size, mode="bilinear", align_corners=False)
    return enlarged[0, 0].sigmoid() > THRESHOLD


def sam(folder: Path, episode: RawEpisode) -> Tensor:
    """One point of each kind and two refinements, through the processor's own points, boxes and masks."""
    from transformers import SamModel, SamProcessor

    images: Any = by_pillow("Sam").from_pretrained(folder)
    processor: Any = SamProcessor(images)
    model: Any = SamModel.from_pretrained(folder).eval()
    side = images.pad_size["height"]

    def features(pixels: Tensor) -> Tensor:
        found: Tensor = model.vision_encoder(pixels).last_hidden_state[0]  # (C, h, w)
        return found

    targets = []
    for one in episode.supports:
        given = processor(images=one.pil, return_tensors="pt")
        inner = resize_mask(torch.from_numpy(one.mask), tuple(given["reshaped_input_sizes"][0].tolist())).float()
        shown = F.pad(inner, (0, side - inner.shape[1], 0, side - inner.shape[0]))[None, None]
        seen = features(given["pixel_values"])
        touched = F.interpolate(shown, seen.shape[1:], mode="bilinear")[0, 0] > 0
        if not touched.any():  # the object lies between the points that are looked at
            touched = F.adaptive_max_pool2d(shown, seen.shape[1:])[0, 0] > 0
        targets.append(seen[:, touched].mean(dim=1))
    target = torch.stack(targets).mean(dim=0)

    given = processor(images=episode.query.pil, return_tensors="pt")
    sizes = (given["original_sizes"], given["reshaped_input_sizes"])
    embedding = features(given["pixel_values"])
    alike = torch.einsum("c,chw->hw", target / target.norm(), embedding / embedding.norm(dim=0, keepdim=True))
    low = F.interpolate(alike[None, None], scale_factor=4, mode="bilinear")
    (prior,) = images.post_process_masks([low], *sizes, binarize=False)
    prior = prior[0, 0]
    width = prior.shape[1]
    points = [[float(int(flat) % width), float(int(flat) // width)] for flat in (prior.argmax(), prior.argmin())]
    spread = (prior - prior.mean()) / prior.std()
    guide = F.interpolate(spread[None, None], alike.shape, mode="bilinear").sigmoid().flatten(2)[:, None]

    def prompt(box: list[float] | None) -> dict[str, Tensor]:
        boxes = None if box is None else [[box]]
        made = processor(
            images=episode.query.pil,
            input_points=[[points]],
            input_labels=[[[1, 0]]],
            input_boxes=boxes,
            return_tensors="pt",
        )
        kept = {name: made[name] for name in ("input_points", "input_labels", "input_boxes") if name in made}
        return {"image_embeddings": embedding[None], **kept}

    first = model(
        **prompt(None), multimask_output=False, attention_similarity=guide, target_embedding=target[None, None]
    )
    best, box = first.pred_masks[:, 0], None
    for step in range(2):
        if step:
            rows, columns = (images.post_process_masks([best], *sizes)[0][0, 0]).nonzero().T
            box = (
                [float(columns.min()), float(rows.min()), float(columns.max()), float(rows.max())]
                if len(rows)
                else None
            )
        found = model(**prompt(box), input_masks=best, multimask_output=True)
        best = found.pred_masks[:, 0, int(found.iou_scores[0, 0].argmax())][:, None]
    mask: Tensor = images.post_process_masks([best], *sizes)[0][0, 0]
    return mask


def dino(folder: Path, episode: RawEpisode) -> Tensor:
    """Nearest of the mean token under the masks and the mean token beside them."""
    from transformers import Dinov2Model

    processor: Any = by_pillow("Bit").from_pretrained(folder)
    model: Any = Dinov2Model.from_pretrained(folder).eval()

    def tokens(image: Any) -> Tensor:
        side = {"height": 98, "width": 98}
        pixels = processor(images=image, size=side, do_center_crop=False, return_tensors="pt")["pixel_values"]
        found: Tensor = model(pixels).last_hidden_state[0, 1:]  # (49, C)
        return found

    means = []
    for one in episode.supports:
        mask = resize_mask(torch.from_numpy(one.mask), (98, 98)).float()
        share = F.avg_pool2d(mask[None], 14).flatten()  # of each patch
        seen = tokens(one.pil)
        means.append(torch.stack([weight @ seen / weight.sum() for weight in (1 - share, share)]))
    mean = torch.stack(means).mean(dim=0)
    query = tokens(episode.query.pil)
    cosine = F.cosine_similarity(query[:, None], mean[None], dim=2).T.view(1, 2, 7, 7)
    enlarged = F.interpolate(cosine, episode.query.size, mode="bilinear", align_corners=False)[0]
    return enlarged[1] > enlarged[0]


def clipseg_whole(folder: Path, episode: RawEpisode) -> Tensor:
    return clipseg(folder, episode, whole=True)


def clipseg_text(folder: Path, episode: RawEpisode) -> Tensor:
    return clipseg(folder, episode, text=True)


ANSWERS: dict[str, Callable[[Path, RawEpisode], Tensor]] = {
    "seggpt": seggpt,
    "clipseg": clipseg,
    "clipseg-whole": clipseg_whole,
    "clipseg-text": clipseg_text,
    "sam-matcher": sam,
    "dino-prototype": dino,
}
"""By model the mask (H, W) bool, from a folder with weights and an episode."""

MODELS: dict[str, tuple[str, dict[str, str], str]] = {
    "seggpt": ("seggpt", {}, "seggpt"),
    "clipseg": ("clipseg", {}, "clipseg"),
    "clipseg-whole": ("clipseg", {"visual": "whole"}, "clipseg"),
    "clipseg-text": ("clipseg", {"prompt": "text"}, "clipseg"),
    "sam-matcher": ("sam-matcher", {}, "sam"),
}
"""By answer our model, its options, and the kind of weights it takes."""


def the_same(model: EpisodeSegmenter, episode: RawEpisode, answer: Tensor) -> Tensor:
    """Our mask (H, W) bool, held to be ``answer`` but for pixels whose logit is 0 to rounding."""
    given, size = model.segment(episode), episode.query.size
    mask = model.masks_of(given, model.preprocess.geometry(size), [size], of="it")[0].bool()
    if given.is_floating_point():
        logits = F.interpolate(given[None], size, mode="bilinear", align_corners=False)[0, 0]
        answer = torch.where(logits.abs() < 1e-6, mask, answer)
    assert torch.equal(mask, answer)
    return mask


def dino_mask(model: Any, episode: RawEpisode) -> Tensor:
    """Our mask (H, W) bool of a model that compares features."""
    show = model.preprocess
    query, *supports = [show.input(one.image)[None] for one in (episode.query, *episode.supports)]
    masks = torch.stack([show.mask(one.mask).float() for one in episode.supports])[None]
    (mask,) = model.predict_sizes(query, torch.stack(supports, dim=1), masks, [episode.query.size])
    found: Tensor = mask[0].bool()
    return found
