"""What eval ends with: the figure of a paper's table, and the one that the paper prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from boards import write_model
from command import Command

from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.closing import Closing, closings, reported_for
from fssbench.leaderboard.published import published_entries
from fssbench.results.evaluation import Evaluation
from fssbench.results.load import results_below
from fssbench.schemas.leaderboard import Entry, ReportedEntry


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write_model(folder, "good", better=0.8, chance=1)
    return folder


@pytest.fixture(scope="module")
def entry(folder: Path) -> Entry:
    (found,) = build_leaderboard(folder).entries
    return found


def as_printed(entry: Entry, row: ReportedEntry) -> Entry:
    """The entry that the row's model would have, had it been measured as the row says."""
    model = entry.model.model_copy(update={"name": row.model, "backbone": row.backbone, "options": row.options})
    policy = f"original/{'ignore' if row.ignore_label else 'background'}"
    asked = {"benchmark": row.benchmark, "shot": row.shot, "protocol": row.protocol or "strict", "policy": policy}
    return entry.model_copy(update={"model": model, **asked})


@pytest.mark.parametrize("row", [row for row in published_entries() if row.model], ids=lambda row: row.id)
def test_every_printed_row_of_a_model_is_found_beside_its_measurement(entry: Entry, row: ReportedEntry) -> None:
    """It is that row, or another print of the same model on the same question."""
    found = reported_for(as_printed(entry, row))
    assert found is not None
    assert (found.model, found.backbone, found.options) == (row.model, row.backbone, row.options)
    assert (found.benchmark, found.shot, found.protocol) == (row.benchmark, row.shot, row.protocol)


def test_the_table_of_results_is_named_before_one_of_ablations(entry: Entry) -> None:
    """HDMNet's Table 8 prints another mean for the model of its Table 2."""
    (row,) = (
        one
        for one in published_entries()
        if (one.label, one.benchmark, one.shot, one.ablation) == ("HDMNet resnet50", "pascal-5i", 1, True)
    )
    found = reported_for(as_printed(entry, row))
    assert found is not None
    assert (found.ablation, found.printed_in) == (False, "hdmnet Table 2")


def test_another_protocol_is_named(entry: Entry) -> None:
    (row, *_) = (row for row in published_entries() if row.model == "hsnet" and row.benchmark == "pascal-5i")
    strict = as_printed(entry, row).model_copy(update={"protocol": "strict"})
    assert "\n  reported under protocol hsnet: mIoU " in str(Closing(entry=strict, reported=reported_for(strict)))


def test_a_control_and_an_ablation_that_nobody_printed_stand_alone(entry: Entry) -> None:
    (row, *_) = (row for row in published_entries() if row.model == "hsnet" and row.benchmark == "pascal-5i")
    one = as_printed(entry, row)
    for change in ({"control": "no-support"}, {"options": {**row.options, "masking": "never"}}):
        assert reported_for(one.model_copy(update={"model": one.model.model_copy(update=change)})) is None


def test_the_mean_is_the_leaderboards(folder: Path, entry: Entry) -> None:
    evaluations = [Evaluation.open(path) for path in results_below(folder)]
    (closing,) = closings(evaluations)
    assert closing.entry.miou == entry.miou
    assert entry.miou.value is not None
    assert str(closing).startswith(f"1-shot, mean over 2 folds: mIoU {100 * entry.miou.value:.2f} [")
    assert closings(evaluations[:1]) == []


def test_eval_ends_with_it(fssbench: Command, tmp_path: Path) -> None:
    fssbench("prepare", "toy", "-n", "4", "--allow-missing-classes", "-o", tmp_path / "sets")
    ran = fssbench("eval", "-m", "all-foreground", "-b", "toy", "-d", tmp_path / "sets", "-o", tmp_path / "results")
    assert ran.code == 0
    assert "mIoU over 4 of 20 classes: " in ran.out
    assert ran.out.splitlines()[-1].startswith("1-shot: no mean over folds, ")
