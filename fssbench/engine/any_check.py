"""What can be wrong with any model; see `fssbench.engine.model_check`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fssbench.base.errors import FssbenchError
from fssbench.engine.deciding import Deciding, same
from fssbench.engine.drawn import ModelInputs, drawn
from fssbench.models.blame import described
from fssbench.models.checks import has_values
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter

__all__ = ["NAN", "SAME", "Finding", "ModelCheck"]

CLASSES = (0, 13, 41, 66, 27)
"""Toy classes of the episodes; no two of one colour or shape."""

SHOTS = (1, 2)
NAMES = ("query", "supports", "masks")
SIZES = ((97, 61), (40, 120))
"""Query sizes asked for: neither square nor the model's."""

SAME = 0.01
"""Share of pixels that may differ where the same is computed in batches of other sizes: sums are rounded otherwise."""

NOISE = 0.001
"""The same, where batches have one size."""

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


class ModelCheck:
    """One pass over one model; each method looks at one thing and adds to the findings."""

    def __init__(self, model: FewShotSegmenter, device: str) -> None:
        self.model = model
        self.device = device
        self.findings: list[Finding] = []
        self.asked = {shot: drawn(model.preprocess, classes=CLASSES, shot=shot, device=device) for shot in SHOTS}

    def wrong(self, check: str, *, expected: str, found: str, remedy: str) -> None:
        """Say once that something is wrong."""
        finding = Finding(check=check, expected=expected, found=found, remedy=remedy)
        if finding not in self.findings:
            self.findings.append(finding)

    def run(self, build: Callable[[], FewShotSegmenter]) -> dict[int, Tensor | None]:
        """Look at everything that any model can get wrong; gives its answers by shot."""
        self.training("after it was built and put into eval mode")
        answers = {shot: self.predict(self.asked[shot].only(0)) for shot in SHOTS}
        self.training("after predict")
        if answers[1] is not None:
            self.repeated(answers[1], build)
            self.sizes(answers[1])
        if answers[2] is not None:
            self.batches(answers[2])
        if all(answer is not None for answer in answers.values()) and not self.constant():
            self.supports()
        return answers

    def training(self, when: str) -> None:
        """No part of it is in training mode."""
        if names := [name or "the model itself" for name, part in self.model.named_modules() if part.training]:
            self.wrong(
                "training mode",
                expected="eval mode throughout",
                found=f"{len(names)} modules in training mode {when}, the first is {names[0]}",
                remedy="let eval() reach them, and do not call train() in predict",
            )

    def predict(self, asked: ModelInputs) -> Tensor | None:
        """Ask it, and look at the answer; ``None`` if there is none to go on with."""
        b, _, h, w = asked.query.shape
        where = f"predict, {asked.shape}"
        answer = self.call(where, lambda: self.model.predict(*asked.tensors), given=asked.tensors)
        return answer if self.is_mask(where, answer, (b, h, w)) and isinstance(answer, Tensor) else None

    def call(self, what: str, function: Callable[[], object], *, given: Sequence[Tensor]) -> object:
        """Call a part of the model; what it raises and what it changes in ``given`` are findings."""
        before = [tensor.clone() for tensor in given]
        deciding = Deciding()
        try:
            with torch.inference_mode(), deciding:
                answer = function()
        except FssbenchError as error:
            self.wrong(what, expected="an answer", found=error.problem, remedy=error.remedy or "mend that")
            return None
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            self.wrong(what, expected="an answer", found=described(error), remedy="mend that")
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
            names = NAMES if what.startswith("predict") else [f"tensor {n}" for n in range(len(given))]
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

    def repeated(self, answer: Tensor, build: Callable[[], FewShotSegmenter]) -> None:
        """The same question has the same answer, and one build is like the next."""
        torch.manual_seed(1)
        self.alike(
            "determinism",
            answer,
            self.predict(self.asked[1].only(0)),
            what="the same mask for the same episode",
            remedy="draw nothing at random in predict, or from a generator of its own with a fixed seed",
        )
        if self.model.needs_training:
            return  # its weights come from a checkpoint
        torch.manual_seed(2)
        self.model, first = build().to(self.device), self.model
        self.alike(
            "determinism of building",
            answer,
            self.predict(self.asked[1].only(0)),
            what="the same mask from a model built again",
            remedy="initialise weights from a fixed seed, or set needs_training = True if a checkpoint holds them",
        )
        self.model = first

    def constant(self) -> bool:
        """Whether every mask is background alone, or foreground alone; wrong unless weights are still to come."""
        masks = (self.predict(self.asked[1].only(row)) for row in range(len(CLASSES)))
        first, same = None, True
        for mask in masks:
            if mask is None or bool((mask != mask.flatten()[0]).any()):
                return False
            first = mask.flatten()[0] if first is None else first
            same = same and bool(mask.flatten()[0] == first)
        if same and not self.untrained:
            self.wrong(
                "constant answers",
                expected="masks that tell foreground from background",
                found=f"{'foreground' if first else 'background'} alone in {len(CLASSES)} episodes of {len(CLASSES)}",
                remedy="look at the logits and at how they are decided",
            )
        return same

    @property
    def untrained(self) -> bool:
        """Whether it waits for weights, or has random ones."""
        info = self.model.backbone_info
        return self.model.needs_training or (info is not None and info.weights == "none")

    def supports(self) -> None:
        """What it answers depends on its support, and on each of several."""
        for shot, what in ((1, "its support"), (2, "the second of two supports")):
            asked = self.asked[shot].only(0, 1)
            other = ModelInputs(asked.query, asked.supports.clone(), asked.masks.clone())
            other.supports[:, -1] = asked.supports[:, -1].flip(0)
            other.masks[:, -1] = 1 - asked.masks[:, -1]
            one, two = self.outcome(asked), self.outcome(other)
            if one is not None and two is not None and same(one, two):
                self.wrong(
                    f"use of supports, K={shot}",
                    expected=f"another answer when {what} and its mask are others",
                    found="the very same one",
                    remedy="let predict use all of supports and masks (B, K, …), or raise if it is built for one shot"
                    if shot > 1
                    else "compare the query with what supports show under masks",
                )
                return

    def outcome(self, asked: ModelInputs) -> Tensor | None:
        """Logits, which weights that mean nothing yet change too; where there are none, the mask."""
        if isinstance(self.model, FeatureSegmenter):
            logits = self.call("logits", partial(self.model._logits, *asked.tensors), given=asked.tensors)
            return logits if isinstance(logits, Tensor) and bool(logits.isfinite().all()) else None
        return self.predict(asked)

    def batches(self, answer: Tensor) -> None:
        """An episode's mask does not depend on the others in its batch."""
        asked = self.asked[2]
        first, second = self.predict(asked.only(0, 1, 2)), self.predict(asked.only(0, 3, 4))
        remedy = "let no statistic run over the batch dimension (batch norm in eval mode, no mean over all of a tensor)"
        if first is None or second is None:
            return
        what = "a mask that does not depend on the batch"
        self.alike("batch dependence", first[0], second[0], what=what, remedy=remedy, tolerance=NOISE)
        self.alike("batch dependence", answer, first[:1], what=what, remedy=remedy, tolerance=SAME)

    def sizes(self, answer: Tensor) -> None:
        """Masks come at the sizes that are asked for."""
        asked = self.asked[1].only(0)
        own = (asked.query.shape[-2], asked.query.shape[-1])
        sizes = [*SIZES, own]
        found = self.call("predict_sizes", lambda: self.model.predict_sizes(*asked.tensors, sizes), given=asked.tensors)
        if not isinstance(found, (list, tuple)) or len(found) != len(sizes):
            if not any(finding.check == "predict_sizes" for finding in self.findings):
                self.wrong(
                    "predict_sizes",
                    expected=f"a list of {len(sizes)} masks, one for each size",
                    found=f"{type(found).__name__} of {len(found) if isinstance(found, (list, tuple)) else '?'}",
                    remedy="return one mask for each size asked for, in that order",
                )
            return
        fine = [self.is_mask(f"predict_sizes at {s}", one, (1, *s)) for one, s in zip(found, sizes, strict=True)]
        if fine[-1]:
            self.alike(
                "predict_sizes",
                answer,
                found[-1],
                what="predict's own mask at the input's size",
                remedy="let both come from the same logits",
            )

    def alike(
        self, check: str, a: Tensor | None, b: Tensor | None, *, what: str, remedy: str, tolerance: float = 0.0
    ) -> None:
        """Two masks are the same, but for a share of the pixels."""
        if a is None or b is None or tuple(a.shape) != tuple(b.shape):
            return
        share = float((a != b).double().mean())
        if share > tolerance:
            self.wrong(check, expected=what, found=f"masks that differ in {share:.1%} of pixels", remedy=remedy)
