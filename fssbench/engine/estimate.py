"""What an evaluation will take, in memory and time, from its episodes and one that is drawn and timed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fssbench.base.belady import BeladyCache
from fssbench.engine.askers import Asker, asker_of
from fssbench.engine.feature_asker import FeatureAsker, Key
from fssbench.engine.inference import InferenceCost
from fssbench.engine.job import Job
from fssbench.engine.memory import peak_bytes
from fssbench.engine.model import LoadedModel
from fssbench.engine.prepared import PreparedEpisode, prepare
from fssbench.engine.shown import Shown
from fssbench.episodes.episodes import Episode
from fssbench.models.interface import FewShotSegmenter
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.pipelines.sources.toy import draw_example
from fssbench.schemas.samples import EpisodeSample

__all__ = ["Estimate", "estimate"]

DRAWN = 0
"""The class of what is drawn."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one track will take in one process, all of its episodes asked.

    Attributes:
        track: fold, shot and seed in words.
        images: different ones, of all classes together.
        encoded: how often an image will be encoded, and a support conditioned where that is kept.
        seconds: decoding and scoring not counted; they go on beside it, or take little.
        seconds_per_image: to encode one.
        seconds_per_episode: to match one whose features are there.
        weights: bytes of the model, and of its accelerated twin.
        feature_bytes: of one image.
        features: bytes held at most.
        working: bytes that one step of asking needs beside these.
    """

    track: str
    episodes: int
    images: int
    encoded: int
    seconds: float
    seconds_per_image: float
    seconds_per_episode: float
    batch: int
    weights: int
    feature_bytes: int
    features: int
    working: int
    memory: int


def estimate(loaded: LoadedModel, job: Job, *, processes: int = 1) -> Estimate:
    """Look at the episodes, ask one that is drawn, and say what all of them will take."""
    model, track = loaded.model, job.track
    shown = Shown(benchmark=track.benchmark, class_names={DRAWN: "a drawn object"})
    asker = asker_of(model, job.device, job.inference, shown, InferenceCost())
    weights = _weights(model) + (_weights(asker.model) if asker.model is not model else 0)
    by_class: dict[int, list[Episode]] = {}
    for episode in track.episodes:
        by_class.setdefault(episode.class_id, []).append(episode)
    images = sum(len({image for e in ones for image in (e.query, *e.supports)}) for ones in by_class.values())
    first, again, peak = _times(asker, job)
    if isinstance(asker, FeatureAsker):
        units = len(asker.cache)
        each, held = _held(asker), asker.cache.held
        per_image = max(first - again, 0.0) / units
        keys = job.episode_set.keys()
        plans = [_planned(asker, _samples(keys, class_id, ones), each) for class_id, ones in by_class.items()]
        encoded, features = sum(plan[0] for plan in plans), max(plan[1] for plan in plans)
        per_episode, feature_bytes = again / asker.batch, int(each["image"])
    else:
        encoded, features, held, feature_bytes = len(track.episodes) * (1 + job.shot), 0, 0.0, 0
        per_image, per_episode = 0.0, first
    working = max(0, int(peak - _weights(asker.model) - held))
    return Estimate(
        track=f"fold {job.episode_set.manifest.fold}, {job.shot}-shot, seed {job.seed}",
        episodes=len(track.episodes),
        images=images,
        encoded=encoded,
        seconds=(encoded * per_image + len(track.episodes) * per_episode) / processes,
        seconds_per_image=per_image,
        seconds_per_episode=per_episode,
        batch=asker.batch,
        weights=weights,
        feature_bytes=feature_bytes,
        features=int(features),
        working=working,
        memory=weights + int(features) + working,
    )


def _weights(model: FewShotSegmenter) -> int:
    return sum(tensor.nbytes for tensor in model.state_dict().values())


def _times(asker: Asker, job: Job) -> tuple[float, float, int]:
    """Seconds to ask drawn episodes, and to ask them again with their features there; peak bytes of the former."""
    drawn = [_drawn(asker.model, job.shot, number) for number in range(2 * asker.batch)]
    warm, timed = drawn[: asker.batch], drawn[asker.batch :]

    def ask(episodes: Sequence[PreparedEpisode]) -> None:
        with job.inference.arithmetic(gradients=asker.model.needs_gradients):
            asker(episodes)

    def seconds(episodes: Sequence[PreparedEpisode]) -> float:
        start = time.perf_counter()
        ask(episodes)
        if job.device.startswith("cuda"):
            torch.cuda.synchronize(job.device)
        return time.perf_counter() - start

    ask(warm)
    if isinstance(asker, FeatureAsker):
        asker.cache.clear()
    first = seconds(timed)
    again = min(seconds(timed) for _ in range(2))
    if isinstance(asker, FeatureAsker):
        asker.cache.clear()
    return first, again, peak_bytes(lambda: ask(timed), asker.model, job.device)


def _drawn(model: FewShotSegmenter, shot: int, number: int) -> PreparedEpisode:
    """A toy episode of images that no other has."""
    shown = []
    for n in range(1 + shot):
        image, mask = draw_example(number * (1 + shot) + n)
        frame = Frame(f"{number}/{n}", f"{number}/{n}", DRAWN, image, mask, None, None)
        shown.append(prepare(frame, model.preprocess, with_pixels=model.reads_pixels))
    return PreparedEpisode(shown[0], shown[1:], [shown[0].geometry.content, shown[0].geometry.original], 0)


def _held(asker: FeatureAsker) -> dict[str, float]:
    """Bytes of the features of an image, and of what a support shows where that is kept."""
    found = {kind: size for (kind, _), size in asker.cache.sizes()}
    return {"image": 0.0, "support": 0.0} | found


def _samples(keys: Mapping[tuple[int, str], str], class_id: int, episodes: Sequence[Episode]) -> list[EpisodeSample]:
    return [
        EpisodeSample(
            index=number,
            class_id=class_id,
            query=keys[class_id, one.query],
            supports=tuple(keys[class_id, image] for image in one.supports),
        )
        for number, one in enumerate(episodes)
    ]


def _planned(asker: FeatureAsker, samples: list[EpisodeSample], each: dict[str, float]) -> tuple[int, float]:
    """How much is computed for a class, and how many bytes are held at most."""
    needs = [list(keys) for keys in asker.needs(asker.arrange(samples))]
    cache: BeladyCache[Key, None] = BeladyCache(asker.cache.budget)
    cache.expect(needs)
    computed, most = 0, 0.0
    for step, keys in enumerate(needs):
        cache.begin(keys, done=step)
        for key in dict.fromkeys(keys):
            if key not in cache:
                computed += 1
                cache.put(key, None, each[key[0]])
        most = max(most, cache.held)
    return computed, most
