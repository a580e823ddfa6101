"""`fssbench.evaluate`: a name, a module or a function; one result or several, in memory or on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

import fssbench
from fssbench import Evaluation, LoadedEpisode, LoadedTrack
from fssbench.base.errors import ModelError, ResultError, UsageError
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.results.check import check_result


@pytest.fixture(scope="module")
def track(toy_set: EpisodeSet) -> LoadedTrack:
    return fssbench.load("toy", data=toy_set.path).first(20)


def one(found: Evaluation | list[Evaluation]) -> Evaluation:
    assert isinstance(found, Evaluation)
    return found


def truth(episode: LoadedEpisode) -> npt.NDArray[np.bool_]:
    """The best of all models."""
    return episode.query.mask


def test_a_function_of_an_episode_is_a_model(track: LoadedTrack) -> None:
    result = one(fssbench.evaluate(truth, track))
    assert result.miou == 1.0
    assert set(result.per_class.values()) == {1.0}
    assert result.record.model.name == "truth"
    assert result.record.model.code_sha256 is not None
    assert not result.saved
    with pytest.raises(ResultError, match=r"was not written to a file; call save\(folder\) first"):
        _ = result.path


def test_a_function_of_three_arguments_is_given_arrays(track: LoadedTrack) -> None:
    seen: list[tuple[tuple[int, ...], int, Any]] = []

    def looked(query: npt.NDArray[np.uint8], supports: list[Any], masks: list[Any]) -> npt.NDArray[np.bool_]:
        seen.append((query.shape, len(supports), masks[0].dtype))
        assert supports[0].shape == (*masks[0].shape, 3)
        return np.zeros(query.shape[:2], dtype=bool)

    result = one(fssbench.evaluate(looked, track, name="blank"))
    assert result.miou == 0.0
    assert result.record.model.name == "blank"
    assert {(n, kind) for _, n, kind in seen} == {(1, np.dtype(bool))}
    assert {shape for shape, *_ in seen} == {episode.query.image.shape for episode in track}


def test_a_mask_of_another_size_is_resized_and_logits_before_they_are_decided(track: LoadedTrack) -> None:
    def small(episode: LoadedEpisode) -> Tensor:
        return torch.zeros(2, 5, dtype=torch.uint8) + torch.tensor([1, 1, 0, 0, 0], dtype=torch.uint8)

    def logits(episode: LoadedEpisode) -> Tensor:
        ramp = torch.linspace(1, -1, 5).expand(2, 5)
        return torch.stack([torch.zeros(2, 5), ramp])

    masks, ramps = (one(fssbench.evaluate(f, track, save_predictions=True)) for f in (small, logits))
    # Two of five columns, nearest; the left half of a ramp, interpolated.
    for result, share in ((masks, 2 / 5), (ramps, 1 / 2)):
        counts = result.table.under("original/ignore")  # foreground of the prediction: union_f + inter_f - truth
        truths = np.array([query.object_pixels for query in result.table.queries])
        predicted = counts[:, 1] + counts[:, 0] - truths
        assert predicted / counts[:, 4] == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.full((2, 4, 4), np.nan), "wrong gave logits that are NaN or infinite, in episode 0 "),
        (np.zeros((4, 4)), r"wrong gave torch.float64 of shape \(4, 4\), in episode 0 .*; return a mask"),
        (np.full((4, 4), 2), "wrong gave a mask with other values than 0 and 1"),
        (np.zeros((2, 4, 4), dtype=bool), r"wrong gave torch.bool of shape \(2, 4, 4\)"),
        (None, r"wrong gave NoneType \(object\)"),
    ],
    ids=["nan", "scores", "values", "shape", "nothing"],
)
def test_what_is_no_answer_is_named_with_its_episode(track: LoadedTrack, answer: Any, message: str) -> None:
    def wrong(episode: LoadedEpisode) -> Any:
        return answer

    wrong.__qualname__ = "wrong"
    with pytest.raises(ModelError, match=message):
        fssbench.evaluate(wrong, track)


def test_what_a_function_raises_is_told_as_its_own_error_with_the_line(track: LoadedTrack) -> None:
    def broken(episode: LoadedEpisode) -> Any:
        raise KeyError("no such layer")

    line = broken.__code__.co_firstlineno + 1
    with pytest.raises(ModelError, match=rf"^broken failed: KeyError: .*_evaluating.py, line {line}\), in episode 0 "):
        fssbench.evaluate(broken, track)


def test_a_function_of_two_arguments_is_refused(track: LoadedTrack) -> None:
    with pytest.raises(ModelError, match="takes 2 arguments; take one, the episode, or three"):
        fssbench.evaluate(lambda query, supports: None, track)


def test_a_function_may_follow_gradients(track: LoadedTrack) -> None:
    def optimised(episode: LoadedEpisode) -> Tensor:
        shift = torch.zeros(1, requires_grad=True)
        torch.autograd.backward(((shift - 1) ** 2).sum())
        assert shift.grad is not None
        return torch.from_numpy(episode.query.mask)

    assert one(fssbench.evaluate(optimised, track)).miou == 1.0


class Net(nn.Module):
    """Gives logits that follow the first support's mask."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        assert query.shape[1:] == supports.shape[2:] == (3, *masks.shape[2:])
        return torch.stack([torch.full_like(masks[:, 0], 0.5), self.scale * masks[:, 0]], dim=1)


def test_a_module_is_given_tensors_and_known_by_its_weights(track: LoadedTrack) -> None:
    net = Net()
    result = one(fssbench.evaluate(net, track))
    copied = one(fssbench.evaluate("copy-support", track))
    assert result.miou == pytest.approx(copied.miou, abs=0.02)
    before = result.record.model
    assert (before.name, before.parameters, before.training) == ("Net", 1, "unknown")
    net.scale.data += 1
    assert one(fssbench.evaluate(net, track)).record.model.checkpoint_sha256 != before.checkpoint_sha256


def test_a_model_that_was_built_by_name_is_asked_as_itself(track: LoadedTrack) -> None:
    built = fssbench.build_model("copy-support")
    assert one(fssbench.evaluate(built, track)).per_class == one(fssbench.evaluate("copy-support", track)).per_class
    with pytest.raises(UsageError, match="takes no options and no weights"):
        fssbench.evaluate(built, track, weights="none")


def test_several_tracks_give_a_list(toy_set: EpisodeSet) -> None:
    found = fssbench.evaluate("copy-support", "toy", data=toy_set.path, fold=0, shot=[1, 2])
    assert isinstance(found, list)
    assert [result.record.episodes.shot for result in found] == [1, 2]
    joined = pd.concat([result.to_pandas() for result in found])
    assert len(joined) == 2 * 20
    assert set(joined["shot"]) == {1, 2}
    assert list(joined.columns[:6]) == ["model", "benchmark", "protocol", "fold", "shot", "seed"]


def test_a_named_model_is_written_as_it_goes_and_taken_up_again(track: LoadedTrack, tmp_path: Path) -> None:
    first = one(fssbench.evaluate("copy-support", track, output=tmp_path))
    again = one(fssbench.evaluate("copy-support", track, output=tmp_path))
    assert (first.skipped, again.skipped) == (False, True)
    assert again.path == first.path
    assert again.table.counts.tolist() == first.table.counts.tolist()
    assert Evaluation.open(first.path).miou == first.miou


def test_a_function_is_never_taken_for_what_it_was(track: LoadedTrack, tmp_path: Path, toy_set: EpisodeSet) -> None:
    """Two functions of one name that answer otherwise: the second is refused, or replaces the first if asked to."""

    def made(answer: bool) -> Any:
        def model(episode: LoadedEpisode) -> npt.NDArray[np.bool_]:
            return np.full(episode.query.mask.shape, answer)

        return model

    first = one(fssbench.evaluate(made(True), track, output=tmp_path))
    assert check_result(first.path, find_set=lambda *_: toy_set).problems == []
    with pytest.raises(ResultError, match="was computed from other counts than this result"):
        fssbench.evaluate(made(False), track, output=tmp_path)
    replaced = one(fssbench.evaluate(made(False), track, output=tmp_path, overwrite=True))
    assert replaced.path == first.path
    assert Evaluation.open(first.path).miou == 0.0


def test_a_result_is_worth_reading(track: LoadedTrack) -> None:
    result = one(fssbench.evaluate(truth, track))
    assert str(result).startswith("fold 0, 1-shot, seed 0, 20 episodes: mIoU 100.00")
    assert "<table" in result._repr_html_()
    assert "red disc" in result._repr_html_()
    assert repr(result).startswith("<Evaluation: fold 0")


def test_refusals_are_those_of_the_command_line(toy_set: EpisodeSet, track: LoadedTrack) -> None:
    for arguments, message in (
        ({"model": "hsnett"}, "there is no model 'hsnett'; did you mean 'hsnet'"),
        ({"fold": 7}, "Toy-20i has no fold 7"),
        ({"episodes": 41}, "has 40 1-shot episodes of seed 0, not the 41 asked for"),
        ({"control": "nothing"}, "there is no control 'nothing'"),
        ({"precision": "fp8"}, "there is no precision 'fp8'"),
        ({"model": "hsnet"}, "hsnet needs trained weights"),
    ):
        asked: dict[str, Any] = {"model": "copy-support", "on": "toy", "data": toy_set.path, "fold": 0, **arguments}
        with pytest.raises(fssbench.FssbenchError, match=message):
            fssbench.evaluate(**asked)
    with pytest.raises(UsageError, match="not the 21 asked for"):
        fssbench.evaluate("copy-support", track, episodes=21)
