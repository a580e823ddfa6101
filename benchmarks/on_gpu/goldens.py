"""Stored outputs of the published implementations, met on the device in float64 and in float32.

The inputs and weights are rebuilt by the rule of ``tests/models/filling.py``; ``tests/golden`` has the outputs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fssbench.engine.inference import InferenceSettings
from fssbench.models import build_model
from fssbench.models.fast.accelerate import accelerate
from fssbench.models.hdmnet import HDMNet
from fssbench.models.interface import FeatureSegmenter
from on_gpu.bench import Bench

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "models"))

from filling import episode, fill
from golden import EXACT, ROUNDED, difference, read

__all__ = ["measure"]

UNIT = "of a standard deviation"
STORED32 = 2e-5
"""The rounding of outputs that were computed in float64 and stored in float32."""

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


def measure(bench: Bench) -> None:
    """HSNet and HMFS, the models themselves and their accelerated twins; then HDMNet."""
    for name in ("hsnet",) if bench.small else ("hsnet", "hmfs"):
        for backbone in ("resnet50",) if bench.small or name == "hmfs" else ("resnet50", "resnet101"):
            with bench.attempt(f"{name} {backbone}"):
                model = build_model(name, backbone=backbone, backbone_weights="none")
                assert isinstance(model, FeatureSegmenter)
                of_features(bench, name, backbone, fill(model))
    for shot in () if bench.small else (1, 5):
        with bench.attempt(f"hdmnet resnet50 {shot}-shot"):
            of_hdmnet(bench, shot)


def of_features(bench: Bench, name: str, backbone: str, model: FeatureSegmenter) -> None:
    """HSNet or HMFS: in float64 at 200 pixels, in float32 at 400."""
    small, large = (episode(1, [2], [3], size) for size in (200, 400))
    stored64 = read("golden64").get(f"{name}.{backbone}.200.logits_s4")
    stored32 = read(name)[f"{name}.{backbone}.logits_s4"]
    for kind in ("model", "twin"):
        label = f"{name} {backbone}, {kind}"
        if not bench.small:
            one = model if kind == "model" else accelerate(model)
            compare(bench, label, "float32", one, large, stored32, within=ROUNDED)
        if stored64 is not None:
            doubled = model.double()
            one = doubled if kind == "model" else accelerate(doubled)
            compare(bench, label, "float64", one, small, stored64, within=EXACT)
            model.float()
        bench.tidy()


def compare(
    bench: Bench,
    label: str,
    precision: str,
    model: nn.Module,
    asked: tuple[Tensor, Tensor, Tensor],
    stored: np.ndarray,
    *,
    within: float,
) -> None:
    """Tell how far the logits are from those stored, and whether that is within what any machine keeps."""
    logits = ask(bench, model, asked, torch.float64 if precision == "float64" else torch.float32)
    tell(bench, label, precision, difference(logits[..., ::4, ::4], stored), within)


def ask(bench: Bench, model: nn.Module, asked: tuple[Tensor, Tensor, Tensor], dtype: torch.dtype) -> Tensor:
    """The logits of an episode, in full precision on the device."""
    shown = [part.to(bench.device, dtype) for part in asked]
    with InferenceSettings().arithmetic():
        found: Tensor = model.to(bench.device)(*shown)
        return found.cpu()


def of_hdmnet(bench: Bench, shot: int) -> None:
    """HDMNet's meta map, which its final one is made of, as stored for COCO."""
    golden, run = read("hdmnet"), f"hdmnet.coco.resnet50.{shot}shot"
    size = int(golden[f"{run}.size"])
    model = fill(HDMNet(backbone="resnet50", benchmark="coco", shot=shot, size=size))
    asked = episode(1, range(10, 10 + shot), range(20, 20 + shot), size)
    for precision, dtype, within in (("float32", torch.float32, ROUNDED), ("float64", torch.float64, STORED32)):
        if precision == "float64" and shot > 1:  # stored as it came out in float32
            continue
        shown = [part.to(bench.device, dtype) for part in asked]
        with InferenceSettings().arithmetic():
            found = model.to(bench.device, dtype).outputs(*shown)
        off = difference(found.meta[..., ::4, ::4].cpu(), golden[f"{run}.meta_s4"])
        tell(bench, f"hdmnet resnet50 {shot}-shot", precision, off, within)


def tell(bench: Bench, label: str, precision: str, off: float, within: float) -> None:
    """A difference, and what it is held to."""
    bench.tell(f"golden {label}", off, UNIT, case=precision)
    bench.tell(f"golden {label} met", "yes" if off <= within else f"no, {within:g} is allowed", case=precision)
