"""A track of 10,000 episodes in full: from the command's first step to the result that is written.

COCO's number of episodes and sizes of pictures; the pictures are drawn, few different ones, and weights are random.
"""

from __future__ import annotations

import time

from fssbench.api.evaluate import EvaluationRequest
from fssbench.api.tracks import asked_tracks
from fssbench.engine.evaluate import Answer
from fssbench.engine.inference import USUAL, InferenceSettings
from on_gpu.bench import Bench
from on_gpu.chosen import MODELS

__all__ = ["measure"]

EVERY = 1000


def measure(bench: Bench) -> None:
    """A model that answers at once, which leaves the host's work; then HSNet, as one asks it and in bfloat16."""
    hsnet = MODELS[0]
    options = hsnet.options(bench, 1)
    ask(bench, "all-foreground", "all-foreground", {}, None, USUAL)
    ask(bench, f"{hsnet.title}, float32", hsnet.name, options, "none", USUAL)
    if not bench.small:
        ask(bench, f"{hsnet.title}, bf16", hsnet.name, options, "none", InferenceSettings(precision="bf16"))


def ask(
    bench: Bench, title: str, model: str, options: dict[str, object], weights: str | None, inference: InferenceSettings
) -> None:
    """Evaluate 1-shot, and tell how far it is now and then."""
    with bench.attempt(title):
        start, done = time.perf_counter(), 0
        request = EvaluationRequest(
            model=model,
            tracks=asked_tracks("coco", data=bench.folder / "sets", folds=(0,)),
            options=options,
            weights=weights,
            device=bench.device,
            workers=bench.workers,
            inference=inference,
            output=bench.folder / "results" / title,
            overwrite=True,
        )

        def look(_: Answer) -> None:
            nonlocal done
            done += 1
            if done % EVERY == 0:
                bench.tell(f"{title}, so far", time.perf_counter() - start, "s", case=f"{done:,} episodes")

        (found,) = request.run(look=look)
        bench.tell(f"{title}, 1-shot, whole run", time.perf_counter() - start, "s")
        run = found.record.execution
        assert run is not None
        bench.tell(f"{title}, 1-shot, episodes", float(found.record.episodes.n_episodes))
        bench.tell(f"{title}, 1-shot", run.episodes_per_second, "episodes/s")
        bench.tell(f"{title}, 1-shot, images encoded", float(run.encoded_images or 0))
        bench.tell(f"{title}, 1-shot, batch at the end", float(run.batch or 0))
