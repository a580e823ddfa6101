"""Evaluation: the counts are those of the model's masks, whatever the workers, the limit or the cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from toys import Mask, Redder, Voters, nearest

from fssbench.base.errors import EpisodeIndexError, EpisodeSetError, MetricError, ModelError, UsageError
from fssbench.engine import evaluate as module
from fssbench.engine.evaluate import answers, evaluate
from fssbench.engine.feature_asker import FeatureAsker
from fssbench.engine.inference import PLAIN, InferenceCost, InferenceSettings
from fssbench.engine.prepared import PreparedEpisode
from fssbench.engine.transfer import Transfer
from fssbench.models.baselines import CopySupport
from fssbench.models.interface import FewShotSegmenter, Preprocess
from fssbench.models.prototype import Prototype
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import Frame, StreamedEpisode, as_frame, stream
from fssbench.results.counts_file import to_bytes
from fssbench.results.policies import policies_for
from fssbench.scoring.counts import CountsTable, EpisodeCounts, QueryFacts
from fssbench.scoring.metrics import count

SIDE = 48


def squashed(frame: Frame) -> tuple[npt.NDArray[np.uint8], Mask]:
    """Image and mask as a model of size SIDE sees them."""
    across = Image.fromarray(frame.image).resize((SIDE, frame.image.shape[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(across.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    return pixels, nearest(frame.mask, (SIDE, SIDE)).astype(bool)


def redder(episode: StreamedEpisode[Frame]) -> Mask:
    """What `toys.Redder` answers, in numpy."""
    supports = [squashed(support) for support in episode.supports]
    there = squashed(episode.query)[0][..., 0] > supports[0][0][..., 0]
    most = 2 * np.sum([mask for _, mask in supports], axis=0) > len(supports)
    return np.asarray(there | most)


def expected(episodes: list[StreamedEpisode[Frame]]) -> npt.NDArray[np.int64]:
    """Counts (N, 2, 5) at the original and at the model's size."""
    counts = np.zeros((len(episodes), 2, 5), np.int64)
    for episode in episodes:
        truth, answer = episode.query.mask, redder(episode)
        counts[episode.index, 0] = astuple(count(nearest(answer, truth.shape), truth))
        counts[episode.index, 1] = astuple(count(answer, nearest(truth, (SIDE, SIDE))))
    return counts


def same(first: CountsTable, second: CountsTable) -> bool:
    return to_bytes(first) == to_bytes(second)


# --- counts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shot", [1, 2])
def test_counts_are_those_of_the_masks_computed_again_from_the_stream(toy_set: EpisodeSet, shot: int) -> None:
    """A model with `predict` alone, recomputed in numpy from the pixels as decoded."""
    table = evaluate(Redder(size=SIDE), toy_set, shot=shot, seed=0, workers=2)
    assert table.policies == ("original/ignore", "model/ignore")
    assert table.track == toy_set.tracks[f"{shot}shot-seed0"]
    assert (table.counts == expected(list(stream(toy_set, shot=shot, seed=0, transform=as_frame)))).all()
    assert 0 < table.counts[..., 0].sum() < table.counts[..., 1].sum()


def test_a_model_that_copies_the_truth_is_perfect(toy_set: EpisodeSet) -> None:
    """Shown the query's own mask as support, copying it scores 1 at the model's size."""
    track = toy_set.tracks["1shot-seed0"]
    table = evaluate(CopySupport(size=SIDE), toy_set, shot=1, seed=0)
    by_hand = []
    for episode in stream(toy_set, shot=1, seed=0, transform=as_frame):
        answer, truth = squashed(episode.supports[0])[1], squashed(episode.query)[1]
        by_hand.append((episode.index, astuple(count(answer, truth))))
    assert len(by_hand) == len(track.episodes)
    assert [tuple(row) for row in table.under("model/ignore").tolist()] == [row for _, row in sorted(by_hand)]


def test_a_model_of_features_answers_as_its_predict_does(toy_set: EpisodeSet) -> None:
    """Features are kept by image and matched one episode at a time; the masks are those of the whole call."""
    model = Voters(size=SIDE)
    given = list(answers(model, toy_set, shot=2, seed=0, episodes=12))
    assert len(given) == 12
    for answer in given:
        frames = [(model.preprocess.image(f.image), squashed(f)[1]) for f in (answer.query, *answer.supports)]
        images = model.preprocess.normalise(torch.stack([pixels for pixels, _ in frames]))
        shown = torch.from_numpy(np.stack([mask for _, mask in frames[1:]])).float()
        sizes = [answer.query.mask.shape, (SIDE, SIDE)]
        masks = model.predict_sizes(images[:1], images[None, 1:], shown[None], sizes)
        for mask, expected_mask in zip((answer.masks["original"], answer.masks["model"]), masks, strict=True):
            assert (mask == expected_mask[0]).all()
    assert any(answer.masks["original"].any() for answer in given)


# --- ignored pixels -------------------------------------------------------------------------------------


def border(mask: Mask) -> Mask:
    """Ignored pixels that cover some of the object and some of the ground."""
    ignore = np.zeros_like(mask)
    ignore[:, mask.shape[1] // 2 :: 7] = True
    return ignore


def with_ignored(frame: Frame) -> Frame:
    """A frame some of whose pixels, of the object and of the ground, are ignored; no pixel is both."""
    ignore = border(frame.mask)
    return replace(frame, mask=frame.mask & ~ignore, ignore=ignore)


@pytest.fixture
def ignoring(toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch) -> EpisodeSet:
    """The toy as if it had an ignore label, under pixels that `border` chooses."""

    def with_border(*args: Any, transform: Callable[[Frame], object], **options: Any) -> object:
        return stream(*args, transform=lambda frame: transform(with_ignored(frame)), **options)

    monkeypatch.setattr(module, "stream", with_border)
    return EpisodeSet(toy_set.path, toy_set.manifest.model_copy(update={"ignore_label": 255}))


def test_policies_are_both_sizes_and_ignored_pixels_out_and_in(toy_set: EpisodeSet, ignoring: EpisodeSet) -> None:
    names = [policy.name for policy in policies_for(ignoring)]
    assert names == ["original/ignore", "original/no-ignore", "model/ignore", "model/no-ignore"]
    assert [policy.name for policy in policies_for(toy_set)] == ["original/ignore", "model/ignore"]


def test_ignored_pixels_are_left_out_or_are_background(ignoring: EpisodeSet) -> None:
    """Left out of everything, or, without the ignore label, background even where the object was."""
    table = evaluate(Redder(size=SIDE), ignoring, shot=1, seed=0, episodes=20)
    on_object = 0
    for plain in stream(ignoring, shot=1, seed=0, transform=as_frame, episodes=20):
        supports = tuple(with_ignored(support) for support in plain.supports)
        episode = replace(plain, query=with_ignored(plain.query), supports=supports)
        truth, ignore, answer = episode.query.mask, episode.query.ignore, redder(episode)
        assert ignore is not None
        on_object += bool((plain.query.mask & ignore).any())
        for size, name in ((truth.shape, "original"), ((SIDE, SIDE), "model")):
            at_size = [nearest(mask, size) for mask in (answer, truth, ignore)]
            out = count(at_size[0], at_size[1], ignore=at_size[2])
            background = count(at_size[0], at_size[1])
            assert out != background
            assert tuple(table.under(f"{name}/ignore")[episode.index]) == astuple(out)
            assert tuple(table.under(f"{name}/no-ignore")[episode.index]) == astuple(background)
    assert on_object == 20


# --- what results do not depend on ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(toy_set: EpisodeSet) -> CountsTable:
    """All 2-shot episodes, by a network."""
    model = Prototype(backbone="resnet18", backbone_weights="none", size=64)
    return evaluate(model, toy_set, shot=2, seed=0, workers=2)


@pytest.fixture(scope="module")
def network() -> Prototype:
    return Prototype(backbone="resnet18", backbone_weights="none", size=64)


@pytest.mark.parametrize("workers", [1, 5])
def test_counts_do_not_depend_on_the_number_of_workers(
    toy_set: EpisodeSet, network: Prototype, whole: CountsTable, workers: int
) -> None:
    assert same(evaluate(network, toy_set, shot=2, seed=0, workers=workers), whole)


@pytest.mark.parametrize("n", [1, 17, 40])
def test_fewer_episodes_have_the_counts_they_have_among_all(
    toy_set: EpisodeSet, network: Prototype, whole: CountsTable, n: int
) -> None:
    part = evaluate(network, toy_set, shot=2, seed=0, episodes=n)
    assert part.track == whole.track.first(n)
    assert (part.counts == whole.counts[:n]).all()


@pytest.mark.parametrize("feature_cache", [1, 50_000])
def test_counts_do_not_depend_on_what_features_are_held(
    toy_set: EpisodeSet, network: Prototype, whole: CountsTable, feature_cache: int
) -> None:
    """Nor on the order in which a class's episodes are asked, which follows from it."""
    inference = InferenceSettings(feature_cache=feature_cache)
    assert same(evaluate(network, toy_set, shot=2, seed=0, inference=inference), whole)


def test_counts_are_those_of_whole_episodes_asked_alone(toy_set: EpisodeSet) -> None:
    model = Voters(size=SIDE)
    assert same(evaluate(model, toy_set, shot=2, seed=0, inference=PLAIN), evaluate(model, toy_set, shot=2, seed=0))


def test_counts_that_are_known_are_taken_over_and_not_asked_again(
    toy_set: EpisodeSet, network: Prototype, whole: CountsTable
) -> None:
    """Even counts that the model would not give, so that nothing of them can have been computed."""
    fake = np.arange(10).reshape(2, 5)
    facts = QueryFacts(object_pixels=1, image_pixels=2, n_classes=None)
    known = {i: EpisodeCounts(i, fake, facts) for i in (3, 30)}
    asked = [answer.scored for answer in answers(network, toy_set, shot=2, seed=0, skip=known)]
    assert sorted(one.index for one in asked) == [i for i in range(40) if i not in known]
    table = CountsTable.of(whole.track, whole.policies, [*known.values(), *asked])
    assert all((table.counts[i] == fake).all() and table.queries[i] == facts for i in known)
    assert (np.delete(table.counts, list(known), axis=0) == np.delete(whole.counts, list(known), axis=0)).all()
    assert [q for i, q in enumerate(table.queries) if i not in known] == [
        q for i, q in enumerate(whole.queries) if i not in known
    ]


def test_an_answer_that_was_to_be_skipped_or_left_out_cannot_go_unnoticed(whole: CountsTable) -> None:
    """A table takes every episode exactly once."""
    rows = [EpisodeCounts(i, whole.counts[i], whole.queries[i]) for i in range(40)]
    again = CountsTable.of(whole.track, whole.policies, reversed(rows), truth_digest=whole.truth_digest)
    assert same(again, whole)
    with pytest.raises(EpisodeIndexError, match=r"episode 7 is there twice; merge each part once"):
        CountsTable.of(whole.track, whole.policies, [*rows, rows[7]])
    with pytest.raises(EpisodeIndexError, match=r"2 of 40 episodes are missing, the first is 0"):
        CountsTable.of(whole.track, whole.policies, rows[1:-1])
    with pytest.raises(EpisodeIndexError, match=r"episode 40 is not among the 40 of the track"):
        CountsTable.of(whole.track, whole.policies, [*rows, replace(rows[0], index=40)])


def test_a_model_left_in_training_mode_is_asked_in_eval_mode(toy_set: EpisodeSet) -> None:
    class Dropping(CopySupport):
        def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
            kept = nn.functional.dropout(masks, 0.9, training=self.training)
            return super().predict(query, supports, kept)

    trained = Dropping(size=SIDE).train()
    table = evaluate(trained, toy_set, shot=1, seed=0, episodes=10)
    assert same(table, evaluate(CopySupport(size=SIDE), toy_set, shot=1, seed=0, episodes=10))


def test_no_gradients_are_kept(toy_set: EpisodeSet) -> None:
    class Learning(Redder):
        def __init__(self) -> None:
            super().__init__(size=SIDE)
            self.bias = nn.Parameter(torch.zeros(()))

        def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
            assert not (query + self.bias).requires_grad
            return super().predict(query + self.bias, supports, masks)

    table = evaluate(Learning(), toy_set, shot=1, seed=0, episodes=5)
    assert same(table, evaluate(Redder(size=SIDE), toy_set, shot=1, seed=0, episodes=5))


# --- what a model does not look at ------------------------------------------------------------------------


def test_a_model_that_looks_at_no_pixels_is_shown_masks_alone(
    toy_set: EpisodeSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is resized for it, and its counts are those of the same model that is shown them."""
    shown: list[tuple[bool, torch.dtype]] = []

    class Looking(CopySupport):
        reads_pixels = True

        def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
            shown.append((bool(query.any() or supports.any()), masks.dtype))
            return super().predict(query, supports, masks)

    class Blind(Looking):
        reads_pixels = False

    for shot in (1, 2):
        table = evaluate(Looking(size=SIDE), toy_set, shot=shot, seed=0, episodes=5)
        assert shown == [(True, torch.float32)] * 5
        shown.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Preprocess, "image", None)
            assert same(evaluate(Blind(size=SIDE), toy_set, shot=shot, seed=0, episodes=5), table)
        assert shown == [(False, torch.bool)] * 5
        shown.clear()


def test_a_model_that_conditions_without_the_image_is_shown_zeros_there(toy_set: EpisodeSet) -> None:
    shown: list[bool] = []

    class Watched(Prototype):
        def condition(self, features: list[Tensor], images: Tensor, masks: Tensor) -> list[Tensor]:
            shown.append(bool(images.any()))
            return super().condition(features, images, masks)

    model = Watched(backbone="resnet18", backbone_weights="none", size=64)
    assert not model.reads_images
    table = evaluate(model, toy_set, shot=1, seed=0, episodes=5)
    assert len(shown) > 0
    assert not any(shown)
    model.reads_images = True
    assert same(evaluate(model, toy_set, shot=1, seed=0, episodes=5), table)
    assert any(shown)


# --- features -------------------------------------------------------------------------------------------


def test_an_image_is_encoded_and_conditioned_once(toy_set: EpisodeSet) -> None:
    """Once for all episodes that use it, as query or as support of its class."""
    model, cost = Voters(size=SIDE), InferenceCost()
    assert len(list(answers(model, toy_set, shot=2, seed=0, cost=cost))) == 40
    episodes = toy_set.tracks["2shot-seed0"].episodes
    supports = {(e.class_id, image) for e in episodes for image in e.supports}
    assert cost.encoded == len({(e.class_id, e.query) for e in episodes} | supports)
    assert model.conditioned == cost.conditioned == len(supports) < 2 * len(episodes)


@pytest.mark.parametrize("budget", [1, 4_000, 1 << 30])
def test_features_held_stay_within_the_budget(toy_set: EpisodeSet, budget: int) -> None:
    """But for those of the episode that is asked"""
    model = Voters(size=SIDE)
    ask = FeatureAsker(model, "cpu", InferenceSettings(feature_cache=budget), InferenceCost())
    sizes = [(SIDE, SIDE)]
    show = module._show(model, Transfer("cpu"))
    for episode in stream(toy_set, shot=2, seed=0, transform=show, arrange=ask.arrange):
        ask([PreparedEpisode(episode.query, episode.supports, sizes, episode.index)])
        held = dict(ask.cache.sizes())
        assert ask.cache.held == sum(held.values())
        used = {kind + one.frame.key for kind in ("image", "support") for one in (episode.query, *episode.supports)}
        assert ask.cache.held <= budget or {kind + key for kind, key in held} <= used


# --- looking on -----------------------------------------------------------------------------------------


def test_whoever_looks_on_sees_every_answer_once_in_the_order_of_the_plan(toy_set: EpisodeSet) -> None:
    given = list(answers(Redder(size=SIDE), toy_set, shot=2, seed=0))
    table = evaluate(Redder(size=SIDE), toy_set, shot=2, seed=0)
    episodes = table.track.episodes
    assert [(a.episode.class_id, a.index) for a in given] == sorted((e.class_id, i) for i, e in enumerate(episodes))
    for answer in given:
        assert answer.episode == episodes[answer.index]
        assert answer.query.image_id == answer.episode.query
        assert tuple(frame.image_id for frame in answer.supports) == answer.episode.supports
        assert (answer.counts == table.counts[answer.index]).all()
        assert answer.scored.query == table.queries[answer.index]
        assert answer.scored.query == QueryFacts(
            object_pixels=int(answer.query.mask.sum()),
            image_pixels=answer.query.image.shape[0] * answer.query.image.shape[1],
            n_classes=answer.query.n_classes,
        )
        assert {name: tuple(mask.shape) for name, mask in answer.masks.items()} == {
            "original": answer.query.mask.shape,
            "model": (SIDE, SIDE),
        }
        scored = count(answer.masks["original"].numpy(), answer.query.mask)
        assert astuple(scored) == tuple(answer.counts[0])


# --- refusals -------------------------------------------------------------------------------------------


class Odd(FewShotSegmenter):
    """A model whose masks are whatever a function makes of a proper one (B, H, W)."""

    def __init__(self, spoil: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.preprocess = Preprocess(size=SIDE)
        self.spoil = spoil

    def predict(self, query: Tensor, supports: Tensor, masks: Tensor) -> Tensor:
        return self.spoil(masks[:, 0].to(torch.uint8))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda m: m[0], r"\(\d+, \d+\)"),
        (lambda m: m[:, None], r"\(1, 1, \d+, \d+\)"),
        (lambda m: torch.stack([1 - m, m, m], dim=1).float(), r"\(1, 3, \d+, \d+\)"),
        (lambda m: m.repeat(2, 1, 1), r"\(2, \d+, \d+\)"),
        (lambda m: m[:, ::2, ::2], r"\(1, 24, 24\)"),
    ],
    ids=["no batch", "a channel", "logits of three", "another batch", "half the size"],
)
def test_masks_of_another_shape_are_refused(toy_set: EpisodeSet, spoil: Callable[[Tensor], Tensor], found: str) -> None:
    with pytest.raises(ModelError, match=rf"Odd gave a mask of shape {found}, expected \(1, .*predict must return"):
        evaluate(Odd(spoil), toy_set, shot=1, seed=0, episodes=1)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda m: 2 * m, "must hold only 0 and 1, found 2"),
        (lambda m: 255 * m, "must hold only 0 and 1, found 255"),
        (lambda m: m.float(), "must be uint8 or bool, got torch.float32"),
        (lambda m: m.long(), "must be uint8 or bool, got torch.int64"),
    ],
)
def test_masks_that_are_not_binary_are_refused(
    toy_set: EpisodeSet, spoil: Callable[[Tensor], Tensor], found: str
) -> None:
    with pytest.raises(MetricError, match=f"a predicted mask {found}"):
        evaluate(Odd(spoil), toy_set, shot=1, seed=0, episodes=1)


def test_masks_of_bools_are_as_good(toy_set: EpisodeSet) -> None:
    table = evaluate(Odd(lambda m: m.bool()), toy_set, shot=1, seed=0, episodes=5)
    assert same(table, evaluate(CopySupport(size=SIDE), toy_set, shot=1, seed=0, episodes=5))


@pytest.mark.parametrize("cut", [(slice(None), slice(1, None)), (0,)])
def test_a_model_of_features_that_decides_at_another_size_is_refused(toy_set: EpisodeSet, cut: tuple[Any, ...]) -> None:
    """Its masks are held to the sizes that were asked for, as all models' are."""

    class Cutting(Voters):
        def decide(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
            return super().decide(logits, size)[cut]

    with pytest.raises(ModelError, match="Cutting gave a mask of shape"):
        evaluate(Cutting(size=SIDE), toy_set, shot=1, seed=0, episodes=1)


def test_a_track_that_is_not_there_is_refused(toy_set: EpisodeSet) -> None:
    with pytest.raises(EpisodeSetError, match="no 5-shot track of seed 0, it has 1-shot seed 0, 2-shot seed 0"):
        evaluate(CopySupport(), toy_set, shot=5, seed=0)


@pytest.mark.parametrize("n", [0, -1, 41])
def test_a_number_of_episodes_that_the_track_does_not_have_is_refused(toy_set: EpisodeSet, n: int) -> None:
    with pytest.raises(UsageError, match=f"{n} episodes were asked of a track of 40"):
        evaluate(CopySupport(), toy_set, shot=1, seed=0, episodes=n)
