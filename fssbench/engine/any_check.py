"""What can be wrong with any model; see `fssbench.engine.model_check`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fssbench.engine.deciding import same
from fssbench.engine.drawn import Inputs, ModelInputs, drawn, drawn_for
from fssbench.engine.findings import Examined
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter

__all__ = ["SAME", "ModelCheck"]

CLASSES = (0, 13, 41, 66, 27)
"""Toy classes of the episodes; no two of one colour or shape."""

SHOTS = (1, 2)
SIZES = ((97, 61), (40, 120))
"""Query sizes asked for: neither square nor the model's."""

SAME = 0.01
"""Share of pixels that may differ where the same is computed in batches of other sizes: sums are rounded otherwise."""

NOISE = 0.001
"""The same, where batches have one size."""


class ModelCheck(Examined):
    """One pass over one model; each method looks at one thing and adds to the findings."""

    def __init__(self, model: FewShotSegmenter, device: str) -> None:
        super().__init__(model, device)
        self.asked = {
            shot: [drawn_for(model, class_id=class_id, shot=shot, device=device) for class_id in CLASSES]
            for shot in SHOTS
        }

    def run(self, build: Callable[[], FewShotSegmenter]) -> dict[int, Tensor | None]:
        """Look at everything that any model can get wrong; gives its answers by shot."""
        self.training("after it was built and put into eval mode")
        answers = {shot: self.predict(self.asked[shot][0]) for shot in SHOTS}
        self.training(f"after {self.asked[1][0].step}")
        if answers[1] is not None:
            self.repeated(answers[1], build)
            self.ordered(answers[1])
            self.sizes(answers[1])
        if answers[2] is not None and (self.model.batched or isinstance(self.model, FeatureSegmenter)):
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

    def repeated(self, answer: Tensor, build: Callable[[], FewShotSegmenter]) -> None:
        """The same question has the same answer, and one build is like the next."""
        torch.manual_seed(1)
        self.alike(
            "determinism",
            answer,
            self.predict(self.asked[1][0]),
            what="the same mask for the same episode",
            remedy="draw nothing at random in it, or from a generator of its own with a fixed seed",
        )
        if self.model.needs_training:
            return  # its weights come from a checkpoint
        torch.manual_seed(2)
        self.model, first = build().to(self.device), self.model
        self.alike(
            "determinism of building",
            answer,
            self.predict(self.asked[1][0]),
            what="the same mask from a model built again",
            remedy="initialise weights from a fixed seed, or set needs_training = True if a checkpoint holds them",
        )
        self.model = first

    def ordered(self, answer: Tensor) -> None:
        """An episode's mask does not depend on those that were asked before it."""
        if self.predict(self.asked[1][1]) is None:
            return
        self.alike(
            "order of episodes",
            answer,
            self.predict(self.asked[1][0]),
            what="the same mask when another episode was asked before",
            remedy="keep nothing from one episode to the next; weights are put back if needs_gradients = True",
        )

    def constant(self) -> bool:
        """Whether every mask is background alone, or foreground alone; wrong unless weights are still to come."""
        masks = (self.predict(asked) for asked in self.asked[1])
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
            pairs = [(0, 1), (1, 0)]
            same_each = []
            for row, lender in pairs:
                asked = self.asked[shot][row]
                other = asked.with_last_support_of(self.asked[shot][lender])  # type: ignore[arg-type]
                one, two = self.outcome(asked), self.outcome(other)
                same_each.append(one is not None and two is not None and same(one, two))
            if all(same_each):
                self.wrong(
                    f"use of supports, K={shot}",
                    expected=f"another answer when {what} and its mask are others",
                    found="the very same one",
                    remedy="let predict use all of supports and masks (B, K, …), or raise if it is built for one shot"
                    if shot > 1
                    else "compare the query with what supports show under masks",
                )
                return

    def outcome(self, asked: Inputs) -> Tensor | None:
        """Logits, which weights that mean nothing yet change too; where there are none, the mask."""
        if isinstance(self.model, FeatureSegmenter) and isinstance(asked, ModelInputs):
            logits = self.call("logits", partial(self.model._logits, *asked.tensors), given=asked.tensors)
            return logits if isinstance(logits, Tensor) and bool(logits.isfinite().all()) else None
        return self.predict(asked)

    def batches(self, answer: Tensor) -> None:
        """An episode's mask does not depend on the others in its batch."""
        asked = drawn(self.model.preprocess, classes=CLASSES, shot=2, device=self.device)
        first, second = self.predict(asked.only(0, 1, 2)), self.predict(asked.only(0, 3, 4))
        remedy = "let no statistic run over the batch dimension (batch norm in eval mode, no mean over all of a tensor)"
        if first is None or second is None:
            return
        what = "a mask that does not depend on the batch"
        self.alike("batch dependence", first[0], second[0], what=what, remedy=remedy, tolerance=NOISE)
        self.alike("batch dependence", answer, first[:1], what=what, remedy=remedy, tolerance=SAME)

    def sizes(self, answer: Tensor) -> None:
        """Masks come at the sizes that are asked for."""
        asked = self.asked[1][0]
        if not isinstance(asked, ModelInputs):
            return
        sizes = [*SIZES, asked.size]
        found = self.call(
            "predict_sizes",
            lambda: self.model.predict_sizes(*asked.tensors, sizes),
            given=asked.tensors,
            names=asked.names,
        )
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
