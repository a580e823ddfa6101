"""What a lower precision changes where weights have learned: the demo's HSNet on the toy, mask by mask.

HSNet is trained here by the demo's recipe on drawn shapes, at 96 pixels, and asked the demo's 200 episodes of novel
classes. All masks are compared with those of the model itself, one episode at a time in float32.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor

from fssbench.api.evaluate import EvaluationRequest
from fssbench.api.tracks import asked_tracks
from fssbench.api.train import train
from fssbench.engine.evaluate import Answer
from fssbench.engine.inference import PLAIN, InferenceSettings
from on_gpu.bench import Bench
from on_gpu.device import precisions

__all__ = ["measure"]

SHORT = {"run.epochs": 1, "run.episodes": 8, "run.validation_episodes": 2}


def measure(bench: Bench) -> None:
    """Train, then ask in every precision."""
    start = time.perf_counter()
    changes = SHORT if bench.small else {}
    done = train(
        "hsnet",
        "toy",
        fold=0,
        data=bench.folder / "sets",
        device=bench.device,
        output=bench.folder / "training",
        changes=changes,
        overwrite=(bench.folder / "training").exists(),
    )
    bench.tell("train HSNet on the toy", time.perf_counter() - start, "s")
    best = done.progress.best
    if best is not None and best.miou is not None:
        bench.tell("mIoU on base classes held out", 100 * best.miou, "%")
    plain, miou = ask(bench, done.weights, PLAIN)
    told(bench, miou, "plain, float32")
    pixels = sum(mask.numel() for mask in plain.values())
    for precision in precisions(bench):
        with bench.attempt("pixels that differ from plain, float32", precision):
            masks, miou = ask(bench, done.weights, InferenceSettings(precision=precision))
            differing = sum(int((masks[index] != plain[index]).sum()) for index in plain)
            share = 1e6 * differing / pixels
            bench.tell("pixels that differ from plain, float32", share, "of 1,000,000", case=precision)
            told(bench, miou, precision)


def told(bench: Bench, miou: float | None, case: str) -> None:
    """A score, which may be undefined."""
    bench.tell("mIoU on novel classes", "undefined" if miou is None else 100 * miou, "%", case=case)


def ask(bench: Bench, weights: Path, inference: InferenceSettings) -> tuple[dict[int, Tensor], float | None]:
    """The masks by episode, and mIoU."""
    masks: dict[int, Tensor] = {}

    def look(answer: Answer) -> None:
        masks[answer.index] = torch.as_tensor(answer.masks["original"]).cpu()

    request = EvaluationRequest(
        model="hsnet",
        tracks=asked_tracks("toy", data=bench.folder / "sets", folds=(0,)),
        options={"size": 96},
        weights=str(weights),
        device=bench.device,
        inference=inference,
    )
    (found,) = request.run(look=look)
    return masks, found.miou
