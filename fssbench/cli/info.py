"""``fssbench info``: what a set or a result is, and what this machine has."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fssbench.base.errors import UsageError, one_line
from fssbench.cli import complete, training_sets
from fssbench.cli.console import PLACE, JsonFlag, Place, megabytes, percent, print_json, progress
from fssbench.cli.sets import open_set
from fssbench.cli.summary import print_summary

if TYPE_CHECKING:
    from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
    from fssbench.pipelines.training_sets.training_set import TrainingSet
    from fssbench.schemas.result import Result

__all__ = ["info"]

MANIFESTS = ("manifest.json", "training.json")


def info(
    path: Annotated[
        Place | None,
        typer.Argument(
            help="A set's folder or address, or a result file. [default: this machine]",
            autocompletion=complete.sets,
            **PLACE,
        ),
    ] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="Show only what a set's manifest says; do not read its shards.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Describe an episode set, a training set, a result, or this installation."""
    if isinstance(path, Path) and path.is_dir():
        path = _result_in(path)
    if path is None:
        _show(_installation(), as_json)
    elif isinstance(path, Path) and path.suffix == ".json" and path.name not in MANIFESTS:
        from fssbench.schemas.result import read_result

        result = read_result(path)
        _show(result.model_dump(mode="json") if as_json else _result(result), as_json)
    elif training := _training_set(path):
        _show(training.manifest.model_dump(mode="json") if as_json else training_sets.describe(training), as_json)
    else:
        _describe_set(open_set(path), brief, as_json)


def _result_in(folder: Path) -> Path:
    """The only result below a folder that is not a set; the folder itself if there is none. Several are too many."""
    from fssbench.results.load import find_results

    if any((folder / name).is_file() for name in MANIFESTS):
        return folder
    found = find_results(folder)
    if len(found) > 1:
        raise UsageError(
            f"{folder} holds {len(found)} results, such as {found[0]}",
            remedy=f"name one of them, or see all with fssbench leaderboard build {folder}",
        )
    return found[0] if found else folder


def _training_set(place: Place) -> TrainingSet | None:
    """The training set at ``place``, its folder or its manifest, if it is one."""
    from fssbench.pipelines.training_sets.training_set import TRAINING, TrainingSet

    folder = place.parent if isinstance(place, Path) and place.name == TRAINING else place
    return TrainingSet.open(folder) if (folder / TRAINING).is_file() else None


def _describe_set(episode_set: EpisodeSet, brief: bool, as_json: bool) -> None:
    """A set's manifest, and unless that is all that is wanted, what its classes consist of."""
    if not as_json:
        _show(_set(episode_set), as_json)
    facts = episode_set.manifest.model_dump(mode="json")
    if not brief:
        from fssbench.pipelines.episode_sets.summary import summarise_set

        total = sum(shard.bytes for shard in episode_set.shards("images"))
        with progress("reading", total, unit="bytes") as advance:
            summary = summarise_set(episode_set, advance=advance)
        facts["summary"] = asdict(summary)
        if not as_json:
            print_summary(summary)
    if as_json:
        print_json(facts)


def _show(facts: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        for n, line in enumerate(value if isinstance(value, list) else [value]):
            print(f"{name if n == 0 else '':<{width}}  {one_line(line)}")


def _installation() -> dict[str, Any]:
    from fssbench.base.home import Home
    from fssbench.results.environment import (
        describe_environment,
        describe_machine,
        device_name,
        installed_requirements,
        pick_device,
    )

    environment = describe_environment()
    home = Home.find()
    return {
        "fssbench": environment.fssbench,
        "revision": f"{environment.git_revision or 'not a checkout'}{' (dirty)' if environment.git_dirty else ''}",
        "python": environment.python,
        **describe_machine(),
        "packages": [f"{name} {found or 'not installed'}" for name, found in installed_requirements().items()],
        "device": device_name(pick_device("auto")),
        "home": f"{home.path}{'' if home.path.is_dir() else ' (not made yet)'}" if home.is_known else "none",
    }


LISTS = {
    "pools": "each class's pool, sorted",
    "derived": "derived from the masks",
    "files": "split files",
}


def _set(episode_set: EpisodeSet) -> dict[str, Any]:
    manifest = episode_set.manifest
    return {
        "set": manifest.title,
        "protocol": f"{manifest.protocol.label}, at least {manifest.protocol.min_pixels:,} mask pixels",
        "lists": [f"{file.name} {file.sha256}" for file in manifest.splits] or LISTS[manifest.protocol.lists],
        "source": [f"{manifest.source.kind}, {manifest.source.layout}, {manifest.source.split}"]
        + [f"{file.name} {file.sha256}" for file in manifest.source.files],
        "masks": manifest.mask_policy.title,
        "classes": [f"{pool.id:>4} {pool.name} ({pool.images:,} images)" for pool in manifest.classes],
        "tracks": [
            f"{t.shot}-shot seed {t.seed}: {t.episodes:,} episodes, digest {t.digest}, "
            f"truth digest {t.truth_digest or 'not told'}"
            for t in manifest.tracks
        ],
        "images": f"{manifest.n_images:,} in {len(episode_set.shards('images'))} shards, "
        f"{megabytes(manifest.n_bytes)} in all",
        "unofficial": list(manifest.reasons) or "no",
    }


def _result(result: Result) -> dict[str, Any]:
    model, episodes, run = result.model, result.episodes, result.execution
    return {
        "model": f"{model.name} {model.backbone or ''}, training {model.training}",
        "episodes": f"{episodes.benchmark} {episodes.protocol}/{episodes.protocol_version} fold {episodes.fold}, "
        f"{episodes.shot}-shot seed {episodes.seed}, {episodes.n_episodes:,} episodes",
        "digest": episodes.digest,
        "truth digest": episodes.truth_digest or "not told",
        "scores": [
            f"{p.policy}: mIoU {percent(p.miou.value)}, FB-IoU {percent(p.fb_iou.value)}" for p in result.policies
        ],
        "classes": [
            f"{percent(c.iou.value):>6} {c.name} ({c.iou.n_episodes} episodes)" for c in result.score.per_class
        ],
        "run": f"{run.device_name}, {run.episodes_per_second} episodes/s"
        if run
        else "scored from masks that were there",
        "unofficial": list(result.unofficial) or "no",
    }
