"""The host waits for the device once a batch: a stand-in for a device counts what would make it wait."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import Voters

from fssbench.base.errors import ModelError
from fssbench.engine import evaluate as module
from fssbench.engine.evaluate import Answer, answers, behind
from fssbench.engine.inference import InferenceSettings
from fssbench.engine.transfer import Transfer
from fssbench.models.hdmnet import HDMNet
from fssbench.models.hmfs import HMFS
from fssbench.models.hsnet import HSNet
from fssbench.models.interface import FeatureSegmenter
from fssbench.models.prototype import Prototype
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results import counting

SIDE, BATCH, EPISODES = 48, 2, 24
WAITS = frozenset(
    [
        "item",
        "tolist",
        "numpy",
        "cpu",
        "nonzero",
        "equal",
        "masked_select",
        "unique",
        "__array__",
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "__contains__",
    ]
)


class OnDevice(Tensor):
    """A tensor as if it were on another device: so is all that is computed from it.

    Attributes:
        waits: what was called that needs its values on the host, in order.
    """

    waits: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name, options = func.__name__, kwargs or {}
        moved = any(isinstance(one, (str, torch.device)) for one in (*args[1:], options.get("device")))
        chosen = name == "__getitem__" and any(one.dtype == torch.bool for one in _tensors(args[1]))
        if name in WAITS or chosen or (name == "to" and moved and not options.get("non_blocking")):
            cls.waits.append(name)
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]


def _tensors(index: object) -> list[Tensor]:
    """Those in an index that are on the device."""
    return [one for one in (index if isinstance(index, tuple) else (index,)) if isinstance(one, OnDevice)]


class FakeTransfer(Transfer):
    """To and from that device.

    Attributes:
        fetched: what was waited for, a batch after the other.
    """

    ahead = 1
    fetched: ClassVar[list[int]] = []

    def send(self, tensor: Tensor) -> Tensor:
        """The tensor as if it were there."""
        return tensor.as_subclass(OnDevice)

    def fetch(self, tensors: Sequence[Tensor]) -> Callable[[], list[Tensor]]:
        """Bring tensors back."""

        def wait() -> list[Tensor]:
            self.fetched.append(len(tensors))
            return [tensor.as_subclass(Tensor) for tensor in tensors]

        return wait


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask as another device is asked: by kernels alone, answers fetched a batch behind."""
    OnDevice.waits.clear()
    FakeTransfer.fetched.clear()
    monkeypatch.setattr(module, "Transfer", FakeTransfer)
    monkeypatch.setattr(counting, "_sums_of_numpy", counting._sums_on_device)
    for name in ("tensor", "as_tensor"):
        monkeypatch.setattr(torch, name, noted(name))


def noted(name: str) -> Callable[..., Tensor]:
    """What makes a tensor of numbers, which on a device are there only when all before them is done."""
    make = getattr(torch, name)

    def made(*args: Any, **options: Any) -> Tensor:
        if options.get("device") is not None:
            OnDevice.waits.append(name)
        found: Tensor = make(*args, **options)
        return found

    return made


NEEDS: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x[0].item(),
    "tolist": lambda x: x.tolist(),
    "numpy": lambda x: x.numpy(),
    "__array__": np.asarray,
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "__bool__": lambda x: bool(x.any()),
    "__int__": lambda x: int(x.sum()),
    "__float__": lambda x: float(x.sum()),
    "__index__": lambda x: range(x.sum()),
    "__contains__": lambda x: 1 in x,
    "equal": lambda x: torch.equal(x, x),
    "nonzero": lambda x: x.nonzero(),
    "masked_select": lambda x: x.masked_select(x > 1),
    "unique": lambda x: x.unique(),  # type: ignore[no-untyped-call]
    "__getitem__": lambda x: x[x > 1],
    "tensor": lambda x: x + torch.tensor(1, device=x.device),
    "as_tensor": lambda x: x + torch.as_tensor(1, device=x.device),
}


@pytest.mark.parametrize("name", NEEDS)
def test_the_stand_in_notices_what_makes_a_host_wait(device: None, name: str) -> None:
    """Of a tensor that was computed from one on the device."""
    NEEDS[name](FakeTransfer("cpu").send(torch.arange(3)) + 1)
    assert name in OnDevice.waits


MODELS: dict[str, Callable[[], FeatureSegmenter]] = {
    "a model of features": lambda: Voters(size=SIDE),
    "prototype": lambda: Prototype(backbone="resnet18", backbone_weights="none", size=64),
    # What these compute depends on where the supports' objects lie.
    "hsnet": lambda: HSNet(backbone_weights="none", size=64),
    "hmfs": lambda: HMFS(backbone_weights="none", size=64),
    "hdmnet": lambda: HDMNet(size=57),
    "hdmnet interleaved": lambda: HDMNet(size=57, structure="interleaved"),
}


def counts(given: Sequence[Answer]) -> list[tuple[int, list[list[int]]]]:
    return [(answer.index, answer.counts.tolist()) for answer in given]


@pytest.mark.parametrize(
    ("name", "shot"),
    [
        ("a model of features", 1),
        ("a model of features", 2),
        ("prototype", 2),
        ("hsnet", 1),
        pytest.param("hmfs", 1, marks=pytest.mark.slow),
        pytest.param("hdmnet", 1, marks=pytest.mark.slow),
        pytest.param("hdmnet interleaved", 1, marks=pytest.mark.slow),
    ],
)
def test_the_host_waits_once_a_batch(
    toy_set: EpisodeSet, device: None, monkeypatch: pytest.MonkeyPatch, name: str, shot: int
) -> None:
    """However many episodes are in it; and the counts are those without a device in between."""
    model, inference = MODELS[name](), InferenceSettings(batch=BATCH)

    def ask() -> list[Answer]:
        return list(answers(model, toy_set, shot=shot, seed=0, episodes=EPISODES, inference=inference))

    found = ask()
    classes = [answer.episode.class_id for answer in found]
    batches = sum(-(-classes.count(class_id) // BATCH) for class_id in set(classes))
    assert len(FakeTransfer.fetched) == batches < EPISODES
    assert OnDevice.waits == []
    monkeypatch.undo()
    assert counts(ask()) == counts(found)


def test_a_batch_is_begun_before_the_one_before_it_is_waited_for(toy_set: EpisodeSet, device: None) -> None:
    """And none later than that: the last ones are waited for when nothing is left to begin."""
    begun: list[int] = []

    class Noting(Voters):
        def match_episodes(self, queries: Any, supports: Any) -> Tensor:
            begun.append(len(FakeTransfer.fetched))
            return super().match_episodes(queries, supports)

    inference = InferenceSettings(batch=BATCH)
    found = list(answers(Noting(size=SIDE), toy_set, shot=1, seed=0, episodes=EPISODES, inference=inference))
    assert len(found) == EPISODES
    assert begun == [max(0, n - 1) for n in range(len(FakeTransfer.fetched))]


def test_what_was_begun_before_an_error_comes_before_it() -> None:
    def things() -> Any:
        yield from (1, 2, 3)
        raise ModelError("it broke")

    coming = behind(things(), 2)
    assert [next(coming) for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ModelError, match="it broke"):
        next(coming)
    assert list(behind(iter("abc"), 5)) == ["a", "b", "c"]
    assert list(behind(iter("abc"), 0)) == ["a", "b", "c"]
