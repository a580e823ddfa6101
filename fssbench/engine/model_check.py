"""What can be wrong with a model, found by asking it a few drawn episodes in every way the engine and users do.

The episodes are images of the toy, decoded, squashed and normalised as in an evaluation. A model that passes
answers what it is asked, alike every time, whoever else is in its batch, and touches nothing it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fssbench.engine.drawn import ModelInputs, drawn
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter, Preprocess

__all__ = ["Finding", "check_model"]

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


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is wrong: what was looked at, what was expected and found, and what to do."""

    check: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.check}: expected {self.expected}, found {self.found}; {self.remedy}"


def check_model(build: Callable[[], FewShotSegmenter], *, device: str = "cpu") -> list[Finding]:
    """Everything that is wrong with the model that ``build`` builds; none if nothing is.

    Whatever the model raises is a finding too; what ``build`` raises is not caught.
    """
    with torch.random.fork_rng():
        torch.manual_seed(1)  # what is found does not depend on what was drawn before
        model = build().to(device)
    preprocess: object = model.preprocess  # a user's class may have set anything
    if not isinstance(preprocess, Preprocess):
        found, remedy = type(preprocess).__name__, "set preprocess = Preprocess(size=…)"
        return [Finding(check="preprocess", expected="a Preprocess", found=found, remedy=remedy)]
    check = _ModelCheck(model, device)
    with torch.random.fork_rng():
        check.run(build)
    return check.findings


class _ModelCheck:
    """One pass over one model; each method looks at one thing and adds to the findings."""

    def __init__(self, model: FewShotSegmenter, device: str) -> None:
        self.model = model
        self.device = device
        self.findings: list[Finding] = []
        self.asked = {shot: drawn(model.preprocess, classes=CLASSES, shot=shot, device=device) for shot in SHOTS}

    def wrong(self, check: str, *, expected: str, found: str, remedy: str) -> None:
        finding = Finding(check=check, expected=expected, found=found, remedy=remedy)
        if finding not in self.findings:
            self.findings.append(finding)

    def run(self, build: Callable[[], FewShotSegmenter]) -> None:
        self.training("after it was built and put into eval mode")
        answers = {shot: self.predict(self.asked[shot].only(0)) for shot in SHOTS}
        self.training("after predict")
        if answers[1] is not None:
            self.repeated(answers[1], build)
            self.sizes(answers[1])
        if answers[2] is not None:
            self.batches(answers[2])
        if isinstance(self.model, FeatureSegmenter):
            _FeatureCheck(self, self.model).run(answers)

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
        try:
            with torch.inference_mode():
                answer = function()
        except Exception as error:  # a user's code may raise anything
            reason = (str(error).splitlines() or [""])[0]
            self.wrong(what, expected="an answer", found=f"{type(error).__name__}: {reason}", remedy="mend that")
            return None
        changed = [n for n, (tensor, copy) in enumerate(zip(given, before, strict=True)) if not tensor.equal(copy)]
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
            if found is not None:
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


class _FeatureCheck:
    """What only a `FeatureSegmenter` can get wrong: its steps, each kept for later, must give what `predict` gives."""

    def __init__(self, check: _ModelCheck, model: FeatureSegmenter) -> None:
        self.check = check
        self.model = model

    def run(self, answers: dict[int, Tensor | None]) -> None:
        for shot, answer in answers.items():
            asked = self.check.asked[shot].only(0)
            mask = self.stepwise(asked)
            if mask is None:
                return
            self.check.alike(
                f"feature reuse, K={shot}",
                answer,
                mask,
                what="the mask of predict from encode, condition, match and decide",
                remedy="leave predict and predict_sizes as they are inherited, or let them call these steps",
                tolerance=0.0 if shot == 1 else SAME,
            )

    def stepwise(self, asked: ModelInputs) -> Tensor | None:
        """The mask as an evaluation makes it, every image encoded alone and every result kept; or ``None``."""
        encode, condition = self.model.encode, self.model.condition
        query = self.features("encode", encode, asked.query)
        conditioned = []
        for k in range(asked.supports.shape[1]):
            image, shown = asked.supports[:, k], asked.masks[:, k]
            maps = self.features("encode", encode, image)
            kept = None if maps is None else self.features("condition", condition, maps, image, shown)
            if query is None or kept is None:
                return None
            conditioned.append(kept)
        assert query is not None
        shots = [torch.stack(layer, dim=1) for layer in zip(*conditioned, strict=True)]
        logits = self.check.call("match", partial(self.model.match, query, shots), given=[*query, *shots])
        if not self.are_logits(logits, asked.supports.shape[1]):
            return None
        assert isinstance(logits, Tensor)
        size = (asked.query.shape[-2], asked.query.shape[-1])
        mask = self.check.call("decide", partial(self.model.decide, logits, size), given=[logits])
        return mask if self.check.is_mask("decide", mask, (1, *size)) and isinstance(mask, Tensor) else None

    def are_logits(self, found: object, shots: int) -> bool:
        """Whether `match` gave what `decide` takes."""
        if any(finding.check == "match" for finding in self.check.findings):
            return False
        if isinstance(found, Tensor) and found.ndim == 5 and found.shape[:3] in {(1, 1, 2), (1, shots, 2)}:
            return True
        self.check.wrong(
            "match",
            expected=f"logits (1, V, 2, h, w) with V = 1, or V = K = {shots} if shots vote",
            found=_shape(found),
            remedy="give logits of background and foreground",
        )
        return False

    def features(self, what: str, step: Callable[..., object], *given: Tensor | list[Tensor]) -> list[Tensor] | None:
        """What a step returns, if it is a list of tensors with one row."""
        tensors = [t for one in given for t in ([one] if isinstance(one, Tensor) else one)]
        found = self.check.call(what, partial(step, *given), given=tensors)
        if any(finding.check == what for finding in self.check.findings):
            return None
        if isinstance(found, (list, tuple)) and all(isinstance(one, Tensor) and one.shape[:1] == (1,) for one in found):
            return list(found)
        self.check.wrong(
            what,
            expected="a list of tensors, each with one row an image",
            found=f"[{', '.join(map(_shape, found))}]" if isinstance(found, (list, tuple)) else _shape(found),
            remedy="return [features], with the batch as first dimension",
        )
        return None


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
