"""Which weights the frozen half of a model has while the rest is trained."""

from __future__ import annotations

from fssbench.benchmarks import Benchmark
from fssbench.engine.model import find_weights, require_unseen
from fssbench.errors import ModelError
from fssbench.home import Home
from fssbench.models.cards import SUFFIX, card_path, read_card

__all__ = ["find_base_learner"]


def find_base_learner(
    learner: str, weights: str | None, *, of: str, backbone: str, benchmark: Benchmark, fold: int, home: Home
) -> str:
    """What ``backbone_weights`` a model is to be trained with that is built around another.

    Args:
        learner: the other one's name; see `ModelSpec.base_learner`.
        weights: ``none`` for random ones, a path in which ``{fold}`` stands for the fold, or ``None`` to look in the
            home; of a training run's folder, the weights that its rule chose.
        of: the model's name.
        backbone: of both.

    Raises:
        ModelError: none were named and the home has none.
        CheckpointError: they are those of another model, or were trained on classes that the fold tests.
    """
    remedy = (
        f"train one with fssbench train --model {learner} --benchmark {benchmark.alias} --fold {fold}, "
        "pass --backbone-weights PATH of one, or try without with --backbone-weights none"
    )
    try:
        path = find_weights(
            weights, name=learner, backbone=backbone, benchmark=benchmark, fold=fold, n_folds=1, home=home
        )
    except ModelError as error:
        raise ModelError(
            f"{of} is trained around a {learner} that knows the base classes of fold {fold}, "
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
