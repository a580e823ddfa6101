"""A result as a run of somebody else's record of runs: what was asked, and the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fssbench.base.trackers import open_trackers
from fssbench.schemas.result import Result

__all__ = ["log_result"]


def log_result(result: Result, trackers: Sequence[str]) -> None:
    """Make a run of a result in each of ``trackers``; see `fssbench.base.trackers`."""
    asked, model = result.episodes, result.model
    track = f"{asked.benchmark} fold {asked.fold}, {asked.shot}-shot, seed {asked.seed}"
    title = " ".join(filter(None, (model.name, model.backbone, model.control, track)))
    for run in open_trackers(trackers, title=title, facts=_facts(result)):
        try:
            run.log(_figures(result), step=None)
        finally:
            run.close()


def _facts(result: Result) -> dict[str, Any]:
    asked, model, ran = result.episodes, result.model, result.execution
    told = ("benchmark", "protocol", "protocol_version", "fold", "shot", "seed", "n_episodes", "digest", "truth_digest")
    facts: dict[str, Any] = {
        "model": model.name,
        "backbone": model.backbone,
        "training": model.training,
        "control": model.control,
    }
    facts |= {f"options.{name}": value for name, value in model.options.items()}
    facts |= {name: getattr(asked, name) for name in told}
    facts |= {"policy": result.headline, "official": result.official, "fssbench": result.environment.fssbench}
    if ran is not None:
        facts |= {"device": ran.device_name, "precision": ran.precision}
    return {name: value for name, value in facts.items() if value is not None}


def _figures(result: Result) -> dict[str, float]:
    score, ran = result.score, result.execution
    figures = {"miou": score.miou.value, "fb-iou": score.fb_iou.value}
    for name, figure in (("miou", score.miou), ("fb-iou", score.fb_iou)):
        if sure := figure.other_images or figure.other_episodes:
            figures |= {f"{name}/low": sure.low, f"{name}/high": sure.high}
    figures |= {f"iou/{one.name}": one.iou.value for one in score.per_class}
    if ran is not None:
        figures["episodes-per-second"] = ran.episodes_per_second
    return {name: value for name, value in figures.items() if value is not None}
