"""What several processes share of a step: gradients, running statistics of batch norms, and a few figures."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from fssbench.engine.ranks import Ranks
from fssbench.models.dtypes import at_least_float32
from fssbench.models.trainable import Step, Trainable

__all__ = ["SharedSteps"]


class SharedSteps:
    """The steps of a model whose gradients are summed over all processes.

    Where every process has as many episodes (or images) as any other, torch sums gradients in buckets while the
    backward pass computes the next. Where not, as in an epoch's smaller last batch, of which a process may have nothing
    at all, they are summed in one message at the end.

    Args:
        model: a `Trainable`.
        parameters: of ``model``, those that learn. Where there are several processes no other has gradients.
    """

    def __init__(self, model: Any, parameters: Sequence[nn.Parameter], ranks: Ranks) -> None:
        self.model, self.parameters, self.ranks = model, parameters, ranks
        self._inner = _LossOf(model)
        self._outer: DistributedDataParallel | None = None
        # Buckets are summed in the type of the gradients, which of 16 bits loses too much.
        if ranks.world > 1 and all(p.dtype == at_least_float32(p.dtype) for p in parameters):
            learning = set(parameters)
            for parameter in model.parameters():
                parameter.requires_grad_(parameter.requires_grad and parameter in learning)
            self._inner.never = nn.Parameter(parameters[0].new_zeros(1))
            # Whether every parameter has its part in a step is the model's matter. torch advises against looking for
            # those that have none where it finds none, and against `broadcast_buffers`, whose successor the oldest
            # torch that is admitted does not know.
            with ranks.together(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
                self._outer = DistributedDataParallel(
                    self._inner, broadcast_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
                )

    def in_buckets(self, *, own: int, of: int) -> bool:
        """Whether gradients of a batch of ``of`` episodes are summed as they come, as ``own`` are this process's."""
        # Without a remainder all processes have as many; with one, none has exactly the mean. So all say the same.
        return self._outer is not None and own * self.ranks.world == of

    @contextmanager
    def part(self, *, in_buckets: bool, last: bool) -> Iterator[None]:
        """Around forward and backward pass of a micro-batch, the ``last`` of its batch or not."""
        if not in_buckets or self._outer is None:
            yield
            return
        with nullcontext() if last else self._outer.no_sync(), self.ranks.together():
            yield

    def step(self, part: Any, *, in_buckets: bool) -> tuple[Step, float]:
        """What a micro-batch gives, and the factor for its loss under which gradients add up to sums."""
        if not in_buckets or self._outer is None:
            step: Step = self.model.step(part)
            return step, 1.0
        loss = self._outer(part)
        return replace(self._inner.told(), loss=loss), float(self.ranks.world)  # buckets hold means over processes

    def finish(self, said: Tensor, *, share: float, in_buckets: bool) -> Tensor:
        """End a step: sum what is not yet summed, and give all processes the mean of the running statistics.

        Args:
            said: (n,) float32 or wider.
            share: of the batch that is this process's, in [0, 1].

        Returns:
            The sum of what each process ``said``.
        """
        if self.ranks.world == 1:
            return said
        running = self._running()
        told = [said, *(share * buffer for buffer in running)]
        total = self._summed(told) if in_buckets else self._summed_with_gradients(told)
        for buffer, mean in zip(running, total[1:], strict=True):
            buffer.copy_(mean)
        return total[0]

    def _running(self) -> list[Tensor]:
        """Means and variances of the batch norms that learn."""
        norms = [module for module in self.model.modules() if isinstance(module, _BatchNorm) and module.training]
        return [b for norm in norms for b in (norm.running_mean, norm.running_var) if b is not None]

    def _summed_with_gradients(self, told: Sequence[Tensor]) -> list[Tensor]:
        """`_summed`, and gradients alike: a parameter that has one in any process has the sum in all of them."""
        there = told[0].new_tensor([float(p.grad is not None) for p in self.parameters])
        own = [torch.zeros_like(p) if p.grad is None else p.grad.detach() for p in self.parameters]
        total = self._summed([*told, there, *own])
        anywhere, sums = total[len(told)].tolist(), total[len(told) + 1 :]
        for parameter, found, gradient in zip(self.parameters, anywhere, sums, strict=True):
            parameter.grad = gradient.to(parameter.dtype) if found else None
        return total[: len(told)]

    def _summed(self, told: Sequence[Tensor]) -> list[Tensor]:
        """Tensors summed over all processes, in one message, so that they cannot disagree on what belongs to a step."""
        message = torch.cat([one.flatten().to(at_least_float32(one.dtype)) for one in told])
        with self.ranks.together():
            dist.all_reduce(message)
        parts = torch.split(message, [one.numel() for one in told])
        return [part.view_as(one) for part, one in zip(parts, told, strict=True)]


class _LossOf(nn.Module):
    """A model's step as a forward pass, of which torch is shown the loss alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self._steps: list[Step] = []

    def forward(self, batch: Any) -> Tensor:
        assert isinstance(self.model, Trainable)
        step = self.model.step(batch)
        self._steps.append(step)
        return step.loss

    def told(self) -> Step:
        """All that the last pass gave; not held any longer."""
        return self._steps.pop()
