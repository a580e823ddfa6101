"""The training loop, on a model and episodes small enough to train in a test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import Small, episode_batch, recipe, supply
from torch import Tensor, nn

from fssbench.base.errors import TrainingError, UsageError
from fssbench.engine.ranks import Ranks, joined
from fssbench.models.batch import EpisodeBatch
from fssbench.models.trainable import Group, Trainable
from fssbench.training.folder import Progress, RunFolder, Validated
from fssbench.training.loop import Learner, Seen, Supply, train
from fssbench.training.recipe import Recipe
from fssbench.training.sharing import SharedSteps
from fssbench.training.stopping import StopRequest, settled, stop_requests
from fssbench.training.validation import Scored, validate_on_batches

LAST_STEP = 12  # three epochs of four steps
Weights = dict[str, Tensor]


class Told:
    """Remembers what it is told, and does something at it."""

    def __init__(self, at: Callable[[Seen], None] = lambda seen: None) -> None:
        self.at = at
        self.course: list[Seen] = []
        self.found: list[tuple[Validated, bool]] = []
        self.ended: int | None = None

    def begin(self, step: int) -> None:
        self.begun = step

    def seen(self, seen: Seen) -> None:
        self.course.append(seen)
        self.at(seen)

    def validated(self, found: Validated, best: bool) -> None:
        self.found.append((found, best))

    def settled(self, step: int) -> None:
        self.ended = step


def run(
    settings: Recipe,
    *,
    data: Supply[EpisodeBatch] | None = None,
    ranks: Ranks = Ranks(),  # noqa: B008
    folder: RunFolder | None = None,
    stop: StopRequest | None = None,
    told: Told | None = None,
    model: nn.Module | None = None,
) -> tuple[Weights, Told]:
    """Train the small model, from where the folder stands if it has a run; returns its weights and what was told."""
    learner = Learner(model or Small(), settings, device="cpu", ranks=ranks)
    progress, told = Progress(), told or Told()
    if folder is not None and folder.begun:
        progress, state = folder.load(identity="{}")
        learner.restore(state)

    def keep(best: bool) -> None:
        if folder is not None:
            folder.save(progress, identity="{}", parts=learner.state())

    def validate(model: nn.Module) -> Scored:
        return validate_on_batches(
            model, lambda preprocess: [episode_batch(99, (0, 1, 2, 3))], device="cpu", ranks=ranks
        )

    train(
        learner,
        data or supply(rank=ranks.rank, world=ranks.world),
        progress,
        validate=validate if settings.run.select_on != "last" else None,
        keep=keep,
        watch=told,
        stop=stop or StopRequest(),
    )
    return {name: tensor.clone() for name, tensor in learner.model.state_dict().items()}, told


def same(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_what_it_may_and_leaves_the_rest_alone() -> None:
    before, (after, told) = Small().state_dict(), run(recipe(run__epochs=30))
    assert told.course[-1].loss < 0.4 * told.course[0].loss
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"compare.weight", "compare.bias", "decide.weight", "decide.bias"}
    assert max(found.miou for found, _ in told.found) > 0.6
    assert told.found[-1][0].miou > told.found[0][0].miou


@pytest.mark.parametrize("at", [1, 4, 5, 7])
def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path, at: int) -> None:
    """Wherever a run is stopped, going on gives the same weights bit for bit."""
    whole, _ = run(recipe())
    folder, stop = RunFolder(tmp_path / "run"), StopRequest()

    def halt(batch: EpisodeBatch) -> EpisodeBatch:
        stop.signal = signal.SIGTERM if batch.indices[0] == (at - 1) % 4 * 4 and batch.epoch == (at - 1) // 4 else 0
        return batch

    cut, _ = run(recipe(), data=supply(spoil=halt), folder=folder, stop=stop)
    assert folder.load(identity="{}")[0].step == at
    assert not same(cut, whole)
    resumed, _ = run(recipe(), folder=folder)
    assert same(resumed, whole)


def test_validations_survive_an_interruption(tmp_path: Path) -> None:
    _, told = run(recipe())
    folder = RunFolder(tmp_path)
    run(recipe(run__max_steps=7), folder=folder)
    assert [one.step for one in folder.load(identity="{}")[0].validated] == [5, 7]
    assert [found.step for found, _ in told.found] == [5, 10, LAST_STEP]


def test_sigterm_ends_the_step_and_saves(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)

    def kill(seen: Seen) -> None:
        if seen.step == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with stop_requests() as stop:
        run(recipe(), folder=folder, stop=stop, told=Told(at=kill))
    assert stop.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    assert folder.load(identity="{}")[0].step == 6  # the first line of the log is step 5's


def test_a_loss_that_is_no_number_names_its_episodes_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    class Overflows(Small):
        def step(self, batch: EpisodeBatch):  # type: ignore[no-untyped-def]
            step = super().step(batch)
            return replace(step, loss=step.loss * float("nan")) if batch.epoch == 1 else step

    folder = RunFolder(tmp_path)
    with pytest.raises(TrainingError, match="a finite number on 0 e1q0 e1s0; 1 e1q1 e1s1; 2 e1q2 e1s2; 0 e1q3 e1s3"):
        run(recipe(run__validate_every=2), folder=folder, model=Overflows())
    assert folder.load(identity="{}")[0].step == 4


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save(Progress(), identity='{"seed": 1}', parts={})
    with pytest.raises(TrainingError, match="its seed is 1, and 2 was asked for"):
        folder.load(identity='{"seed": 2}')
    folder.state.write_bytes(folder.state.read_bytes()[:-30])
    with pytest.raises(TrainingError, match="cannot be read"):
        folder.load(identity='{"seed": 1}')


def test_gradients_are_clipped_and_rates_follow_groups() -> None:
    with pytest.raises(UsageError, match="no parameter group 'decode'; did you mean 'decide'"):
        run(recipe(optimizer__groups={"decode": 0.5}))
    settings = recipe(optimizer__groups={"decide": 0.0}, optimizer__name="sgd", optimizer__clip=1e-3)
    after, _ = run(settings)
    before = Small().state_dict()
    assert torch.equal(after["decide.weight"], before["decide.weight"])
    moved = (after["compare.weight"] - before["compare.weight"]).norm()
    assert 0 < moved <= LAST_STEP * 0.05 * (1e-3 + 0.01 * before["compare.weight"].norm())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns_too(precision: str) -> None:
    weights, told = run(recipe(run__epochs=30, run__precision=precision))
    assert told.course[-1].loss < 0.5 * told.course[0].loss
    assert weights["compare.weight"].dtype == torch.float32


def test_a_model_that_cannot_be_trained_is_refused() -> None:
    assert isinstance(Small(), Trainable)
    with pytest.raises(TrainingError, match="Linear cannot be trained"):
        Learner(nn.Linear(2, 2), recipe(), device="cpu", ranks=Ranks())


@pytest.mark.parametrize("size", [1, 3])
def test_accumulated_gradients_are_those_of_the_whole_batch(size: int) -> None:
    """Whatever the micro-batch, and of an epoch's smaller last batch too."""
    whole, told = run(recipe(), model=Small(dropout=0).double())
    parts, also_told = run(recipe(run__micro_batch=size), model=Small(dropout=0).double())
    assert all((whole[name] - parts[name]).abs().max() <= TOLERANCE for name in whole)
    assert [seen.miou for seen in told.course] == [seen.miou for seen in also_told.course]
    assert [seen.parts["ce"] for seen in told.course] == pytest.approx([seen.parts["ce"] for seen in also_told.course])


def test_a_validation_tells_fb_iou_and_loss(tmp_path: Path) -> None:
    """Of everything's background and foreground, and the cross-entropy of the fixed episodes."""
    folder = RunFolder(tmp_path)
    _, told = run(recipe(), folder=folder)
    batch, model = episode_batch(99, (0, 1, 2, 3)), Small()
    model.load_state_dict(folder.load(identity="{}")[1]["model"])
    step = model.eval().step(batch)
    found, true = step.predictions == 1, batch.query_target == 1
    both = [((found == side) & (true == side)).sum() / ((found == side) | (true == side)).sum() for side in (0, 1)]
    last, _ = told.found[-1]
    assert last.fb_iou == pytest.approx(float(sum(both)) / 2)
    assert last.loss == pytest.approx(step.loss.item(), rel=1e-5)
    assert folder.load(identity="{}")[0].validated[-1] == last
    assert all(seen.fb_iou is not None and 0 <= seen.fb_iou <= 1 for seen in told.course)


def test_a_run_ends_when_validation_settles_and_is_not_gone_on_with(tmp_path: Path) -> None:
    """Weights that find nothing and cannot learn are never better: after two epochs it is over."""
    folder = RunFolder(tmp_path)
    still = recipe(run__epochs=9, run__stop_interval=2, run__validate_every=4, optimizer__rate=1e-30)
    _, told = run(still, folder=folder)
    assert [found.step for found, _ in told.found] == [4, 8]
    assert told.ended == 8
    _, again = run(still, folder=folder)
    assert again.course == []


@given(st.lists(st.floats(0, 1), max_size=12), st.integers(1, 5), st.sampled_from([0.0, 0.1]))
def test_validation_has_settled_as_the_published_code_counts(scores: list[float], interval: int, gain: float) -> None:
    """A counter of epochs, set to 0 by every score better by the gain, ends the run when it reaches the interval."""
    best, waited, over = 0.0, 0, False
    for score in scores:
        waited += 1
        if score > best + (gain if best else 0):
            best, waited = score, 0
        over = waited >= interval
    found = [Validated(step=10 * n, miou=score) for n, score in enumerate(scores, 1)]
    run_settings = recipe(run__stop_interval=interval, run__stop_gain=gain).run
    assert settled(found, run_settings, per_epoch=10) == over
    assert not settled(found, recipe().run, per_epoch=10)


TOLERANCE = 1e-9
"""Between one process and two in float64: sums are taken in another order, and Adam divides by their size."""


class Normed(Small):
    """Its batch norm learns, from what each process has: all but its means differ from one process's."""

    def learn(self) -> None:
        self.train()

    def groups(self) -> list[Group]:
        return [*super().groups(), Group(name="norm", parameters=tuple(self.norm.parameters()))]


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    """At the same global batch; of an epoch's last one, a single episode, the first process has nothing.

    Gradients are summed as they come where shares are even, after the last micro-batch, and at the end where not.
    """
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__, tmp_path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parent)}
    ran = subprocess.run([sys.executable, *map(str, launch)], capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    assert "Warning" not in ran.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    assert [first["buckets"], second["buckets"]] == [[True, True, True, False] * 3] * 2
    for name, settings in SEVERAL.items():
        alone, told = run(settings, model=Small(dropout=0).double())
        left = first[name]
        assert same(left["weights"], second[name]["weights"])
        for key, tensor in alone.items():
            assert (left["weights"][key] - tensor).abs().max() <= TOLERANCE, key
        # Counts are integers: while masks agree, so does every digit of the mIoU.
        assert left["miou"] == [seen.miou for seen in told.course]
        assert left["fb_iou"] == [seen.fb_iou for seen in told.course]
        assert left["validated"] == [found.miou for found, _ in told.found]
    alone, _ = run(recipe(), model=Normed(dropout=0).double())
    for left in (first, second):
        del left["normed"]["norm.num_batches_tracked"]  # each counts its own, and nothing depends on it
    assert same(first["normed"], second["normed"])
    assert (first["normed"]["norm.running_mean"] - alone["norm.running_mean"]).abs().max() <= TOLERANCE
    assert (alone["norm.running_mean"] - Normed().state_dict()["norm.running_mean"]).abs().max() > 0


SEVERAL = {"whole": recipe(), "in micro-batches": recipe(run__micro_batch=1)}


def _one_of_several(output: Path) -> None:
    torch.set_num_threads(1)
    left, buckets = dict[str, object](), list[bool]()
    for name, settings in SEVERAL.items():
        with joined() as ranks:
            weights, told = run(settings, ranks=ranks, model=Small(dropout=0).double())
        left[name] = {
            "fb_iou": [seen.fb_iou for seen in told.course],
            "weights": weights,
            "miou": [seen.miou for seen in told.course],
            "validated": [found.miou for found, _ in told.found],
        }
    with joined() as ranks:
        finish = SharedSteps.finish

        def see(self: SharedSteps, said: Tensor, *, share: float, in_buckets: bool) -> Tensor:
            buckets.append(in_buckets)
            return finish(self, said, share=share, in_buckets=in_buckets)

        SharedSteps.finish = see  # type: ignore[method-assign]
        left["normed"], _ = run(recipe(), ranks=ranks, model=Normed(dropout=0).double())
    torch.save(left | {"buckets": buckets}, output / f"rank{ranks.rank}.pt")


if __name__ == "__main__":
    _one_of_several(Path(sys.argv[1]))
