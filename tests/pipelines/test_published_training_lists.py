"""How far training lists derived from masks are from the published ones; docs/guides/training-data.md has the table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fssbench.episodes.benchmarks import COCO_20I, PASCAL_5I
from fssbench.episodes.training import TrainingPolicy, derive_training
from fssbench.pipelines.training_sets.lists import listed_pairs
from fssbench.pipelines.training_sets.published import published, published_as

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.real


def test_the_table_of_the_docs_is_what_is_measured(
    real_data: Path, real_splits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    from training_lists import rows

    found = [" | ".join(map(str, row)).replace(",", "") for row in rows(real_data, real_splits.parent)]
    table = (ROOT / "docs/guides/training-data.md").read_text().replace(",", "")
    assert len(found) == 17
    assert [row for row in found if row not in table] == []
    sys.modules.pop("training_lists", None)


@pytest.mark.parametrize("family", ["hsnet", "hdmnet"])
def test_published_lists_are_known_by_what_they_come_to(real_splits: Path, family: str) -> None:
    """However images and classes were come by: the digest of training on them says which list they are."""
    known = 0
    for benchmark in (PASCAL_5I, COCO_20I):
        for fold in range(4 if family == "hsnet" else 2):
            pairs = listed_pairs(real_splits.parent / family, benchmark, fold)
            areas: dict[str, dict[int, int]] = {}
            for image_id, class_id in pairs:
                areas.setdefault(image_id, {})[class_id] = 1
            asked: dict[str, Any] = {"benchmark": benchmark, "fold": fold, "policy": TrainingPolicy()}
            found = published_as(derive_training(areas, **asked))
            assert found is not None
            assert found is published(family, benchmark, fold)
            assert (found.label, found.pairs) == (f"{family} {benchmark.alias} fold {fold}", len(pairs))
            known += 1
            less = derive_training(
                dict(list(areas.items())[1:]), benchmark=benchmark, fold=fold, policy=TrainingPolicy()
            )
            assert published_as(less) is None
    assert known == (8 if family == "hsnet" else 4)
