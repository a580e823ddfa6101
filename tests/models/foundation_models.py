"""Foundation models as small as transformers can build them, in folders as ``save_pretrained`` lays them down."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fssbench.models.interface import QueryImage, RawEpisode, SupportImage

__all__ = ["BUILDERS", "at_random", "by_pillow", "drawn_episode", "saved_model"]

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
WORDS = ("<|startoftext|>", "<|endoftext|>", "a</w>", "photo</w>", "of</w>", ".</w>", *"abcdefghijklmnopqrstuvwxyz")


def by_pillow(kind: str) -> Any:
    """The processor of images of a kind that resizes by Pillow, which before transformers 5 was the only one."""
    import transformers

    name = f"{kind}ImageProcessor"
    return getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)


def seggpt(folder: Path) -> None:
    from transformers import SegGptConfig, SegGptForImageSegmentation

    config = SegGptConfig(
        hidden_size=32,
        num_hidden_layers=6,
        num_attention_heads=2,
        image_size=[128, 64],
        patch_size=16,
        mlp_dim=64,
        decoder_hidden_size=16,
        pretrain_image_size=64,
        merge_index=1,
        intermediate_hidden_state_indices=[1, 2, 4, 5],
        initializer_range=0.2,
    )
    at_random(SegGptForImageSegmentation(config)).save_pretrained(folder)
    by_pillow("SegGpt")(size={"height": 64, "width": 64}).save_pretrained(folder)


def clipseg(folder: Path) -> None:
    from transformers import CLIPSegConfig, CLIPSegForImageSegmentation, CLIPTokenizer

    text = {**SMALL, "vocab_size": 2 * len(WORDS), "max_position_embeddings": 77, "bos_token_id": 0, "eos_token_id": 1}
    config = CLIPSegConfig(
        vision_config={**SMALL, "num_hidden_layers": 3, "patch_size": 16, "image_size": 64},
        text_config=text,
        projection_dim=32,
        reduce_dim=16,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=32,
        extract_layers=[0, 1, 2],
    )
    at_random(CLIPSegForImageSegmentation(config)).save_pretrained(folder)
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys((*WORDS, *(f"{w}</w>" for w in WORDS[6:]))))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
    by_pillow("ViT")(
        size={"height": 64, "width": 64}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    ).save_pretrained(folder)


def dino(folder: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model

    config = Dinov2Config(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, patch_size=14, image_size=70)
    at_random(Dinov2Model(config)).save_pretrained(folder)
    by_pillow("Bit")(
        size={"shortest_edge": 256}, image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225]
    ).save_pretrained(folder)


def sam(folder: Path) -> None:
    from transformers import SamConfig, SamModel

    config = SamConfig(
        vision_config={
            "hidden_size": 32,
            "output_channels": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 128,
            "patch_size": 16,
            "window_size": 4,
            "global_attn_indexes": [1],
            "num_pos_feats": 8,
            "mlp_dim": 64,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 128, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 16,
            "mlp_dim": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    )
    at_random(SamModel(config)).save_pretrained(folder)
    by_pillow("Sam")(size={"longest_edge": 128}, pad_size={"height": 128, "width": 128}).save_pretrained(folder)


BUILDERS: dict[str, Callable[[Path], None]] = {"seggpt": seggpt, "clipseg": clipseg, "dino": dino, "sam": sam}


def at_random(model: Any) -> Any:
    """The model with every weight drawn anew, so that nothing is 0 and answers depend on what is shown."""
    made = torch.Generator().manual_seed(3)
    for name, parameter in model.named_parameters():
        with torch.no_grad():
            drawn = torch.randn(parameter.shape, generator=made) * (0.3 if parameter.ndim > 1 else 0.1)
            parameter.copy_(drawn + (1 if parameter.ndim == 1 and name.endswith("weight") else 0))
    return model.eval()


def saved_model(kind: str, folder: Path) -> Path:
    """A small model of ``kind`` in a folder."""
    BUILDERS[kind](folder)
    return folder


def drawn_episode(
    seed: int, *, sizes: Sequence[tuple[int, int]] = ((90, 120), (100, 70)), shots: int = 1
) -> RawEpisode:
    """Coloured noise with a rectangle: the query of the first size, supports of the others in turn."""
    made = np.random.default_rng(seed)

    def image(size: tuple[int, int]) -> tuple[Any, Any]:
        h, w = size
        pixels = made.integers(0, 256, (h, w, 3), dtype=np.uint8)
        mask = np.zeros((h, w), dtype=bool)
        mask[h // 4 : h // 2 + seed % 7, w // 3 : w // 2 + seed % 5] = True
        pixels[mask] = pixels[mask] // 4 + np.array([180, 20, 20], dtype=np.uint8)
        return pixels, mask

    query, *supports = [image(sizes[number % len(sizes)]) for number in range(1 + shots)]
    return RawEpisode(
        query=QueryImage("query", query[0]),
        supports=tuple(SupportImage(f"support{n}", *one) for n, one in enumerate(supports)),
        benchmark="toy-20i",
        told=(7, "cat"),
    )
