"""How much faster the shared and accelerated evaluation is than the published way of working.

    python benchmarks/evaluate.py [--model hsnet] [--episodes 100] [--images 80] [--device cpu] [--threads N]

Episodes of one class, drawn, each image 400×400 with an object in it, asked

- as the published code does: one episode at a time, and for each of its shots the query and the support pass the
  backbone, whatever passed it before;
- by the model's accelerated twin, with nothing shared but the query among the shots of an episode;
- by `FeatureAsker`: the twin, and features shared among episodes;
- likewise in bfloat16.

All in this run and in turn, a few episodes each, so that other work on the machine slows all alike. The first two ways
are asked a part of the episodes, since each costs the same; the others are asked all of them, encoding included.
Weights are those that a model begins with; HDMNet's, by which nothing is of the object, are drawn.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from fssbench.engine.feature_asker import FeatureAsker
from fssbench.engine.inference import InferenceCost, InferenceSettings, parse_bytes
from fssbench.engine.prepared import PreparedEpisode, PreparedFrame, prepare
from fssbench.models import build_model
from fssbench.models.fast.products import product
from fssbench.models.interface import FeatureSegmenter
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.results.environment import device_name
from fssbench.schemas.samples import EpisodeSample

AT_A_TIME = 5
OBJECT = (0.2, 0.7)
"""Least and greatest side of an object's box, as a share of the image's: on average a fifth of the image."""


@dataclass
class Spent:
    """Seconds on the clock and of the processor, by episode."""

    episodes: int = 0
    clock: float = 0.0
    processor: float = 0.0
    masks: dict[int, Tensor] = field(default_factory=dict)

    @property
    def each(self) -> float:
        """Seconds an episode."""
        return self.clock / self.episodes

    @property
    def processor_each(self) -> float:
        """Seconds of the processor an episode, which other work on the machine moves less."""
        return self.processor / self.episodes


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="hsnet")
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--published", type=int, default=10, help="Episodes asked in the published way.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="Of the processor. [default: torch's]")
    parser.add_argument("--feature-cache", default="8GiB")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(
        f"{device_name(arguments.device)}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )
    peaks = {dtype: peak(arguments.device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    for dtype, flops in peaks.items():
        print(f"{flops / 1e9:8.0f} GFLOP/s  product of 2500×1024 and 1024×2500 in {str(dtype).removeprefix('torch.')}")
    for shot in arguments.shots:
        compare(arguments, shot, peaks)


def _masks(asker: FeatureAsker, part: Sequence[PreparedEpisode], *, nothing_kept: bool = False) -> list[list[Tensor]]:
    if nothing_kept:
        asker.cache.clear()
    return asker(part).masks


def compare(arguments: argparse.Namespace, shot: int, peaks: dict[torch.dtype, float]) -> None:
    """The three ways, side by side."""
    options = {"shot": shot} if arguments.model == "hdmnet" else {}
    model = build_model(arguments.model, backbone=arguments.backbone, backbone_weights="none", **options)
    assert isinstance(model, FeatureSegmenter)
    if options:
        draw_weights(model)
    model.to(arguments.device).eval()
    images = draw(model, arguments.images)
    samples = draw_episodes(arguments.images, arguments.episodes, shot)
    cache = parse_bytes(arguments.feature_cache)
    ways: dict[str, Callable[[Sequence[PreparedEpisode]], list[list[Tensor]]]] = {}
    costs = {}
    settings = {
        "twin": InferenceSettings(feature_cache=0),
        "fast": InferenceSettings(feature_cache=cache),
        "bf16": InferenceSettings(feature_cache=cache, precision="bf16"),
    }
    for name, inference in settings.items():
        costs[name] = InferenceCost()
        asker = FeatureAsker(model, arguments.device, inference, costs[name])
        ways[name] = partial(_masks, asker, nothing_kept=name == "twin")
        if name != "twin":
            asker.arrange(samples)
    spent = {name: Spent() for name in ("published", *ways)}
    every = max(1, arguments.episodes // arguments.published)
    asked = [
        PreparedEpisode(images[s.query], [images[key] for key in s.supports], [(400, 400)], s.index) for s in samples
    ]
    published(model, asked[0])  # warm; the fast ways are to be charged for all they do
    for start in range(0, len(asked), AT_A_TIME):
        part = asked[start : start + AT_A_TIME]
        for number, one in enumerate(part, start):
            if number % every == 0:
                timed(spent["published"], arguments.device, number, [one], lambda o: [[published(model, o[0])]])
                timed(spent["twin"], arguments.device, number, [one], ways["twin"])
        for name in ("fast", "bf16"):
            timed(spent[name], arguments.device, start, part, ways[name])
    flops = {"published": operations(lambda: published(model, asked[0]))}
    for name, inference in settings.items():
        asker = FeatureAsker(model, arguments.device, inference, InferenceCost())
        flops[name] = shared_operations(asker, asked[0], costs[name], spent[name].episodes)
    report(shot, spent, costs, peaks, flops)


def timed(
    spent: Spent,
    device: str,
    number: int,
    part: Sequence[PreparedEpisode],
    ask: Callable[[Sequence[PreparedEpisode]], list[list[Tensor]]],
) -> None:
    """Ask episodes and add up what it takes."""
    clock, processor = time.perf_counter(), time.process_time()
    with InferenceSettings().arithmetic():
        found = ask(part)
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    spent.clock += time.perf_counter() - clock
    spent.processor += time.process_time() - processor
    spent.episodes += len(part)
    spent.masks |= {number + i: masks[0] for i, masks in enumerate(found)}


def published(model: FeatureSegmenter, episode: PreparedEpisode) -> Tensor:
    """One episode as the published code asks it: query and support anew for every shot, where shots vote."""
    normalise, device = model.preprocess.normalise, next(model.parameters()).device
    query = normalise(episode.query.pixels[None].to(device))
    supports = normalise(torch.stack([one.pixels for one in episode.supports]).to(device))
    masks = torch.stack([one.mask for one in episode.supports]).float().to(device)
    if hasattr(model, "shot"):  # shots are matched together
        return model.predict_sizes(query, supports[None], masks[None], list(episode.sizes))[0][0]
    votes = []
    for support, mask in zip(supports, masks, strict=True):
        shown = model.condition(model.encode(support[None]), support[None], mask[None])
        votes.append(model.match(model.encode(query), [one[:, None] for one in shown]))
    return model.decide(torch.cat(votes, dim=1), episode.sizes[0])[0]


def operations(ask: Callable[[], object]) -> float:
    """Floating-point operations of convolutions and products."""
    with FlopCounterMode(display=False) as counter, InferenceSettings().arithmetic():
        ask()
    return float(counter.get_total_flops())


def shared_operations(asker: FeatureAsker, episode: PreparedEpisode, cost: InferenceCost, episodes: int) -> float:
    """Those of one of a class's episodes in which so much was computed; this one's masks stand for all."""
    _masks(asker, [episode])  # what is computed once for all is no episode's
    asker.cache.clear()
    first = operations(lambda: asker([episode]))
    units, again = max(1, len(asker.cache)), operations(lambda: asker([episode]))
    return again + (first - again) / units * (cost.encoded + cost.conditioned) / episodes


def peak(device: str, dtype: torch.dtype) -> float:
    """Operations a second of a large product, by the library that is fastest."""
    a, b = (torch.randn(*shape, device=device).to(dtype) for shape in ((50, 50, 1024), (2500, 1024)))
    best = 1e9
    for _ in range(8):
        start = time.perf_counter()
        product(a, b)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * 2500 * 2500 * 1024 / best


def draw_weights(model: FeatureSegmenter) -> None:
    """Weights of He et al., and of a batch norm what is a little off from doing nothing."""
    chance = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=chance)
            if tensor.ndim > 1:
                drawn *= (2 / tensor[0].numel()) ** 0.5
            else:
                drawn = 0.1 * drawn.abs() + 1 if name.endswith(("weight", "running_var")) else 0.1 * drawn
            tensor.copy_(drawn)


def draw(model: FeatureSegmenter, count: int) -> dict[str, PreparedFrame]:
    """Images of coarse noise with an ellipse of another kind of noise, and its mask."""
    chance = np.random.default_rng(0)
    drawn = {}
    for number in range(count):
        coarse = Image.fromarray(chance.integers(0, 256, (24, 24, 3), dtype=np.uint8))
        image = np.array(coarse.resize((400, 400), Image.Resampling.BICUBIC))
        (h, w), (y, x) = chance.uniform(*OBJECT, 2) * 200, chance.uniform(0.25, 0.75, 2) * 400
        rows, columns = np.ogrid[:400, :400]
        mask = ((rows - y) / h) ** 2 + ((columns - x) / w) ** 2 <= 1
        image[mask] = chance.integers(0, 256, 3) // 2 + image[mask] // 2
        frame = Frame(f"i{number:07d}", f"{number}", 0, image, mask, None, None)
        drawn[frame.key] = prepare(frame, model.preprocess)
    shares = [float(one.mask.float().mean()) for one in drawn.values()]
    print(f"{count} images, the object covers {np.mean(shares):.0%} of them")
    return drawn


def draw_episodes(images: int, episodes: int, shot: int) -> list[EpisodeSample]:
    """Episodes of one class."""
    chance = random.Random(0)
    found = []
    for index in range(episodes):
        query, *supports = (f"i{n:07d}" for n in chance.sample(range(images), 1 + shot))
        found.append(EpisodeSample(index=index, class_id=0, query=query, supports=tuple(supports)))
    return found


def report(
    shot: int,
    spent: dict[str, Spent],
    costs: dict[str, InferenceCost],
    peaks: dict[torch.dtype, float],
    flops: dict[str, float],
) -> None:
    """Times, ratios, and how near the published way comes to what the processor can."""
    plain, twin, fast, bf16 = (spent[name] for name in ("published", "twin", "fast", "bf16"))
    print(f"\n{shot}-shot, {fast.episodes} episodes, {plain.episodes} of them in the published way")
    for name, one in spent.items():
        encoded = f", {costs[name].encoded} images encoded" if name in costs else ""
        print(f"{one.each:8.3f} s  {name} an episode ({one.processor_each:.3f} s of the processor{encoded})")
    for name, one, other in (("twin", plain, twin), ("fast", plain, fast), ("bf16", fast, bf16)):
        against = "float32" if name == "bf16" else "the published way"
        print(
            f"{one.each / other.each:8.2f} ×  {name} against {against} "
            f"({one.processor_each / other.processor_each:.2f} × by the processor's time)"
        )
    for name, one in spent.items():
        share = flops[name] / one.each / peaks[torch.bfloat16 if name == "bf16" else torch.float32]
        print(f"{share:8.0%}    of the product's speed is that of {name}, {flops[name] / 1e9:,.0f} GFLOP an episode")
    shown = torch.stack(list(plain.masks.values())).float().mean()
    print(f"{shown:8.1%}    of the pixels are of the object by the published way")
    for name, one in (("twin", twin), ("fast", fast), ("bf16", bf16)):
        pairs = [(plain.masks[i], one.masks[i]) for i in plain.masks]
        differing = sum(int((a != b).sum()) for a, b in pairs)
        print(f"{differing:8,}    of {sum(a.numel() for a, _ in pairs):,} pixels differ between published and {name}")


if __name__ == "__main__":
    main()
