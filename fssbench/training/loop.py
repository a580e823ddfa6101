"""The training loop: batches come in, weights learn, and now and then they are validated and kept.

A run is decided by its recipe and data alone. Every step has its own seed, an epoch's batches can be begun anywhere,
and learning rates follow from the step: so a run that was interrupted goes on to the same weights as one that was
not, bit for bit where the arithmetic is deterministic, as it is on a CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from fssbench.base.errors import TrainingError
from fssbench.engine.ranks import Ranks
from fssbench.models.batch import on_device
from fssbench.models.blame import blamed
from fssbench.models.trainable import Step, Trainable
from fssbench.training.folder import Progress, Validated
from fssbench.training.meter import Meter
from fssbench.training.optimization import build_optimizer, rate_factor, set_rates
from fssbench.training.recipe import Recipe
from fssbench.training.sharing import SharedSteps
from fssbench.training.stopping import StopRequest, settled
from fssbench.training.validation import Scored

__all__ = ["Learner", "Seen", "Supply", "Watcher", "train"]

B = TypeVar("B")
LOG_EVERY = 10
"""Steps that a line of the log is the mean of."""

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, kw_only=True, eq=False)
class Supply(Generic[B]):
    """Where batches come from.

    Attributes:
        batches: (epoch, first batch) → this process's share of the epoch's batches from there on.
        episodes: of an epoch, over all processes.
        batch: of a step, over all processes; the last one of an epoch has what is left.
        n_classes: class ids and labels are below it.
    """

    batches: Callable[[int, int], Iterator[B]]
    episodes: int
    batch: int
    n_classes: int

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return math.ceil(self.episodes / self.batch)

    def size(self, step: int) -> int:
        """Episodes of a step, over all processes."""
        return min(self.batch, self.episodes - step % self.steps * self.batch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The course of training in the last few steps.

    Attributes:
        step: steps done.
        epoch: counted from 0, with its fraction.
        loss: mean over the steps and processes.
        parts: the loss's terms, of this process.
        miou: on what was trained with, since the last validation; ``None`` where nothing was counted.
        fb_iou: likewise; ``None`` for labelled images.
        rate: the first group's learning rate.
    """

    step: int
    epoch: float
    loss: float
    parts: Mapping[str, float]
    miou: float | None
    fb_iou: float | None
    rate: float


class Watcher(Protocol):
    """Who is told how training goes, in the first process."""

    def begin(self, step: int) -> None:
        """Training begins, or goes on, with so many steps done."""

    def seen(self, seen: Seen) -> None:
        """A few steps were done."""

    def validated(self, found: Validated, best: bool) -> None:
        """Weights were validated, and are the best so far or not."""

    def settled(self, step: int) -> None:
        """The run ends, since validation no longer rises."""


class Learner:
    """A model that takes steps."""

    def __init__(self, model: nn.Module, recipe: Recipe, *, device: str, ranks: Ranks) -> None:
        if not isinstance(model, Trainable):
            raise TrainingError(f"{type(model).__name__} cannot be trained", remedy="see docs/guides/training.md")
        self.model = model
        self.model.to(device)
        self.recipe, self.device, self.ranks = recipe, device, ranks
        groups = model.groups()
        self.parameters = [parameter for group in groups for parameter in group.parameters]
        self.shared = SharedSteps(model, self.parameters, ranks)
        self.optimizer = build_optimizer(groups, recipe.optimizer)
        self.kind = device.partition(":")[0]
        self.scaler = torch.amp.GradScaler(self.kind, enabled=recipe.run.precision == "fp16")

    def take(self, batch: Any, *, of: int, stop: bool) -> tuple[float, bool, Mapping[str, Tensor], Tensor | None]:
        """Learn from this process's part of a batch ``of`` so many episodes, a micro-batch at a time.

        Returns:
            The batch's loss over all processes, whether any was asked to stop, and of this process's part the
            loss's terms and the predictions, ``None`` if it has no part in the batch.
        """
        self.optimizer.zero_grad(set_to_none=True)
        loss, taken, left = torch.zeros((), device=self.device), list[tuple[float, Step]](), _length(batch)
        share, in_buckets = left / of, self.shared.in_buckets(own=left, of=of)
        for part in micro_batches(batch, self.recipe.run.micro_batch) if share else ():
            left -= _length(part)
            of_own = _length(part) / _length(batch)
            with self.shared.part(in_buckets=in_buckets, last=not left):
                step, factor = self._step(part, in_buckets=in_buckets)
                own = step.loss * (share * of_own)
                self.scaler.scale(own * factor).backward()  # type: ignore[no-untyped-call]
            loss = loss + own.detach()
            taken.append((of_own, step))
        said = torch.stack([loss.float(), loss.new_tensor(float(stop)).float()])
        total, stops = self.shared.finish(said, share=share, in_buckets=in_buckets).tolist()
        if not math.isfinite(total):
            self._refuse(batch, loss.item())
        self.scaler.unscale_(self.optimizer)
        if self.recipe.optimizer.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.recipe.optimizer.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return total, bool(stops), *_told(taken)

    def _step(self, part: Any, *, in_buckets: bool) -> tuple[Step, float]:
        cast = torch.autocast(self.kind, DTYPES[self.recipe.run.precision], self.recipe.run.precision != "fp32")
        with cast, blamed(self.model, doing=f"to learn from {'; '.join(names_of(part))}"):
            return self.shared.step(part, in_buckets=in_buckets)

    def _refuse(self, batch: Any, loss: float) -> None:
        """Stop over a loss that is not a number, naming what it was made of; in every process."""
        names = [] if math.isfinite(loss) else names_of(batch)
        named = [name for part in self.ranks.gather(names) for name in part]
        raise TrainingError(
            f"the loss is not a finite number on {'; '.join(named)}",
            remedy="lower optimizer.rate, or pass --precision fp32; the run can go on from where it was last saved",
        )

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, but for the data."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def _told(taken: Sequence[tuple[float, Step]]) -> tuple[dict[str, Tensor], Tensor | None]:
    """The loss's terms and the predictions of a batch, from the shares and steps of its micro-batches."""
    if not taken:
        return {}, None
    names = taken[0][1].parts
    parts = {name: torch.stack([share * step.parts[name] for share, step in taken]).sum() for name in names}
    return parts, torch.cat([step.predictions for _, step in taken])


def micro_batches(batch: B, size: int | None) -> Iterator[B]:
    """A batch in parts of ``size`` episodes, the last of what is left; whole for ``None``."""
    values = {f.name: getattr(batch, f.name) for f in fields(batch)}  # type: ignore[arg-type]
    length = _length(batch)
    for start in range(0, length, size or length):
        rows = slice(start, start + (size or length))
        yield replace(batch, **{n: v[rows] if isinstance(v, Tensor | tuple) else v for n, v in values.items()})  # type: ignore[type-var]


def names_of(batch: Any) -> list[str]:
    """What a batch is made of, for a message: its episodes' lines, or its images."""
    episodes = getattr(batch, "episodes", None)
    return [e.line.replace("\t", " ") for e in episodes] if episodes else list(getattr(batch, "image_ids", ()))


def train(
    learner: Learner,
    supply: Supply[B],
    progress: Progress,
    *,
    validate: Callable[[nn.Module], Scored] | None,
    keep: Callable[[bool], None],
    watch: Watcher,
    stop: StopRequest,
) -> None:
    """Train from where ``progress`` stands to the recipe's end, or until validation settled or asked to stop.

    Args:
        validate: what the weights score, the same in every process; ``None`` for weights that are not compared.
        keep: called in every process where the state is to be written, with whether the weights are the best so far.
        watch: told in the first process alone.
        stop: looked at after each step; in whichever process, all stop.

    Raises:
        TrainingError: the loss is not a number; nothing of that step is kept.
    """
    run = learner.recipe.run
    total = run.epochs * supply.steps
    end = min(total, run.max_steps or total)
    every = run.validate_every or supply.steps
    meter, recent = Meter(supply.n_classes, device=learner.device), _Recent()
    learner.model.learn()
    if learner.ranks.first:
        watch.begin(progress.step)
    while progress.step < end and not settled(progress.validated, run, per_epoch=supply.steps):
        begun = progress.step
        epoch, first = divmod(begun, supply.steps)
        for batch in supply.batches(epoch, first):
            _prepare(learner, progress.step, total=total, per_epoch=supply.steps)
            here = on_device(batch, learner.device)
            loss, stopping, parts, predictions = learner.take(
                here, of=supply.size(progress.step), stop=bool(stop.signal)
            )
            progress.step = step = progress.step + 1
            if predictions is not None:
                meter.add(here, predictions)
            recent.add(loss, parts)
            validating = step % every == 0 or step == end
            if step % LOG_EVERY == 0 or validating or stopping:
                rate = learner.optimizer.param_groups[0]["lr"]
                figures = {"miou": meter.miou(learner.ranks), "fb_iou": meter.fb_iou(learner.ranks)}
                seen = recent.take(step=step, epoch=step / supply.steps, rate=rate, **figures)
                if learner.ranks.first:
                    watch.seen(seen)
            if validating:
                meter.clear()
                best = _validate(learner, progress, validate, watch)
                ended = settled(progress.validated, run, per_epoch=supply.steps)
                if ended and learner.ranks.first:
                    watch.settled(step)
                keep(best)
                if ended:
                    return
            if stopping and not validating:
                keep(False)
            if stopping or step == end:
                return
        if progress.step == begun:
            raise TrainingError(f"epoch {epoch} has no batches from number {first} on", remedy="check the training set")


def _prepare(learner: Learner, step: int, *, total: int, per_epoch: int) -> None:
    """Make everything that a step depends on, but for weights and data, follow from its number."""
    factor = rate_factor(learner.recipe.schedule, step=step, total=total, per_epoch=per_epoch)
    set_rates(learner.optimizer, factor)
    torch.manual_seed(_seed(learner.recipe.run.seed, step, learner.ranks.rank))


def _validate(
    learner: Learner, progress: Progress, validate: Callable[[nn.Module], Scored] | None, watch: Watcher
) -> bool:
    if validate is None:
        return False
    found = Validated(step=progress.step, **asdict(validate(learner.model)))
    learner.model.learn()
    best = progress.add(found)
    if learner.ranks.first:
        watch.validated(found, best)
    return best


class _Recent:
    """Sums over the steps since the last line of the log."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.parts: dict[str, list[Tensor]] = {}

    def add(self, loss: float, parts: Mapping[str, Tensor]) -> None:
        self.losses.append(loss)
        for name, value in parts.items():
            self.parts.setdefault(name, []).append(value.detach())

    def take(self, *, step: int, epoch: float, miou: float | None, fb_iou: float | None, rate: float) -> Seen:
        loss = math.fsum(self.losses) / len(self.losses)
        parts = {name: float(torch.stack(values).float().mean()) for name, values in self.parts.items()}
        self.losses, self.parts = [], {}
        return Seen(step=step, epoch=epoch, loss=loss, parts=parts, miou=miou, fb_iou=fb_iou, rate=rate)


def _seed(seed: int, step: int, rank: int) -> int:
    """Of what is random in a step of a process: dropout."""
    return (seed << 40 ^ step << 12 ^ rank) & ((1 << 63) - 1)


def _length(batch: Any) -> int:
    return len(batch.indices)
