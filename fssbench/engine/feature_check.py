"""What can be wrong with a model of features, beyond what `fssbench.engine.model_check` finds in any model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from fssbench.engine.any_check import SAME, ModelCheck
from fssbench.engine.drawn import ModelInputs
from fssbench.engine.findings import NAN
from fssbench.models.interface import FeatureSegmenter

__all__ = ["FeatureCheck"]


class FeatureCheck:
    """What only a `FeatureSegmenter` can get wrong: its steps, each kept for later, must give what `predict` gives."""

    def __init__(self, check: ModelCheck, model: FeatureSegmenter) -> None:
        self.check = check
        self.model = model

    def run(self, answers: dict[int, Tensor | None]) -> None:
        """Compare the masks of its steps with the ``answers`` of `predict`, by shot."""
        for shot, answer in answers.items():
            asked = self.check.asked[shot][0]
            assert isinstance(asked, ModelInputs)
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
        if not self.are_numbers("match", [logits], finite=True):
            return None
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

    def are_numbers(self, what: str, found: Sequence[Tensor], *, finite: bool = False) -> bool:
        """Whether a step gave no NaN, and nothing infinite where it must be ``finite``."""
        lost = sum(int((~one.isfinite() if finite else one.isnan()).sum()) for one in found)
        if lost:
            kind = "NaN or infinite" if finite else "NaN"
            self.check.wrong(
                f"{what}'s numbers",
                expected=f"none that are {kind}",
                found=f"{lost:,} of {sum(one.numel() for one in found):,}",
                remedy=NAN,
            )
        return not lost

    def features(self, what: str, step: Callable[..., object], *given: Tensor | list[Tensor]) -> list[Tensor] | None:
        """What a step returns, if it is a list of tensors with one row."""
        tensors = [t for one in given for t in ([one] if isinstance(one, Tensor) else one)]
        found = self.check.call(what, partial(step, *given), given=tensors)
        if any(finding.check == what for finding in self.check.findings):
            return None
        if isinstance(found, (list, tuple)) and all(isinstance(one, Tensor) and one.shape[:1] == (1,) for one in found):
            return list(found) if self.are_numbers(what, found) else None
        self.check.wrong(
            what,
            expected="a list of tensors, each with one row an image",
            found=f"[{', '.join(map(_shape, found))}]" if isinstance(found, (list, tuple)) else _shape(found),
            remedy="return [features], with the batch as first dimension",
        )
        return None


def _shape(value: object) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else type(value).__name__
