"""What `torch.compile` and CUDA graphs make of the encoder, and whether they pay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fssbench.engine.inference import InferenceSettings
from on_gpu.bench import Bench
from on_gpu.chosen import MODELS, Chosen, asked, feature_asker

__all__ = ["measure"]

Encode = Callable[[Tensor], Sequence[Tensor]]


def measure(bench: Bench) -> None:
    """HSNet and HDMNet: graphs first, which take no time to make."""
    if not bench.gpu:
        bench.tell("torch.compile and CUDA graphs", "left out: they are measured on a GPU")
        return
    for chosen in (MODELS[0], MODELS[3]):
        for batch in (1, 8):
            with bench.attempt(f"CUDA graph of {chosen.title}, batch of {batch}"):
                graphs(bench, chosen, batch)
    for chosen in (MODELS[0], MODELS[3]):
        with bench.attempt(f"torch.compile of {chosen.title}"):
            compiled(bench, chosen, 8)


def ready(bench: Bench, chosen: Chosen, inference: InferenceSettings, batch: int) -> tuple[Encode, Tensor, Tensor]:
    """The twin's encoder as an evaluation calls it, and two batches of images on the device."""
    model = chosen.build(bench, 1)
    pixels = torch.stack([one.query.pixels for one in asked(bench, model.preprocess, shot=1, n=2 * batch).episodes])
    images = model.preprocess.normalise(pixels.to(bench.device))
    return feature_asker(bench, model, inference).encode, images[:batch].clone(), images[batch:].clone()


def graphs(bench: Bench, chosen: Chosen, batch: int) -> None:
    """The encoder captured once and replayed, against launching it every time."""
    inference = InferenceSettings(batch=batch)
    title = f"encode by {chosen.title}, batch of {batch}"
    with inference.arithmetic():
        encode, images, others = ready(bench, chosen, inference, batch)
        usual = bench.each(lambda: encode(images), seconds=1.0)
        replay, found = captured(bench, encode, images)
        replayed = bench.each(replay, seconds=1.0)
        images.copy_(others)  # the graph reads where it was captured
        replay()
        off = max(float((one - other).abs().max()) for one, other in zip(found, encode(others), strict=True))
    bench.tell(title, 1000 * usual, "ms", case="launched")
    bench.tell(title, 1000 * replayed, "ms", case="CUDA graph")
    bench.tell(f"{title}, gain of a CUDA graph", usual / replayed, "×")
    bench.tell(f"{title}, largest difference by a CUDA graph", off)


def captured(bench: Bench, encode: Encode, images: Tensor) -> tuple[Callable[[], None], Sequence[Tensor]]:
    """What replays the encoder, and where its output then is."""
    here = torch.cuda.current_stream(bench.device)
    beside = torch.cuda.Stream(bench.device)  # type: ignore[no-untyped-call]
    beside.wait_stream(here)
    with torch.cuda.stream(beside):  # handles and workspaces are made before anything is captured
        for _ in range(3):
            encode(images)
    here.wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # what other threads free is their affair
        found = encode(images)
    return graph.replay, found


def compiled(bench: Bench, chosen: Chosen, batch: int) -> None:
    """The encoder by ``--compile``, against the encoder as it is."""
    title = f"encode by {chosen.title}, batch of {batch}"
    taken = {}
    for case in ("as it is", "compiled"):
        inference = InferenceSettings(batch=batch, compiled=case == "compiled")
        with inference.arithmetic():
            encode, images, _ = ready(bench, chosen, inference, batch)
            start = time.perf_counter()
            encode(images)
            bench.wait()
            bench.tell(f"{title}, first call", time.perf_counter() - start, "s", case=case)
            taken[case] = bench.each(lambda: encode(images), seconds=1.0)  # noqa: B023
        bench.tell(title, 1000 * taken[case], "ms", case=case)
    bench.tell(f"{title}, gain of torch.compile", taken["as it is"] / taken["compiled"], "×")
