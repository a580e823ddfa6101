"""The models and settings that are measured, and asking them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

from fssbench.engine.feature_asker import FeatureAsker
from fssbench.engine.inference import PLAIN, InferenceCost, InferenceSettings
from fssbench.engine.prepared import PreparedEpisode, prepare
from fssbench.engine.transfer import Transfer
from fssbench.models import build_model
from fssbench.models.interface import FeatureSegmenter, Preprocess
from fssbench.pipelines.episode_sets.stream import stream
from on_gpu.bench import Bench

__all__ = ["MODELS", "Asked", "Chosen", "asked", "feature_asker", "ways"]


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A model by its name and options; weights are random."""

    title: str
    name: str
    backbone: str = "resnet50"

    def options(self, bench: Bench, shot: int) -> dict[str, Any]:
        """Of the published size, or tiny."""
        size = {"size": 65 if self.name == "hdmnet" else 64} if bench.small else {}
        shots = {"shot": shot} if self.name == "hdmnet" else {}
        return {"backbone": self.backbone, "backbone_weights": "none", **size, **shots}

    def build(self, bench: Bench, shot: int) -> FeatureSegmenter:
        """The model on the device."""
        model = build_model(self.name, **self.options(bench, shot))
        assert isinstance(model, FeatureSegmenter)
        return model.to(bench.device).eval()


MODELS = (
    Chosen(title="HSNet R50", name="hsnet"),
    Chosen(title="HSNet R101", name="hsnet", backbone="resnet101"),
    Chosen(title="HMFS R50", name="hmfs"),
    Chosen(title="HDMNet R50", name="hdmnet"),
)


def ways(bench: Bench) -> dict[str, InferenceSettings]:
    """How models are asked, the plain way first: what the others are compared with."""
    batches = (1, 2) if bench.small else (1, 8, 32)
    found = {"plain": PLAIN} | {f"batch {batch}": InferenceSettings(batch=batch) for batch in batches}
    if bench.gpu:
        found["32, tf32"] = InferenceSettings(batch=32, precision="tf32")
        found["32, bf16"] = InferenceSettings(batch=32, precision="bf16")
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """Episodes of one class on the device, as a model is shown them."""

    episodes: Sequence[PreparedEpisode]
    shot: int


def asked(bench: Bench, preprocess: Preprocess, *, shot: int, n: int) -> Asked:
    """The first ``n`` episodes of the drawn COCO's first class."""
    found = []
    transfer = Transfer(bench.device)
    show = partial(prepare, preprocess=preprocess, send=transfer.send)
    streamed = stream(bench.coco, shot=shot, seed=0, transform=show, workers=bench.workers)
    for one in islice(streamed, n):
        sizes = [(truth.mask.shape[-2], truth.mask.shape[-1]) for truth in one.query.truths.values()]
        found.append(PreparedEpisode(one.query, one.supports, sizes, one.index))
    streamed.close()  # type: ignore[attr-defined]  # now, since its threads send to the device
    transfer.arrived(tensor for one in found for frame in (one.query, *one.supports) for tensor in frame.tensors)
    first = found[0].query.frame.class_id
    return Asked(episodes=[one for one in found if one.query.frame.class_id == first], shot=shot)


def feature_asker(bench: Bench, model: FeatureSegmenter, settings: InferenceSettings) -> FeatureAsker:
    """What asks a model in batches."""
    return FeatureAsker(model, bench.device, settings, InferenceCost())
