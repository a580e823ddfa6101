"""``fssbench prepare --dry-run``: which sets would be built, and what that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fssbench.base.files import free_bytes
from fssbench.cli.console import megabytes, print_json

if TYPE_CHECKING:
    from fssbench.api.needs import Needs, Planned
    from fssbench.pipelines.episode_sets.plan import FoldPlan
    from fssbench.pipelines.training_sets.build_training_set import TrainingPlan

__all__ = ["show_plan"]


def show_plan(planned: Planned[FoldPlan] | Planned[TrainingPlan], *, as_json: bool) -> None:
    """Print every set with its images, bytes and tracks, then what all of them take and what the disk has."""
    sets = [_set(one, needs) for one, needs in zip(planned.plans, planned.needs, strict=True)]
    free = free_bytes(planned.target)
    if as_json:
        total = planned.total
        print_json({"sets": sets, "bytes": total.bytes, "seconds": round(total.seconds, 1), "free_bytes": free})
        return
    for one in sets:
        print(f"{one['outcome']}: {one['path']} ({one['images']:,} images, about {megabytes(one['bytes'])})")
        for track in one["tracks"]:
            print(f"  {track['episodes']:,} {track['shot']}-shot episodes, seed {track['seed']}")
    print(f"{planned.total} with {planned.workers} workers; {planned.target} has {megabytes(free)} free")


def _set(plan: Any, needs: Needs) -> dict[str, Any]:
    """A set to build, of episodes or to train on."""
    tracks = [record.model_dump(mode="json") for _, record in getattr(plan, "tracks", ())]
    extends = getattr(plan, "base", None) is not None
    outcome = ("to extend" if extends else "to build") if needs.images or tracks else "up to date"
    return {"path": str(plan.path), "outcome": outcome, "images": needs.images, "bytes": needs.bytes, "tracks": tracks}
