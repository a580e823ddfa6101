"""Episodes a second, end to end and by the model alone, in every way of asking.

End to end is from the shards to the counts: reading, decoding, the model, scoring, a class's images shared as far as
the memory for features allows. The model alone is given episodes that are on the device: what is left is normalising,
encoding, matching and deciding, by the device's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fssbench.engine.askers import PlainAsker
from fssbench.engine.evaluate import answers
from fssbench.engine.inference import InferenceCost, InferenceSettings
from fssbench.engine.prepared import PreparedEpisode
from fssbench.models.interface import FeatureSegmenter
from on_gpu.bench import Bench
from on_gpu.chosen import MODELS, Asked, asked, feature_asker, ways

__all__ = ["measure"]

IN_MEMORY = 192
"""Episodes, on the device."""

SHARE = 0.75
"""Of the budget that is spent between clocks; the rest builds models and warms them up."""


def measure(bench: Bench) -> None:
    """Every model at 1 and 5 shots, the ways in turn."""
    models, shots = (MODELS[0:4:3], (1,)) if bench.small else (MODELS, (1, 5))
    settings = ways(bench)
    seconds = SHARE * bench.seconds / (2 * len(models) * len(shots) * len(settings))
    seconds = 0.02 if bench.small else seconds
    for shot in shots:
        for chosen in models:
            title = f"{chosen.title}, {shot}-shot"
            with bench.attempt(title):
                model = chosen.build(bench, shot)
                ready = asked(bench, model.preprocess, shot=shot, n=8 if bench.small else IN_MEMORY)
                compare(bench, title, model, ready, settings, seconds)


def compare(
    bench: Bench,
    title: str,
    model: FeatureSegmenter,
    ready: Asked,
    settings: dict[str, InferenceSettings],
    seconds: float,
) -> None:
    """One model in all ways, and what each gains on the plain one."""
    kinds: dict[str, Callable[[InferenceSettings], float]] = {
        "end to end": lambda inference: end_to_end(bench, model, ready.shot, inference, seconds),
        "alone": lambda inference: alone(bench, model, ready.episodes, inference, seconds),
    }
    for kind, ask in kinds.items():
        plain: float | None = None
        for way, inference in settings.items():
            with bench.attempt(f"{title}, {kind}", way):
                found = ask(inference)
                bench.tell(f"{title}, {kind}", found, "episodes/s", case=way)
                if way == "plain":
                    plain = found
                elif plain is not None:
                    bench.tell(f"{title}, {kind}, against plain", found / plain, "×", case=way)


def end_to_end(bench: Bench, model: FeatureSegmenter, shot: int, inference: InferenceSettings, seconds: float) -> float:
    """Episodes a second by the clock on the wall, those of the first batches not counted."""
    found = answers(
        model, bench.coco, shot=shot, seed=0, device=bench.device, workers=bench.workers, inference=inference
    )
    warm = 2 * inference.batch_on(bench.device)
    for _, _ in zip(range(warm), found, strict=False):
        pass
    bench.wait()
    start, n = time.perf_counter(), 0
    for n, _ in enumerate(found, 1):
        if time.perf_counter() - start > seconds and n % warm == 0:
            break
    bench.wait()
    taken = time.perf_counter() - start
    found.close()  # type: ignore[attr-defined]
    return n / taken


def alone(
    bench: Bench,
    model: FeatureSegmenter,
    episodes: Sequence[PreparedEpisode],
    inference: InferenceSettings,
    seconds: float,
) -> float:
    """Episodes a second by the device's clock, their features computed as they are met."""
    batch = inference.batch_on(bench.device)
    plain = PlainAsker(model, bench.device, inference, InferenceCost())
    asker = feature_asker(bench, model, inference) if inference.fast else None

    def ask(part: Sequence[PreparedEpisode]) -> object:
        if asker is None:
            return plain(part)
        asker.cache.clear()
        return [asker(part[start : start + batch]) for start in range(0, len(part), batch)]

    with inference.arithmetic():
        few = episodes[:batch]
        ask(few)
        once = bench.time(lambda: ask(few)) / len(few)
        n = min(len(episodes), int(seconds / once)) // len(few) * len(few)  # whole batches: others would be filled up
        return max(n, len(few)) / bench.time(lambda: ask(episodes[: max(n, len(few))]))
