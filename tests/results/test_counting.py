"""Counting on the device gives the numbers that counting in numpy gives."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import Mask, mask_groups, masks

from fssbench.base.errors import MaskShapeError, MaskTypeError, MaskValueError
from fssbench.episodes.protocols import ScoringPolicy
from fssbench.models.interface import resize_mask
from fssbench.results import counting
from fssbench.results.counting import pixel_sums, policy_counts, tallies
from fssbench.schemas.samples import MaskSize
from fssbench.scoring.metrics import count, counts_of, tally


def tallied(prediction: torch.Tensor, truth: torch.Tensor, ignore: torch.Tensor | None) -> npt.NDArray[np.int64]:
    return tallies(pixel_sums(prediction, truth, ignore).numpy())


@given(mask_groups(3))
def test_tallies_are_those_of_the_metric(group: tuple[Mask, ...]) -> None:
    """A pixel is foreground, background or ignored; whichever it is, device and numpy count it alike."""
    truth, ignore = group[1] & ~group[2], group[2]
    for predicted in (torch.from_numpy(group[0]), torch.from_numpy(group[0]).to(torch.uint8)):
        found = tallied(predicted, torch.from_numpy(truth), torch.from_numpy(ignore))
        assert found.dtype == np.int64
        assert found.tolist() == tally(group[0], truth, ignore=ignore).tolist()
        assert tuple(counts_of(found).tolist()) == astuple(count(group[0], truth, ignore=ignore))


@given(mask_groups(3))
def test_sums_on_a_device_are_those_on_the_cpu(group: tuple[Mask, ...]) -> None:
    """Where a device is not the CPU it adds pixels up itself, and gives the same seven numbers."""
    truth, ignore = torch.from_numpy(group[1] & ~group[2]), torch.from_numpy(group[2])
    by_numpy = pixel_sums(torch.from_numpy(group[0]), truth, ignore)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_sums_of_numpy", counting._sums_on_device)
        on_device = pixel_sums(torch.from_numpy(group[0]), truth, ignore)
    assert on_device.dtype == by_numpy.dtype == torch.int64
    assert on_device.tolist() == by_numpy.tolist()


@given(mask_groups(3), mask_groups(3))
def test_masks_counted_together_have_the_tallies_they_have_alone(
    first: tuple[Mask, ...], other: tuple[Mask, ...]
) -> None:
    """The sums of several masks, of whatever sizes, make their tallies in one go."""
    sums = [pixel_sums(*(torch.from_numpy(m) for m in (g[0], g[1] & ~g[2], g[2]))) for g in (first, other)]
    together = tallies(torch.stack(sums).numpy())
    assert together.tolist() == [tallies(one.numpy()).tolist() for one in sums]


@given(mask_groups(2))
def test_without_an_ignore_mask_every_pixel_counts(group: tuple[Mask, ...]) -> None:
    prediction, truth = (torch.from_numpy(mask) for mask in group)
    found = tallied(prediction, truth, None)
    assert tuple(counts_of(found).tolist()) == astuple(count(*group))
    assert int(found.sum()) == truth.numel()
    assert found[2].tolist() == [0, 0]


@given(masks())
def test_nothing_is_counted_where_everything_is_ignored(mask: Mask) -> None:
    prediction = torch.from_numpy(mask)
    found = tallied(prediction, torch.zeros_like(prediction), torch.ones_like(prediction))
    assert counts_of(found).tolist() == [0, 0, 0, 0, 0]
    as_background = count(mask, np.zeros_like(mask))
    assert tuple(counts_of(found, exclude_ignored=False).tolist()) == astuple(as_background)


MODEL_SIDE = 7
POLICIES = tuple(
    ScoringPolicy(size=size, exclude_ignored=exclude) for size in ("original", "model") for exclude in (True, False)
)


@given(mask_groups(3), hnp.arrays(np.bool_, (MODEL_SIDE, MODEL_SIDE)), st.permutations(POLICIES))
def test_policies_of_one_size_share_a_pass_and_have_the_counts_of_the_metric(
    group: tuple[Mask, ...], small: Mask, policies: list[ScoringPolicy]
) -> None:
    """Every policy's row is that of counting its own masks at its own size, in whatever order policies stand."""
    truth, ignore = group[1] & ~group[2], group[2]
    masks: dict[MaskSize, Any] = {"original": torch.from_numpy(group[0]), "model": torch.from_numpy(small)}
    found = policy_counts(masks, torch.from_numpy(truth), torch.from_numpy(ignore), policies)
    assert found.shape == (4, 5)
    assert found.dtype == np.int64
    for policy, row in zip(policies, found.tolist(), strict=True):
        mask = masks[policy.size].numpy()
        at_size = [resize_mask(torch.from_numpy(m), mask.shape).numpy() for m in (truth, ignore)]
        expected = count(mask, at_size[0], ignore=at_size[1] if policy.exclude_ignored else None)
        assert tuple(row) == astuple(expected)


def test_masks_are_left_as_they_were() -> None:
    prediction, truth = torch.tensor([[1, 0]], dtype=torch.uint8), torch.tensor([[True, False]])
    ignore = torch.tensor([[False, True]])
    pixel_sums(prediction, truth, ignore)
    assert prediction.tolist() == [[1, 0]]
    assert truth.tolist() == [[True, False]]
    assert ignore.tolist() == [[False, True]]


def test_masks_of_different_shapes_are_refused() -> None:
    truth = torch.zeros(2, 3, dtype=torch.bool)
    with pytest.raises(MaskShapeError, match=r"prediction \(3, 2\) and truth \(2, 3\) differ in shape"):
        tallied(torch.zeros(3, 2, dtype=torch.bool), truth, None)
    with pytest.raises(MaskShapeError, match=r"ignore \(3, 2\)"):
        tallied(truth, truth, torch.zeros(3, 2, dtype=torch.bool))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.float16])
def test_masks_of_another_type_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises(MaskTypeError, match=f"must be uint8 or bool, got {dtype}"):
        tallied(torch.zeros(2, 2, dtype=dtype), torch.zeros(2, 2, dtype=torch.bool), None)


@pytest.mark.parametrize("value", [2, 255])
def test_values_beyond_one_are_refused(value: int) -> None:
    prediction = torch.from_numpy(np.array([[0, 1], [value, 0]], dtype=np.uint8))
    with pytest.raises(MaskValueError, match=f"must hold only 0 and 1, found {value}"):
        tallied(prediction, torch.zeros(2, 2, dtype=torch.bool), None)
