"""The papers' tables: complete, in themselves and with each other consistent, and about models that exist."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch

from fssbench.base.errors import ResultError, UsageError
from fssbench.episodes.benchmarks import find_benchmark
from fssbench.leaderboard.reported import Row, Table, find_table, papers, read_paper, reported_rows, tables
from fssbench.models import build_model

NAMES = [table.name for paper in papers() if paper.measurable for table in paper.tables]
"""Of the papers whose models are here."""
LATER = [paper for paper in papers() if not paper.measurable]

# Rows whose printed mean is not that of their printed folds: table, method, backbone, shot, and the mean of the folds.
MEANS = {
    ("hsnet-table1", "PFENet", "resnet50", 1): 60.725,
    ("hsnet-table4", "Original 4D kernel", "resnet101", 1): 64.975,
    ("hsnet-table4", "Separable 4D kernel", "resnet101", 1): 65.975,
    ("hsnet-poster-pascal", "PFENet", "resnet50", 1): 60.725,
    ("hsnet-poster-kernels", "Original 4D kernel", "resnet101", 1): 64.975,
    ("hsnet-poster-kernels", "Separable 4D kernel", "resnet101", 1): 65.975,
    ("hmfs-table1", "PFENet", "resnet50", 1): 60.725,
    ("hmfs-table1", "HSNet, with data augmentation", "resnet50", 1): 64.05,
    ("hmfs-table4", "HSNet", "resnet50", 1): 61.475,
    ("hmfs-table5", "IM", "resnet50", 5): 47.95,
    ("hmfs-table5", "IM", "resnet101", 1): 45.275,
    ("hdmnet-table2", "PFENet", "resnet50", 1): 60.725,
    ("ssp-coco", "SSP, released weights", "resnet101", 5): 50.475,
}

# What tables say differently of the same: method, backbone, benchmark, shot and figure.
DISAGREEMENTS = {
    ("CyCTR", "resnet50", "pascal-5i", 1, "folds"),
    ("CyCTR", "resnet50", "pascal-5i", 1, "mean"),
    ("CyCTR", "resnet50", "pascal-5i", 5, "folds"),
    ("CyCTR", "resnet50", "pascal-5i", 5, "mean"),
    ("RPMM", "resnet50", "coco-20i", 1, "folds"),
    ("BAM", "resnet50", "coco-20i", 1, "learnable_parameters"),
    # Its authors' own figures, and those of HDMNet's authors, who tested it on 10,000 episodes.
    *(("BAM", backbone, "coco-20i", shot, "mean") for backbone in ("vgg16", "resnet50") for shot in (1, 5)),
    ("HDMNet", "resnet50", "pascal-5i", 1, "folds"),
    ("HDMNet", "resnet50", "pascal-5i", 1, "mean"),
    # The whole model in Table 3, the decoder alone in Table 7.
    ("HDMNet", "resnet50", "coco-20i", 1, "learnable_parameters"),
    ("HDMNet, no distillation", "resnet50", "coco-20i", 1, "mean"),
}


def test_every_result_table_of_the_papers_is_here() -> None:
    assert {name for name in NAMES if "poster" not in name} == {
        *(f"hsnet-table{n}" for n in ("1", "2", "3", "4", "a1", "a2", "a3", "a4")),
        *(f"hmfs-table{n}" for n in range(1, 6)),
        *(f"hdmnet-table{n}" for n in range(1, 10)),
    }
    assert {name.removeprefix("hsnet-poster-") for name in NAMES if "poster" in name} == {
        *("pascal", "coco", "fss", "kernels", "shift")
    }
    assert [paper.venue for paper in papers() if paper.measurable] == ["ICCV 2021", "ECCV 2022", "CVPR 2023"]


def test_later_papers_say_where_their_figures_are_from_and_how_masks_were_scored() -> None:
    """Every row of a training-free model or a generalist says so, and at which size or how it was scored."""
    assert {paper.name for paper in LATER} == {"bam", "ssp", "matcher", "gf-sam", "sansa"}
    for paper in LATER:
        assert paper.arxiv is not None
        assert paper.repository is not None
        for table in paper.tables:
            for row in table.rows:
                assert row.backbone is not None
                assert row.note or paper.name == "bam" or row.protocol == "hsnet"
    regimes = {(row.method, row.regime) for paper in LATER for table in paper.tables for row in table.rows}
    assert regimes == {
        *(("BAM", "base classes"), ("SSP", "base classes"), ("SANSA", "base classes"), ("SANSA", "generalist")),
        *(("Matcher", "training-free"), ("GF-SAM", "training-free")),
    }


def test_every_paper_has_an_entry_of_bibtex_under_a_key_of_its_own() -> None:
    keys = [paper.key for paper in papers()]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    for paper in papers():
        assert paper.bibtex is not None
        assert paper.bibtex.count("{") == paper.bibtex.count("}")
        assert paper.bibtex.endswith("\n}\n")
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", paper.bibtex, re.MULTILINE))
        assert fields["title"] == paper.title
        assert paper.venue.endswith(fields["year"])
        first, _, _ = fields["author"].partition(" and ")
        family, _, given_name = first.partition(", ")
        assert paper.authors.startswith(f"{given_name} {family}")


def test_a_mean_is_that_of_its_folds_but_where_the_paper_errs() -> None:
    found = {}
    for table in tables():
        for row in table.rows:
            if row.mean is not None and row.folds and None not in row.folds:
                mean = sum(fold for fold in row.folds if fold is not None) / len(row.folds)
                if abs(mean - row.mean) > 0.0501:  # rounded to a tenth
                    found[table.name, row.label, row.backbone, row.shot] = round(mean, 3)
    assert found == MEANS


def test_papers_quote_each_other_rightly_but_where_they_do_not() -> None:
    said: dict[tuple[Any, ...], set[Any]] = defaultdict(set)
    for table in tables():
        for row in table.rows:
            name = {"RPMs": "RPMM"}.get(row.label, row.label)
            if row.ours is not None and row.ours.model == "hsnet" and not (row.ours.options or row.ours.recipe):
                name = "HSNet"  # also as the feature masking of a comparison, and as the center-pivot kernel
            for figure in ("folds", "mean", "fb_iou", "learnable_parameters"):
                if (value := getattr(row, figure)) not in (None, ()):
                    key = (name, row.backbone, row.benchmark, row.ignore_label, row.shot, figure)
                    said[key].add(value)
    several = {(*key[:3], *key[4:]) for key, values in said.items() if len(values) > 1}
    assert several == DISAGREEMENTS
    assert len(said) > 400


def test_what_is_garbled_is_left_out_or_follows_from_the_rest_with_a_note() -> None:
    (rpmm,) = (row for row in find_table("hmfs-table4").rows if row.method == "RPMM" and row.shot == 1)
    assert rpmm.note is not None
    folds = [fold for fold in rpmm.folds if fold is not None]
    assert len(folds) == 4
    assert rpmm.mean == pytest.approx(sum(folds) / 4)
    (pfenet,) = (r for r in find_table("hsnet-poster-coco").rows if (r.method, r.mean) == ("PFENet", None))
    assert pfenet.note is not None
    incomplete = [row for table in tables() for row in table.rows if row.folds and (None in row.folds or not row.mean)]
    assert incomplete == [pfenet]


def runnable(table: Table) -> list[Row]:
    return [row for row in table.rows if row.obstacle is None]


def test_every_row_that_can_be_measured_names_a_model_that_can_be_built() -> None:
    """Options are those of the model, with values it takes."""
    wanted = {(row.ours.model, repr(row.options)): row for t in tables() for row in runnable(t) if row.ours is not None}
    assert len(wanted) > 30
    with torch.device("meta"):
        for (model, _), row in wanted.items():
            build_model(model, **row.options)
            assert row.protocol is not None


@pytest.mark.parametrize("name", NAMES)
def test_a_row_says_what_was_tested_and_the_models_of_a_paper_can_be_measured(name: str) -> None:
    table = find_table(name)
    for row in table.rows:
        assert find_benchmark(row.benchmark).published
        assert row.scored
        assert row.obstacle is None or row.obstacle.startswith(("another", "HSNet's recipe", "its interleaved"))
    own = {"hsnet": "hsnet", "hmfs": "hmfs", "hdmnet": "hdmnet"}[name.partition("-")[0]]
    assert own in {row.ours.model for row in runnable(table) if row.ours is not None}


def test_reported_rows_are_all_rows_with_their_whereabouts() -> None:
    rows = reported_rows()
    assert len(rows) == sum(len(table.rows) for table in tables()) == 428
    (one,) = (r for r in rows if r.table == "hsnet-table1" and "without" in r.method and r.shot == 5)
    assert (one.paper, one.number, one.benchmark, one.protocol) == ("hsnet", "Table 1", "pascal-5i", "hsnet")
    assert one.ours == ("hsnet", {"backbone": "resnet101", "masking": "none"})
    assert (one.folds, one.mean, one.fb_iou) == ((68.9, 71.9, 56.3, 57.9), 63.7, 73.8)
    assert (one.learnable_parameters, one.note) == (2.6, None)
    assert [r.ignore_label for r in rows if r.table == "hsnet-tablea1"] == [False] * 16


def test_a_table_is_found_in_any_case_and_a_mistyped_one_is_guessed() -> None:
    assert find_table("HSNet-TableA1").number == "Table A1"
    with pytest.raises(UsageError, match=r"there is no table 'hsnet-tabel2'; did you mean 'hsnet-table2'\? known are"):
        find_table("hsnet-tabel2")


PAPER = """
name = "own"
title = "Ours"
authors = "We"
venue = "here"
[[tables]]
name = "own-table1"
number = "Table 1"
title = "Toy"
each = { benchmark = "toy-20i", protocol = "strict", method = "Ours" }
rows = [%s]
"""


def test_a_file_of_ones_own_is_read_and_nan_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(PAPER % "{ shot = 1, folds = [nan, 1.0, 2.0, 3.0], mean = 2.0 }")
    (row,) = read_paper(tmp_path / "own.toml").tables[0].rows
    assert (row.folds, row.method, row.protocol) == ((None, 1.0, 2.0, 3.0), "Ours", "strict")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("{ shot = 1, mean = 101 }", "tables.0.rows.0.mean: Input should be less than or equal to 100"),
        ("{ shot = 1, folds = [1, 2] }", "Ours has 2 folds, Toy-20i has 4"),
        ("{ shot = 1, benchmark = 'tay-20i' }", "there is no benchmark 'tay-20i'"),
        ("{ shot = 1, mena = 4 }", "tables.0.rows.0.mena: Extra inputs are not permitted"),
        ("{ shot = 1, why = 'x', ours = { model = 'hsnet' } }", "Ours can be measured, so it needs a protocol"),
        ("{ shot = 1", "own.toml is not TOML: "),
    ],
)
def test_a_file_that_says_what_it_cannot_is_refused(tmp_path: Path, row: str, problem: str) -> None:
    (tmp_path / "own.toml").write_text(PAPER % row)
    with pytest.raises(ResultError) as refused:
        read_paper(tmp_path / "own.toml")
    assert problem in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"none\.toml cannot be read: No such file"):
        read_paper(tmp_path / "none.toml")
