"""What can be wrong with a model, found by asking it a few drawn episodes in every way the engine and users do.

The episodes are images of the toy, made inputs as in an evaluation, also in shapes of 3:4, 16:9 and 1:2. A model that
passes answers what it is asked, alike every time, whoever was asked before or is in its batch, in the right place, and
touches nothing it is given.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from fssbench.base.errors import ModelError
from fssbench.engine.any_check import ModelCheck
from fssbench.engine.described import require_described, weights_of
from fssbench.engine.feature_check import FeatureCheck
from fssbench.engine.findings import Finding
from fssbench.engine.geometry_check import GeometryCheck
from fssbench.engine.naming import author
from fssbench.models.blame import blamed
from fssbench.models.interface import FeatureSegmenter, FewShotSegmenter

__all__ = ["Finding", "check_model"]


def check_model(build: Callable[[], FewShotSegmenter], *, device: str = "cpu") -> list[Finding]:
    """Everything that is wrong with the model that ``build`` builds; none if nothing is.

    Whatever the model raises is a finding too; what ``build`` raises is not caught.

    Raises:
        ModelError: its code failed before it could be asked.
    """
    with torch.random.fork_rng():
        torch.manual_seed(1)  # what is found does not depend on what was drawn before
        model = build()
    with blamed(author(model), doing=f"on its way to {device}"):
        model.to(device)
    if findings := _described(model):
        return findings
    with torch.random.fork_rng(), blamed(author(model)):
        check = ModelCheck(model, device)
        answers = check.run(build)
        if isinstance(model, FeatureSegmenter):
            FeatureCheck(check, model).run(answers)
        if all(answer is not None for answer in answers.values()):
            GeometryCheck(check, model).run()
    return check.findings


def _described(model: FewShotSegmenter) -> list[Finding]:
    """What is wrong with what it says of itself."""
    try:
        require_described(model)
        weights_of(model)
    except ModelError as error:
        return [Finding(check="attributes", expected="those of a model", found=error.problem, remedy=error.remedy)]
    return []
