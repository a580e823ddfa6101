"""What is found wrong with a model: whatever it is asked, its failures are findings too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from fssbench.base.errors import FssbenchError
from fssbench.engine.deciding import Deciding, same
from fssbench.engine.drawn import Inputs
from fssbench.engine.kept_weights import KeptWeights
from fssbench.engine.naming import author
from fssbench.models.answers import as_answer, masks_at
from fssbench.models.blame import called, described, remedy_of
from fssbench.models.checks import has_values, is_logits
from fssbench.models.interface import EpisodeSegmenter, FewShotSegmenter

__all__ = ["NAN", "Examined", "Finding"]

T = TypeVar("T")

FIX = "fix that"
NAN = "look for a division by zero, a logarithm of zero or an overflow"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: what was looked at, what was expected and found, and what to do."""

    check: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.check}: expected {self.expected}, found {self.found}; {self.remedy}"


class Examined:
    """A model that is asked this and that, and what was found wrong with it."""

    def __init__(self, model: FewShotSegmenter, device: str) -> None:
        self.model = model
        self.device = device
        self.findings: list[Finding] = []

    def wrong(self, check: str, *, expected: str, found: str, remedy: str) -> None:
        """Say once that something is wrong."""
        finding = Finding(check=check, expected=expected, found=found, remedy=remedy)
        if finding not in self.findings:
            self.findings.append(finding)

    def predict(self, asked: Inputs) -> Tensor | None:
        """Ask it, and look at the answer; the masks (B, h, w), or ``None`` if there is nothing to go on with."""
        where = f"{asked.step}, {asked.shape}"
        answer = self.call(where, lambda: asked.ask(self.model), given=asked.tensors, names=asked.names)
        if any(finding.check == where for finding in self.findings):
            return None
        if isinstance(self.model, EpisodeSegmenter):
            model, geometry = self.model, self.model.preprocess.geometry(asked.size)
            of = called(author(model))
            found = self.tried(where, lambda: model.masks_of(answer, geometry, [asked.size], of=of))
            return None if found is None else found[0][None]
        n = asked.tensors[0].shape[0]
        if isinstance(answer, Tensor) and is_logits(answer, n):
            name = type(self.model).__name__
            return self.tried(
                where, lambda: torch.cat([masks_at(as_answer(one, of=name), [asked.size])[0][None] for one in answer])
            )
        return answer if self.is_mask(where, answer, (n, *asked.size)) and isinstance(answer, Tensor) else None

    def tried(self, what: str, function: Callable[[], T]) -> T | None:
        """What ``function`` gives; ``None`` if it fails, which is a finding."""
        try:
            return function()
        except FssbenchError as error:
            self.wrong(what, expected="an answer", found=error.problem, remedy=error.remedy or FIX)
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            self.wrong(what, expected="an answer", found=described(error), remedy=remedy_of(error))
        return None

    def call(
        self, what: str, function: Callable[[], object], *, given: Sequence[Tensor], names: Sequence[str] = ()
    ) -> object:
        """Call a part of the model; what it raises and what it changes in ``given`` are findings."""
        before = [tensor.clone() for tensor in given]
        deciding = Deciding()

        def asked() -> object:
            with KeptWeights(self.model).asking(), deciding:
                return function()

        answer = self.tried(what, asked)
        if answer is None and any(finding.check == what for finding in self.findings):
            return None
        if deciding.on_nan:
            self.wrong(
                "finite numbers",
                expected="none that is NaN where foreground is told from background",
                found=f"NaN in what {deciding.on_nan} was asked in {what.partition(',')[0]}",
                remedy=NAN,
            )
        changed = [n for n, (tensor, copy) in enumerate(zip(given, before, strict=True)) if not same(tensor, copy)]
        if changed:
            names = names or [f"tensor {n}" for n in range(len(given))]
            self.wrong(
                f"{what.partition(',')[0]}'s inputs",
                expected="them as they were given",
                found=f"{', '.join(names[n] for n in changed)} changed in place",
                remedy="write to a copy: other episodes use them too",
            )
            with torch.inference_mode():
                for n in changed:
                    given[n].copy_(before[n])
        return answer

    def is_mask(self, where: str, answer: object, shape: tuple[int, ...]) -> bool:
        """Whether it is a mask that can be scored at all; everything that is wrong with it is said."""
        if any(finding.check == where for finding in self.findings):
            return False  # there is no answer, and why was said
        if not isinstance(answer, Tensor):
            found = type(answer).__name__
            self.wrong(where, expected="a torch.Tensor", found=found, remedy="return a tensor of uint8")
            return False
        if tuple(answer.shape) != shape:
            self.wrong(
                f"{where}: shape",
                expected=str(shape),
                found=str(tuple(answer.shape)),
                remedy="return one mask an episode, of the size asked for",
            )
            return False
        if answer.dtype != torch.uint8:
            found = str(answer.dtype)
            self.wrong("dtype of masks", expected="torch.uint8", found=found, remedy="end with .to(torch.uint8)")
        if not has_values(answer):
            found = f"{answer.dtype}, {answer.layout} on {answer.device}"
            self.wrong(where, expected="a mask in memory", found=found, remedy="end with .to(torch.uint8)")
            return False
        if answer.device.type != torch.device(self.device).type:
            self.wrong(
                "device of masks",
                expected=self.device,
                found=str(answer.device),
                remedy="make tensors on query.device, and move none",
            )
        values = answer.unique()  # type: ignore[no-untyped-call]
        if not set(values.tolist()) <= {0, 1}:
            shown = ", ".join(f"{value:g}" for value in values[:5].tolist())
            more = ", …" if len(values) > 5 else ""
            self.wrong(
                "values of masks",
                expected="0 and 1 alone",
                found=f"{shown}{more}",
                remedy="return the decision, such as logits.argmax(dim=1), not scores",
            )
        return True

    def alike(
        self, check: str, a: Tensor | None, b: Tensor | None, *, what: str, remedy: str, tolerance: float = 0.0
    ) -> None:
        """Two masks are the same, but for a share of the pixels."""
        if a is None or b is None or tuple(a.shape) != tuple(b.shape):
            return
        differing = int((a != b).sum())
        if (share := differing / max(a.numel(), 1)) > tolerance:
            much = f"{share:.1%} of pixels" if share >= 0.0005 else f"{differing} of {a.numel():,} pixels"
            self.wrong(check, expected=what, found=f"masks that differ in {much}", remedy=remedy)
