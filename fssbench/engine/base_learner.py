"""Which weights the frozen half of a model has while the rest is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fssbench.base.errors import ModelError
from fssbench.base.home import Home
from fssbench.engine.model import find_weights, require_unseen
from fssbench.episodes.benchmarks import Benchmark
from fssbench.models import ModelSpec
from fssbench.models.cards import SUFFIX, card_path, read_card

__all__ = ["find_base_learner"]


def find_base_learner(
    spec: ModelSpec, options: Mapping[str, Any], *, benchmark: Benchmark, fold: int, home: Home
) -> str:
    """The ``backbone_weights`` to train a model with that is built around a `ModelSpec.base_learner`.

    Args:
        spec: the model's.
        options: it is to be built with. Their ``backbone_weights`` may be ``none``, or a path in which ``{fold}``
            stands for the fold; of a training run's folder, the weights that its rule chose. If there are none, the
            home is searched.

    Raises:
        ModelError: there are none.
        CheckpointError: they are those of another model, or were trained on classes that the fold tests.
    """
    learner = spec.base_learner or ""
    weights, backbone = options.get("backbone_weights"), {**spec.options, **options}["backbone"]
    remedy = (
        f"train one with fssbench train -m {learner} -b {benchmark.alias} -f {fold}, pass --backbone-weights PATH of "
        "one, or try without with --backbone-weights none"
    )
    try:
        path = find_weights(
            weights, name=learner, backbone=backbone, benchmark=benchmark, fold=fold, n_folds=1, home=home
        )
    except ModelError as error:
        raise ModelError(
            f"{spec.name} is trained around a {learner} that knows the base classes of fold {fold}, "
            f"and there is none with {backbone} in {home.checkpoints / benchmark.name}",
            remedy=remedy,
        ) from error
    if path is None:
        return "none"
    if not path.is_file():
        raise ModelError(f"there is no {learner} {path}", remedy=remedy)
    if path.suffix == SUFFIX and card_path(path).is_file():
        require_unseen(read_card(path), path, name=learner, benchmark=benchmark, fold=fold)
    return str(path)
