"""HSNet learns a pair of real images by heart."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fssbench.engine.ranks import Ranks
from fssbench.episodes.benchmarks import COCO_20I
from fssbench.episodes.episodes import Episode
from fssbench.models.batch import EpisodeBatch
from fssbench.models.feature_store import FeatureStore
from fssbench.models.hsnet import HSNet
from fssbench.pipelines.formats import images, masks
from fssbench.pipelines.sources import open_source
from fssbench.training.folder import Progress, Validated
from fssbench.training.loop import Learner, Seen, Supply, train
from fssbench.training.recipe import find_recipe, overridden
from fssbench.training.stopping import StopRequest

pytestmark = [pytest.mark.real, pytest.mark.slow]

CAT, LARGE = 15, 30_000
STEPS = 2000
"""As many as are allowed. How many are needed depends on rounding; 160 were enough wherever it was tried."""


def pair(real_data: Path, model: HSNet) -> EpisodeBatch:
    """Two images of a cat, each the other's support."""
    source = open_source(COCO_20I, real_data / "coco")
    ids = source.pools([CAT], min_pixels=LARGE)[CAT][:2]
    samples = [source.read(image_id, CAT) for image_id in ids]
    pixels = [images.decode(s.jpeg, orientation=s.orientation, where=s.image_id) for s in samples]
    shown = torch.stack([model.preprocess.image(one) for one in pixels])
    targets = torch.stack([model.preprocess.mask(masks.decode(s.mask)) for s in samples]).to(torch.uint8)
    return EpisodeBatch(
        epoch=0,
        indices=(0, 1),
        episodes=(Episode(CAT, ids[0], (ids[1],)), Episode(CAT, ids[1], (ids[0],))),
        query=shown,
        query_target=targets,
        support=shown.flip(0)[:, None],
        support_target=targets.flip(0)[:, None],
        class_ids=torch.tensor([CAT, CAT]),
        class_positions=torch.tensor([0, 0]),
        query_labels=targets,
    )


class UntilKnown:
    """Asks to stop once the batch is known by heart."""

    def __init__(self, stop: StopRequest) -> None:
        self.stop, self.best = stop, 0.0

    def begin(self, step: int) -> None:
        assert step == 0

    def seen(self, seen: Seen) -> None:
        self.best = max(self.best, seen.miou or 0.0)
        if self.best > 0.9:
            self.stop.signal = signal.SIGTERM

    def validated(self, found: Validated, best: bool) -> None:
        raise AssertionError("nothing is validated")

    def settled(self, step: int) -> None:
        raise AssertionError("nothing is validated, so nothing settles")


def test_a_real_pair_is_learned_by_heart(real_data: Path) -> None:
    """By the paper's optimizer, at a small size and on features of random weights."""
    recipe = find_recipe("hsnet", COCO_20I)
    short = {"run.batch": 2, "run.epochs": STEPS, "run.select_on": "last", "run.validate_every": 10}
    model = HSNet(size=96)
    model.features = FeatureStore(10**8)
    batch = pair(real_data, model)

    def again(epoch: int, first: int) -> Iterator[EpisodeBatch]:
        yield batch

    stop = StopRequest()
    told = UntilKnown(stop)
    train(
        Learner(model, overridden(recipe, short), device="cpu", ranks=Ranks()),
        Supply(batches=again, episodes=2, batch=2, n_classes=81),
        Progress(),
        validate=None,
        keep=lambda best: None,
        watch=told,
        stop=stop,
    )
    assert told.best > 0.9
