"""Models that ask for other inputs than squashed tensors: what they are shown, and what becomes of their answers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from command import Command
from own_models import SIDE, Centred, Features, Kept, Learner, Native, Whole, like
from PIL import Image
from torch import Tensor, nn

import fssbench
from fssbench.base.errors import ModelError
from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.functions import as_segmenter
from fssbench.engine.inference import PLAIN, USUAL, InferenceCost, InferenceSettings
from fssbench.engine.profile import profile
from fssbench.models.functions import FunctionSegmenter
from fssbench.models.interface import EpisodeSegmenter, FewShotSegmenter, Preprocess, RawEpisode
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.pipelines.episode_sets.stream import Frame
from fssbench.pipelines.sources.toy import draw_example
from fssbench.results.check import check_result

N, ALL = 10, 40
MEAN, STD = ([[v]] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def asked(
    model: FewShotSegmenter,
    toy_set: EpisodeSet,
    *,
    shot: int = 2,
    inference: InferenceSettings = USUAL,
    cost: InferenceCost | None = None,
    episodes: int = N,
    **more: Any,
) -> list[Answer]:
    given = answers(model, toy_set, shot=shot, seed=0, episodes=episodes, inference=inference, cost=cost, **more)
    return sorted(given, key=lambda answer: answer.index)


def alike(one: list[Answer], other: list[Answer]) -> bool:
    return all(a.masks[size].equal(b.masks[size]) for a, b in zip(one, other, strict=True) for size in a.masks)


def normal(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """(H, W, 3) → (1, 3, H, W), by ImageNet's mean and deviation."""
    mean, std = (torch.tensor(v[0][0])[:, None, None] for v in (MEAN, STD))
    return ((torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255 - mean) / std)[None]


def own_native(query: Frame, supports: tuple[Frame, ...]) -> Tensor:
    """What somebody's own test does: nothing to the images, and nothing to the answer."""
    masks = [torch.from_numpy(one.mask).float()[None] for one in supports]
    return like(normal(query.image), [normal(one.image) for one in supports], masks)[0, 0] > 0


def own_padded(query: Frame, supports: tuple[Frame, ...]) -> Tensor:
    """The longer side to `SIDE`, zeros after normalisation below and to the right; cut off, and resized back."""

    def shown(image: npt.NDArray[np.uint8]) -> tuple[Tensor, int, int]:
        scale = SIDE / max(image.shape[:2])
        h, w = (math.floor(side * scale + 0.5) for side in image.shape[:2])
        small = normal(np.array(Image.fromarray(image).resize((w, h), Image.Resampling.BILINEAR)))
        return F.pad(small, (0, SIDE - w, 0, SIDE - h)), h, w

    def mask(one: Frame) -> Tensor:
        _, h, w = shown(one.image)
        small = F.interpolate(torch.from_numpy(one.mask)[None, None].float(), (h, w), mode="nearest")
        return F.pad(small, (0, SIDE - w, 0, SIDE - h))[0]

    image, h, w = shown(query.image)
    logits = like(image, [shown(one.image)[0] for one in supports], [mask(one) for one in supports])
    height, width = query.mask.shape
    return F.interpolate(logits[..., :h, :w], (height, width), mode="bilinear")[0, 0] > 0


@pytest.mark.parametrize(("model", "own"), [(Native(), own_native), (Kept(), own_padded)])
def test_masks_are_those_of_somebodys_own_code_in_every_pixel(
    toy_set: EpisodeSet, model: FewShotSegmenter, own: Any
) -> None:
    found = asked(model, toy_set)
    assert len(found) == N
    assert any(answer.masks["original"].any() for answer in found)
    for answer in found:
        assert answer.masks["original"].bool().equal(own(answer.query, answer.supports))


def test_masks_at_the_models_size_are_of_the_image_without_its_padding(toy_set: EpisodeSet) -> None:
    for answer in asked(Centred(), toy_set):
        height, width = answer.query.mask.shape
        scale = min(SIDE / height, 80 / width)
        assert answer.masks["original"].shape == (height, width)
        assert tuple(answer.masks["model"].shape) == (round(height * scale), round(width * scale))
    for answer in asked(Native(), toy_set):
        assert answer.masks["original"].equal(answer.masks["model"])
        assert answer.counts[0].tolist() == answer.counts[-1].tolist()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_features_of_images_of_their_own_sizes_are_kept_all_the_same(toy_set: EpisodeSet, precision: Any) -> None:
    fast, plain = InferenceCost(), InferenceCost()
    kept = asked(Features(), toy_set, cost=fast, inference=InferenceSettings(precision=precision), episodes=ALL)
    each = asked(Features(), toy_set, cost=plain, inference=PLAIN, episodes=ALL)
    assert fast.encoded < plain.encoded == 3 * ALL
    assert fast.batch == 1
    if precision == "float32":
        assert alike(kept, each)


class Shown(EpisodeSegmenter):
    """Remembers what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[RawEpisode] = []

    def segment(self, episode: RawEpisode) -> Any:
        self.seen.append(episode)
        return np.zeros(episode.query.size, dtype=bool)


def test_a_model_is_shown_images_as_they_are_and_never_the_truth(toy_set: EpisodeSet) -> None:
    model = Shown()
    given = {answer.index: answer for answer in answers(model, toy_set, shot=2, seed=0, episodes=N)}
    by_query = {answer.query.image_id: answer for answer in given.values()}
    assert len(model.seen) == N
    for episode in model.seen:
        answer = by_query[episode.query.image_id]
        assert np.array_equal(episode.query.image, answer.query.image)
        assert episode.query.pil.size == episode.query.image.shape[1::-1]
        assert not hasattr(episode.query, "mask")
        assert episode.benchmark == "toy-20i"
        for shown, frame in zip(episode.supports, answer.supports, strict=True):
            assert np.array_equal(shown.image, frame.image)
            assert np.array_equal(shown.mask, frame.mask)
            assert (shown.ignore is None) == (frame.ignore is None)


def test_a_control_shows_other_supports_to_such_a_model_too(toy_set: EpisodeSet) -> None:
    model = Shown()
    asked(model, toy_set, control="no-support")
    assert not any(support.mask.any() for episode in model.seen for support in episode.supports)


class Sizes(Whole):
    """Notes how many episodes it is asked at a time."""

    def __init__(self, *, batched: bool = True) -> None:
        super().__init__()
        self.batched = batched
        self.batches: list[int] = []

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        self.batches.append(len(query))
        return super().predict(query, supports, masks)


def test_a_batch_is_used_where_the_model_says_that_it_can_be(toy_set: EpisodeSet) -> None:
    several, alone, four = Sizes(), Sizes(batched=False), InferenceSettings(batch=4)
    cost = InferenceCost()
    together = asked(several, toy_set, inference=four, cost=cost, episodes=ALL)
    assert (set(several.batches), cost.batch) == ({2}, 4)  # the set has two episodes of each class
    assert sum(several.batches) == ALL
    cost = InferenceCost()
    assert alike(together, asked(alone, toy_set, inference=four, cost=cost, episodes=ALL))
    assert (set(alone.batches), cost.batch) == ({1}, 1)


class Short(Sizes):
    """Has memory for one episode."""

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        if len(query) > 1:
            raise RuntimeError("CUDA out of memory")
        return super().predict(query, supports, masks)


def test_when_memory_runs_out_the_batch_is_halved(toy_set: EpisodeSet) -> None:
    model, cost = Short(), InferenceCost()
    found = asked(model, toy_set, inference=InferenceSettings(batch=2), cost=cost, episodes=ALL)
    assert (cost.batch, cost.shortages) == (1, 1)
    assert alike(found, asked(Whole(), toy_set, episodes=ALL))


def test_a_model_that_learns_while_it_answers_begins_every_episode_with_its_own_weights(toy_set: EpisodeSet) -> None:
    model = Learner()
    together = asked(model, toy_set, shot=1)
    assert model.weights.equal(torch.zeros(1, 3, 1, 1))
    assert any(answer.masks["original"].any() for answer in together)
    skipped = frozenset(range(N - 1))
    last = list(answers(Learner(), toy_set, shot=1, seed=0, episodes=N, skip=skipped))
    assert alike(last, together[-1:])


class LearnsToMatch(Features):
    """Gradients in `match`, of features that are kept."""

    needs_gradients = True
    preprocess = Preprocess(size=SIDE)

    def match(self, query: list[Tensor], supports: list[Tensor]) -> Tensor:
        scale = torch.ones(1, requires_grad=True)
        (gradient,) = torch.autograd.grad((query[0] * scale).square().mean(), scale)
        return super().match(query, supports) + 0 * gradient * scale


def test_features_may_be_kept_by_a_model_that_needs_gradients(toy_set: EpisodeSet) -> None:
    model = LearnsToMatch()
    assert alike(asked(model, toy_set), asked(model, toy_set, inference=PLAIN))


# --- from end to end ------------------------------------------------------------------------------------

FILE = """
import numpy as np
import torch
from fssbench.models.interface import EpisodeSegmenter, Preprocess


def bright(episode):
    grey = np.asarray(episode.query.pil.convert("L"))
    return grey > grey.mean() + (20 if {name} else 0)


def arrays(query, supports, masks):
    shown = np.mean([image[mask].mean(axis=0) for image, mask in zip(supports, masks)], axis=0)
    return np.abs(query - shown).mean(axis=2) < 60


class Padded(EpisodeSegmenter):
    preprocess = Preprocess(resize="keep", size=64, pad_value="mean")

    def segment(self, episode):
        query, supports, masks = self.inputs(episode)
        shown = [(image * mask).sum(dim=(2, 3)) / mask.sum().clamp(min=1) for image, mask in zip(supports, masks)]
        return 0.7 - (query - torch.stack(shown).mean(dim=0)[..., None, None]).abs().mean(dim=1, keepdim=True)


class Alone(Padded):
    preprocess = Preprocess(size=64)
"""


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("mine") / "mine.py"
    file.write_text(FILE.format(name="False"))
    return file


def evaluated(fssbench: Command, model: object, toy_set: EpisodeSet, output: Path, *more: object) -> dict[str, Any]:
    data = ("--data", toy_set.path, "--benchmark", "toy", "--fold", 0, "--limit", N)
    ran = fssbench("eval", "--model", model, *data, "--output", output, "--json", *more)
    assert ran.code == 0, ran.error
    (summary,) = json.loads(ran.out)
    return dict(summary)


@pytest.mark.parametrize("name", ["bright", "arrays", "Padded"])
def test_every_command_takes_a_model_of_raw_episodes(
    fssbench: Command, mine: Path, toy_set: EpisodeSet, tmp_path: Path, name: str
) -> None:
    summary = evaluated(fssbench, f"{mine}:{name}", toy_set, tmp_path / "out", "--save-predictions")
    record = summary["result"]["model"]
    assert (record["name"], record["input_size"], record["class_names"]) == (f"mine.py:{name}", None, False)
    told = {"resize": "keep", "size": [64, 64], "pad_value": "mean"} if name == "Padded" else {"resize": "none"}
    assert record["preprocess"] == told
    assert record["training"] == "not needed"
    assert check_result(Path(summary["path"]), find_set=lambda *_: toy_set).problems == []
    profiled = fssbench("profile", "--model", f"{mine}:{name}", "--repeats", 1, "--json")
    assert profiled.code == 0, profiled.error
    checked = fssbench("check-model", f"{mine}:{name}")
    assert (checked.code == 0) == (name != "bright"), checked.out  # which asks no support, and is told so
    shown = ("show", toy_set.path, "--model", f"{mine}:{name}", "--output", tmp_path / "shown.png", "--episodes", 2)
    assert (ran := fssbench(*shown)).code == 0, ran.error
    assert (tmp_path / "shown.png").is_file()


def test_that_a_model_is_told_what_classes_are_called_is_recorded(
    fssbench: Command, mine: Path, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    file = tmp_path / "named.py"
    file.write_text(FILE.format(name="episode.class_name.startswith('red')"))
    data = ("--data", toy_set.path, "--benchmark", "toy", "--fold", 0, "--limit", N, "--output", tmp_path / "out")
    ran = fssbench("eval", "--model", f"{file}:bright", *data)
    assert ran.code == 2
    assert "the model asks what the class is called, which it does not say it uses, in episode" in ran.error
    file.write_text(file.read_text() + "\n\nbright.uses_class_names = True\n")
    summary = evaluated(fssbench, f"{file}:bright", toy_set, tmp_path / "out")
    assert summary["result"]["model"]["class_names"] is True


def test_a_batch_that_is_not_used_is_told_and_recorded_as_one(
    fssbench: Command, mine: Path, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    data = ("--data", toy_set.path, "--benchmark", "toy", "--fold", 0, "--limit", N, "--output", tmp_path / "out")
    ran = fssbench("eval", "--model", f"{mine}:Padded", *data, "--batch", 4)
    assert "mine.py:Padded is asked one episode at a time, not 4: it does not say that it can be" in ran.err
    (path,) = (tmp_path / "out").rglob("fold0-1shot-seed0.json")
    result = json.loads(path.read_text())
    assert (result["execution"]["batch"], result["command"]["resolved"]["batch"]) == (1, 1)


def test_from_python_too(toy_set: EpisodeSet) -> None:
    track = fssbench.load("toy", fold=0, data=toy_set.path)
    assert isinstance(track, LoadedTrack)
    result = fssbench.evaluate(Native(), track, episodes=N)
    assert not isinstance(result, list)
    assert result.record.model.preprocess == {"resize": "none"}


class Plain(nn.Module):
    """Knows nothing of fssbench but what its inputs are to be."""

    preprocess = Preprocess(resize="keep", size=SIDE)
    batched = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []

    def forward(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        self.asked.append(len(query))
        return Whole().predict(query, supports, masks)


def test_a_module_says_the_same_by_its_attributes(toy_set: EpisodeSet) -> None:
    module = Plain()
    found = asked(as_segmenter(module), toy_set, inference=InferenceSettings(batch=2), episodes=ALL)
    assert set(module.asked) == {2}
    assert alike(found, asked(Whole(), toy_set, episodes=ALL))


@pytest.mark.parametrize("show", [Preprocess(resize="keep", size=SIDE), Preprocess(resize="none")])
def test_tensors_for_a_loader_are_squares(toy_set: EpisodeSet, show: Preprocess) -> None:
    """A padded mask would be scored by a meter as if it were squashed."""
    track = fssbench.load("toy", fold=0, data=toy_set.path)
    assert isinstance(track, LoadedTrack)
    with pytest.raises(ModelError, match="must be squashed to a square"):
        track.torch(preprocess=show)


def test_profile_asks_a_learning_model_with_its_own_weights() -> None:
    model = Learner()
    found = profile(model, repeats=1)
    assert (found.input_size, found.parameters) == (SIDE, 3)
    assert model.weights.equal(torch.zeros(1, 3, 1, 1))
    assert profile(Native(), repeats=1).input_size == draw_example(0)[0].shape[:2]
    assert profile(FunctionSegmenter(lambda episode: np.zeros(episode.query.size, dtype=bool)), repeats=1).flops == 0
