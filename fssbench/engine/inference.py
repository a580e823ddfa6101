"""How a model is asked: how exactly, how many at a time, and what is kept meanwhile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from torch import nn

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are
from fssbench.results.environment import pick_device

__all__ = [
    "FEATURE_BYTES",
    "PLAIN",
    "USUAL",
    "InferenceCost",
    "InferenceSettings",
    "Precision",
    "parse_bytes",
    "parse_precision",
    "ready",
]

Precision = Literal["float32", "tf32", "bf16", "fp16"]

FEATURE_BYTES = 2 << 30
"""Features held on the device; what is dropped for want of room is computed again."""

GPU_BATCH = 8
M = TypeVar("M", bound=nn.Module)
REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}
UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


@dataclass(frozen=True, kw_only=True)
class InferenceSettings:
    """How a model is asked.

    Attributes:
        fast: by its accelerated twin, features kept; or else every episode whole and alone, by the model itself.
        batch: images encoded and episodes matched at a time; ``None`` for 1 on a CPU, which a batch does not help,
            and `GPU_BATCH` on a GPU.
        feature_cache: bytes of features held on the device.
        precision: of the model's arithmetic; ``tf32`` is a GPU's.
        compiled: encode by what `torch.compile` makes of the model.
    """

    fast: bool = True
    batch: int | None = None
    feature_cache: int = FEATURE_BYTES
    precision: Precision = "float32"
    compiled: bool = False

    @staticmethod
    def on(
        device: str, *, batch: int | None, precision: str, feature_cache: int | str, compiled: bool, plain: bool
    ) -> InferenceSettings:
        """Settings as people write them, for a device by its name; `UsageError` for what it cannot do."""
        return InferenceSettings(
            fast=not plain,
            batch=batch,
            feature_cache=parse_bytes(feature_cache) if isinstance(feature_cache, str) else feature_cache,
            precision=parse_precision(precision, pick_device(device)),
            compiled=compiled,
        )

    def batch_on(self, device: str) -> int:
        """How many at a time on a device."""
        if not self.fast:
            return 1
        return self.batch or (GPU_BATCH if device.startswith("cuda") else 1)

    @property
    def dtype(self) -> torch.dtype:
        """What the model's numbers are."""
        return REDUCED.get(self.precision, torch.float32)

    @contextmanager
    def arithmetic(self, *, gradients: bool = False) -> Iterator[None]:
        """Float32 in full unless tf32 was asked for, and the same algorithm every time.

        Args:
            gradients: leave it possible to enable gradients; otherwise there are none.
        """
        tf32, matmul = self.precision == "tf32", torch.backends.cuda.matmul
        before = matmul.allow_tf32
        with ExitStack() as stack:
            stack.enter_context(torch.no_grad() if gradients else torch.inference_mode())
            stack.enter_context(
                torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=tf32)
            )
            matmul.allow_tf32 = tf32
            stack.callback(setattr, matmul, "allow_tf32", before)
            yield


USUAL = InferenceSettings()

PLAIN = InferenceSettings(fast=False)
"""One episode at a time, every image encoded every time, in float32: what others are measured against."""


@dataclass
class InferenceCost:
    """What asking took, counted while it goes on.

    Attributes:
        batch: at the end; less than at the beginning if memory ran out.
        encoded: images that were encoded.
        conditioned: supports that were made of images and masks, where they are kept.
        shortages: how often memory ran out, and less was tried at a time.
    """

    batch: int = 1
    encoded: int = 0
    conditioned: int = 0
    shortages: int = 0


def ready(model: M, device: str) -> M:
    """A model on a device, in eval mode, whatever its own ``to`` and ``eval`` return."""
    model.to(device)
    model.eval()
    return model


def parse_bytes(text: str) -> int:
    """``8GiB`` → bytes; `UsageError` if it is not a size."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]i?B)?", text.strip())
    if found is None:
        raise UsageError(f"'{text}' is not an amount of memory", remedy="write it as 8GiB or 500MiB")
    return int(float(found[1]) * UNITS[found[2] or ""])


def parse_precision(name: str, device: str) -> Precision:
    """A precision by its name; `UsageError` if there is none, or the device has it not."""
    known: tuple[Precision, ...] = get_args(Precision)
    for precision in known:
        if precision == name:
            if precision in ("tf32", "fp16") and not device.startswith("cuda"):
                raise UsageError(f"{name} needs a GPU, the device is {device}", remedy="on a CPU there is bf16")
            return precision
    raise UsageError(f"there is no precision '{name}'", remedy=known_are(name, known))
