"""What a lower precision changes: the first episodes asked again in float32, one at a time."""

from __future__ import annotations

from collections.abc import Sequence

from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.inference import PLAIN, InferenceSettings
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel
from fssbench.results.figures import policy_results
from fssbench.results.policies import policies_for
from fssbench.schemas.result import PrecisionCheck
from fssbench.scoring.counts import CountsTable

__all__ = ["check_precision"]

EPISODES = 16


def check_precision(loaded: LoadedModel, job: Job) -> PrecisionCheck:
    """Compare the masks and the score of a job's first episodes with those in float32."""
    lower, full = (_answers(loaded, job, inference) for inference in (job.inference, PLAIN))
    return PrecisionCheck(
        episodes=len(full),
        pixels=sum(answer.masks["original"].numel() for answer in full),
        differing_pixels=sum(
            int((a.masks["original"] != b.masks["original"]).sum()) for a, b in zip(lower, full, strict=True)
        ),
        miou=_miou(job, lower),
        miou_float32=_miou(job, full),
    )


def _answers(loaded: LoadedModel, job: Job, inference: InferenceSettings) -> list[Answer]:
    given = answers(
        loaded.model,
        job.episode_set,
        shot=job.shot,
        seed=job.seed,
        episodes=min(EPISODES, job.n_episodes),
        device=job.device,
        workers=job.workers,
        control=loaded.record.control,
        inference=inference,
    )
    return sorted(given, key=lambda answer: answer.index)


def _miou(job: Job, given: Sequence[Answer]) -> float | None:
    names = tuple(policy.name for policy in policies_for(job.episode_set))
    table = CountsTable.of(job.track.first(len(given)), names, (answer.scored for answer in given))
    classes = {pool.id: pool.name for pool in job.episode_set.manifest.classes}
    results = {one.policy: one for one in policy_results(table, classes=classes)}
    return results[job.headline.name].miou.value
