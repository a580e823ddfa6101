"""Tables as commands: whole, in order, understood by the commands themselves, and less where something is there."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
from command import Command
from published_lists import write_split_files

from fssbench.cli import app
from fssbench.episodes.benchmarks import PASCAL_5I
from fssbench.leaderboard.reported import find_table, papers
from fssbench.models.cards import write_safetensors
from fssbench.results.environment import describe_environment
from fssbench.schemas.card import TrainingCard
from fssbench.schemas.leakage import LeakageRecord
from fssbench.training.recipe import find_recipe

NAMES = [table.name for paper in papers() if paper.measurable for table in paper.tables]

GROUP = typer.main.get_command(app)


def plan(fssbench: Command, *arguments: object) -> list[dict[str, Any]]:
    ran = fssbench("reproduce", *arguments, "--dry-run", "--json")
    assert ran.code == 0, ran.err
    steps: list[dict[str, Any]] = json.loads(ran.out)["steps"]
    return steps


def value(arguments: list[str], option: str) -> str:
    return arguments[arguments.index(option) + 1]


def values(arguments: list[str], option: str) -> list[str]:
    return [after for name, after in pairwise(arguments) if name == option]


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_all_it_takes_in_an_order_that_can_be_run(fssbench: Command, name: str) -> None:
    """On a fresh installation every row's shot is evaluated on every fold, after its sets and weights were made."""
    table, made, evaluated = find_table(name), set[str](), set[tuple[str, ...]]()
    for step in plan(fssbench, name):
        arguments = step["arguments"]
        assert not step["there"]
        assert understood(arguments), step["command"]
        match step["kind"]:
            case "prepare" if "--train" in arguments:
                made.add(f"{arguments[1]} train")
            case "prepare":
                made |= {f"{arguments[1]} {value(arguments, '--protocol')} {k}" for k in shots_of(arguments)}
            case "train":
                benchmark = value(arguments, "--benchmark")
                assert f"{benchmark} train" in made
                if value(arguments, "--select-on") == "test-fold":
                    validated = f"{benchmark} {value(arguments, '--protocol')} {value(arguments, '--shot')}"
                    assert validated in made
                if value(arguments, "--model") == "hdmnet":
                    assert value(arguments, "--backbone-weights") in made
                kept = "best" if value(arguments, "--select-on") != "last" else "last"
                made.add(f"{value(arguments, '--output')}/{kept}.safetensors")
            case "eval":
                assert value(arguments, "--weights") in made
                benchmark, protocol = value(arguments, "--benchmark"), value(arguments, "--protocol")
                for shot in values(arguments, "--shot"):
                    assert f"{benchmark} {protocol} {shot}" in made
                    options = " ".join(sorted(values(arguments, "--option")))
                    folds = values(arguments, "--fold") or ["0"]  # FSS-1000 has one
                    backbone = value(arguments, "--backbone")
                    evaluated |= {(value(arguments, "--model"), backbone, options, benchmark, shot, f) for f in folds}
    assert len(evaluated) == len(
        {
            (row.ours.model, repr(row.options), row.benchmark, row.shot, fold)
            for row in table.rows
            if row.ours is not None
            for fold in range(1 if row.benchmark == "fss-1000" else 4)
        }
    )


def shots_of(arguments: list[str]) -> list[str]:
    return value(arguments, "--shots").split(",")


def understood(arguments: list[str]) -> bool:
    """Whether the command takes these options."""
    group: Any = GROUP
    rest = list(arguments)
    with group.make_context("fssbench", [], resilient_parsing=True) as context:
        while hasattr(group, "commands"):
            group = group.get_command(context, rest.pop(0))
        group.make_context(group.name, rest, parent=context)
    return True


def test_every_training_has_a_recipe_that_takes_its_options(fssbench: Command) -> None:
    wanted = {}
    for name in NAMES:
        for step in plan(fssbench, name, "--fold", 0):
            if step["kind"] == "train":
                arguments = step["arguments"]
                wanted[
                    (value(arguments, "--model"), value(arguments, "--benchmark"), *values(arguments, "--option"))
                ] = arguments
    assert len(wanted) > 25
    for arguments in wanted.values():
        ran = fssbench(*arguments, "--print-config")
        assert ran.code == 0, ran.err
        assert f'select_on = "{value(arguments, "--select-on")}"' in ran.out


def test_rows_folds_and_shots_can_be_picked(fssbench: Command) -> None:
    steps = plan(fssbench, "hsnet-table1", "--backbone", "vgg16", "--shot", 5, "--fold", 1, "--device", "cpu")
    assert [step["kind"] for step in steps] == ["prepare", "prepare", "train", "eval"]
    test_set, training_set, train, evaluate = (step["command"] for step in steps)
    # Publications train with one support and choose by one, whatever is tested.
    assert test_set == "fssbench prepare pascal --protocol hsnet --shots 1,5 --fold 1"
    assert training_set == "fssbench prepare pascal --train"
    assert "--fold 1 --shot 1 --select-on test-fold --protocol hsnet" in train
    assert "--fold 1 --shot 5 --weights" in evaluate
    assert evaluate.endswith("--device cpu")


def test_coco_is_trained_with_the_masks_of_publications(fssbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("hsnet-table2", "--backbone", "resnet50", "--shot", 1, "--fold", 1)
    assert "fssbench prepare coco --train --mask-rule label-map" in [one["command"] for one in plan(fssbench, *asked)]
    monkeypatch.setenv("FSSBENCH_PREPARE_COCO_MASK_RULE", "union")
    commands = [one["command"] for one in plan(fssbench, *asked)]
    assert [one for one in commands if one.startswith("fssbench prepare coco --train")] == [commands[1]]
    assert "label-map" not in commands[1]


def test_the_environment_gives_what_a_reproduction_has_not(
    fssbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As for the commands themselves, whose line then names it."""
    monkeypatch.setenv("FSSBENCH_PREPARE_COCO_TO_PASCAL_SOURCE", "/data/voc")
    monkeypatch.setenv("FSSBENCH_PREPARE_COCO_SOURCE", "/data/coco")
    monkeypatch.setenv("FSSBENCH_TRAIN_HSNET_BATCH", "10")
    monkeypatch.setenv("FSSBENCH_TRAIN_HSNET_COCO_BATCH", "5")
    monkeypatch.setenv("FSSBENCH_TRAIN_HMFS_BATCH", "7")
    monkeypatch.setenv("FSSBENCH_EVAL_FEATURE_CACHE", "1GiB")
    asked = ("hsnet-poster-shift", "--backbone", "resnet101", "--fold", 2)
    steps = plan(fssbench, *asked)
    assert [value(step["arguments"], "--source") for step in steps[:3]] == ["/data/voc", "/data/coco", "/data/coco"]
    assert value(steps[3]["arguments"], "--batch") == "5"
    assert value(steps[4]["arguments"], "--feature-cache") == "1GiB"
    assert all(understood(step["arguments"]) for step in steps)
    ran = fssbench("reproduce", *asked)
    assert ran.code == 2
    assert "'fssbench prepare coco-to-pascal " in ran.err
    assert "/data/voc" in ran.err.splitlines()[-1]
    monkeypatch.setenv("FSSBENCH_TRAIN_WORKERS", "many")
    assert "FSSBENCH_TRAIN_WORKERS must be an integer, got 'many'" in fssbench("reproduce", *asked, "--dry-run").error


def lists(folder: Path) -> Path:
    """Lists for PASCAL's fold 0, HSNet's and HDMNet's, and the file of all images beside the latter."""
    hsnet, hdmnet = folder / "hsnet/pascal/trn", folder / "hdmnet/pascal/fss_list/train"
    for made in (hsnet, hdmnet):
        made.mkdir(parents=True)
    for fold in (1, 2, 3):
        (hsnet / f"fold{fold}.txt").write_text(f"2008_00000{fold}__{5 * fold + 1:02d}\n")
    (hdmnet / "data_list_0.txt").write_text("2008_000001\n2008_000002\n")
    (hdmnet / "sub_class_file_list_0.txt").write_text("{6: ['2008_000001'], 7: ['2008_000002']}")
    (folder / "hdmnet/pascal/voc_sbd_merge_noduplicate.txt").write_text("2008_000001\n")
    return folder


def test_every_training_has_its_own_list_and_its_own_backbone(fssbench: Command, tmp_path: Path) -> None:
    """What is given to a training, by its name or by a narrower one, is in its command and in no other."""
    folder, weights = lists(tmp_path / "splits"), tmp_path / "resnet50_v2.pth"
    weights.write_bytes(b"")
    asked = ("hdmnet-table2", "--fold", 0, "--shot", 1)
    given = ("--train-list", f"hsnet={folder}", "--train-list", f"hdmnet-vgg16={folder / 'hdmnet'}",
             "--train-list", f"pspnet={folder}", "--backbone-weights", f"pspnet-resnet50={weights}")  # fmt: skip
    trained = [step for step in plan(fssbench, *asked, *given) if step["kind"] == "train"]
    found = {
        f"{value(one['arguments'], '--model')}-{value(one['arguments'], '--backbone')}": (
            *(values(one["arguments"], option) for option in ("--list", "--backbone-weights")),
            one["images"]["pairs"],
        )
        for one in trained
    }
    merged = [str(folder / "hdmnet/pascal/voc_sbd_merge_noduplicate.txt")]
    assert found["hsnet-vgg16"] == found["hsnet-resnet50"] == ([str(folder / "hsnet")], [], 3)
    assert found["pspnet-vgg16"] == (merged, [], None)
    assert found["pspnet-resnet50"] == (merged, [str(weights)], None)
    assert found["hdmnet-vgg16"][::2] == ([str(folder / "hdmnet")], 2)
    assert found["hdmnet-resnet50"][::2] == ([], None)
    assert all(understood(one["arguments"]) and one["missing"] is None for one in trained)


def test_lists_in_the_home_are_learned_from_unless_told_otherwise(fssbench: Command, tmp_path: Path) -> None:
    lists(tmp_path / "home/splits")
    asked = ("hdmnet-table2", "--fold", 0, "--shot", 1)
    homes = tmp_path / "home/splits"

    def learned(*given: object) -> dict[str, str | None]:
        steps = [step for step in plan(fssbench, *asked, *given) if step["images"]]
        return {value(step["arguments"], "--model"): step["images"]["list"] for step in steps}

    assert learned() == {
        "hsnet": str(homes / "hsnet"),
        "pspnet": str(homes / "hdmnet/pascal/voc_sbd_merge_noduplicate.txt"),
        "hdmnet": str(homes / "hdmnet"),
    }
    assert learned("--train-list", "hsnet=none") == learned() | {"hsnet": None}


def test_what_a_table_lacks_is_said_before_anything_is_run(fssbench: Command, tmp_path: Path) -> None:
    asked = ("reproduce", "hdmnet-table1", "--fold", 0, "--shot", 1, "--backbone", "resnet50")
    told = "the ImageNet weights of pspnet-resnet50, whose stem is not torchvision's"
    assert f"note: it cannot run without {told}" in fssbench(*asked, "--dry-run").err
    ran = fssbench(*asked)
    assert ran.code == 2
    assert ran.error.startswith(f"error: hdmnet-table1 lacks {told}")
    assert "--backbone-weights pspnet-resnet50=PATH" in ran.error
    assert "[1/" not in ran.err
    given = ("--backbone-weights", "pspnet=none")
    assert "cannot run" not in fssbench(*asked, *given, "--dry-run").err
    assert (
        "cannot run without the ImageNet" in fssbench(*asked, "--backbone-weights", "pspnet=imagenet", "--dry-run").err
    )
    assert "cannot run" not in fssbench(*asked, "--backbone-weights", "hsnet=pretrained", *given, "--dry-run").err


def test_a_base_learner_of_ones_own_takes_the_place_of_its_training(fssbench: Command, tmp_path: Path) -> None:
    asked = ("hdmnet-table1", "--fold", 1, "--shot", 1, "--backbone", "resnet50")
    given = ("--backbone-weights", f"hdmnet={tmp_path}/mine-{{fold}}.pth")
    told = f"cannot run without the base learner of hdmnet-resnet50: there is no {tmp_path}/mine-1.pth"
    assert told in fssbench("reproduce", *asked, *given, "--dry-run").err
    (tmp_path / "mine-1.pth").write_bytes(b"")
    assert "cannot run" not in fssbench("reproduce", *asked, *given, "--dry-run").err
    own = plan(fssbench, *asked, *given)
    assert "pspnet" not in {value(step["arguments"], "--model") for step in own if step["kind"] == "train"}


@pytest.mark.real
def test_with_the_published_lists_trainings_learn_from_as_many_pairs_as_published(
    fssbench: Command, real_splits: Path
) -> None:
    for table, model, pairs in (
        ("hsnet-table1", "hsnet", [11_394, 10_255, 7_797, 11_594]),
        ("hsnet-table2", "hsnet", [95_476, 133_927, 141_054, 141_016]),
        ("hdmnet-table2", "hdmnet", [5_749, 4_706, 3_044, None]),  # fold 3's follow from the file of all images
    ):
        given = ("--train-list", f"{model}={real_splits.parent}")
        steps = plan(fssbench, table, "--shot", 1, "--backbone", "resnet50", *given)
        learned = [one for one in steps if one["images"] and f"--model {model} " in f"{one['command']} "]
        assert [one["images"]["pairs"] for one in learned] == pairs
        assert all(one["images"]["published_pairs"] == n for one, n in zip(learned, pairs, strict=True) if n)


def test_hsnet_with_hmfs_augmentation_is_a_training_of_its_own(fssbench: Command) -> None:
    steps = plan(fssbench, "hmfs-table1", "--fold", 0, "--shot", 1, "--backbone", "resnet50")
    plain, augmented, _ = [one["arguments"] for one in steps if one["kind"] == "train"]
    theirs = find_recipe("hmfs", PASCAL_5I).data.augmentation
    changes = dict(pair.split("=") for pair in values(augmented, "--set"))
    assert {name: float(told) for name, told in changes.items()} == {
        f"data.augmentation.{name}": told for name, told in theirs.items()
    }
    assert "--set" not in plain
    assert value(plain, "--output") != value(augmented, "--output")


def test_a_shift_of_domain_trains_on_coco_and_tests_on_pascal(fssbench: Command) -> None:
    steps = plan(fssbench, "hsnet-poster-shift", "--backbone", "resnet101", "--fold", 2)
    assert [step["arguments"][1] for step in steps if step["kind"] == "prepare"] == ["coco-to-pascal", "coco", "coco"]
    assert [value(step["arguments"], "--benchmark") for step in steps[3:]] == ["coco", "coco-to-pascal"]


def test_costs_are_profiled_where_the_table_is_about_them(fssbench: Command) -> None:
    def profiles(name: str) -> list[str]:
        return [step["command"] for step in plan(fssbench, name) if step["kind"] == "profile"]

    assert profiles("hsnet-table4") == [
        "fssbench profile --model hsnet --backbone resnet101 --option kernel=original --shot 1",
        "fssbench profile --model hsnet --backbone resnet101 --option kernel=separable --shot 1",
        "fssbench profile --model hsnet --backbone resnet101 --shot 1",
    ]
    assert profiles("hdmnet-table7")[:2] == [  # the sizes and the backbone that the table's costs are of
        "fssbench profile --model hsnet --backbone resnet101 --shot 1",
        "fssbench profile --model hdmnet --backbone resnet50 --option stages=1 --option size=473 --shot 1",
    ]
    assert len(profiles("hdmnet-table7")) == 5
    assert profiles("hsnet-table1") == []


def test_weights_in_the_home_need_no_training(fssbench: Command, tmp_path: Path) -> None:
    weights = tmp_path / "home/checkpoints/pascal-5i/hsnet-vgg16-fold1.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"")
    test_set, train, evaluate = plan(fssbench, "hsnet-table1", "--backbone", "vgg16", "--fold", 1)
    assert (test_set["there"], train["there"], evaluate["there"]) == (False, True, False)
    assert value(evaluate["arguments"], "--weights") == str(weights)


@pytest.mark.parametrize("steps", [3, 8])
def test_a_training_is_done_when_it_has_taken_its_steps_and_else_gone_on_with(
    fssbench: Command, tmp_path: Path, steps: int
) -> None:
    folder = tmp_path / "home/checkpoints/pascal-5i/hsnet-vgg16-fold1"
    folder.mkdir(parents=True)
    (folder / "state.pt").write_bytes(b"")
    for name in ("last", "best"):
        write_card(folder / f"{name}.safetensors", steps=steps, planned=8)
    *_, train, evaluate = plan(fssbench, "hsnet-table1", "--backbone", "vgg16", "--fold", 1)
    assert train["there"] == (steps == 8)
    assert "--resume" in train["arguments"]
    assert value(evaluate["arguments"], "--weights") == str(folder / "best.safetensors")


def write_card(path: Path, *, steps: int, planned: int) -> None:
    training = TrainingCard(
        benchmark="pascal-5i",
        fold=1,
        shot=1,
        seed=0,
        training_set="0" * 64,
        classes=(0,),
        held_out=(),
        select_on="test-fold",
        steps=steps,
        planned_steps=planned,
        recipe_sha256="0" * 64,
        recipe={"run": {"max_steps": None}},
        precision="fp32",
        device="cpu",
        processes=1,
        validated=(),
        leakage=LeakageRecord(
            tested=(),
            shared_classes=(),
            shared_images=0,
            images=1,
            tested_images=0,
            novel_images=0,
            novel_pixels=0,
            pixels=1,
            dropped_images=0,
        ),
        environment=describe_environment(),
    )
    write_safetensors(
        path,
        {"w": torch.zeros(1)},
        model="hsnet",
        options={},
        converted_from_sha256=None,
        backbone_sha256=None,
        training_set=None,
        protocol=None,
        selection=None,
        training=training,
    )


def test_the_plan_is_told_in_words(fssbench: Command) -> None:
    ran = fssbench("reproduce", "hsnet-table2", "--backbone", "resnet50", "--shot", 1, "-f", 0, "--dry-run")
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "to run  fssbench prepare coco --protocol hsnet --shots 1 --fold 0"
    assert ran.out.splitlines()[-1] == "4 of 4 commands to run: 2 prepare, 1 train, 1 eval"
    learned, left_out, *absent = ran.err.splitlines()
    assert all(line.startswith("note: missing: the ") for line in absent)
    assert learned.startswith(
        "note: hsnet learns coco's fold 0 from all images, not from 95,476 pairs of image and class of the published "
        "list; pass --train-list hsnet=FOLDER with HSNet's folder data/splits, or put that at "
    )
    assert left_out == "note: 5 rows are left out: another method, of which there is no model here"


def test_the_tables_are_listed_with_what_can_be_run(fssbench: Command) -> None:
    ran = fssbench("reproduce", "--list")
    assert "  hsnet-table4           Table 4      6 of 6 rows  4D kernels on PASCAL-5i, and what they cost\n" in ran.out
    listed = json.loads(fssbench("reproduce", "--list", "--json").out)
    assert [one["name"] for one in listed] == NAMES
    assert all(0 < one["can_be_run"] <= one["rows"] for one in listed)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: no table was named; see them all with fssbench reproduce --list"),
        (["hsnet-tabel1"], "there is no table 'hsnet-tabel1'; did you mean 'hsnet-table1'? known are "),
        (["hsnet-table1", "--backbone", "resnet18"], "has no row of backbone resnet18; it has vgg16, resnet50, resnet"),
        (["hsnet-table1", "--train-list", "hsnt=x"], "hsnet-table1 has no training 'hsnt'; did you mean 'hsnet'?"),
        (["hsnet-table1", "--train-list", "x"], "--train-list must be NAME=PATH, got 'x'"),
        (["hsnet-table1", "--train-list", "hsnet=x", "--dry-run"], "--train-list: there is no x; name a file of"),
        (
            ["hsnet-table1", "--train-list", "hsnet=.", "--dry-run"],
            "there is no list pascal/trn/fold1.txt; name HSNet's folder data/splits",
        ),
        (["hsnet-table1", "--shot", "10"], "hsnet-table1 has no row of shot 10; it has 1, 5"),
        (["hsnet-table1", "--fold", "4", "--dry-run"], "PASCAL-5i has no fold 4; folds are 0 to 3"),
        (["x", "--tables", "nowhere.toml"], "nowhere.toml cannot be read: No such file"),
    ],
)
def test_what_cannot_be_asked_is_refused(fssbench: Command, arguments: list[str], message: str) -> None:
    ran = fssbench("reproduce", *arguments)
    assert ran.code == 2
    assert message in ran.error


def test_a_plan_says_which_raw_data_and_lists_are_absent(
    fssbench: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with the place where it is looked for; what the environment names is looked for there."""

    def told() -> list[str]:
        ran = fssbench("reproduce", "hsnet-poster-fss", "--dry-run")
        return [line.removeprefix("note: missing: ") for line in ran.err.splitlines() if "missing: " in line]

    lists, images, training = told()
    home = tmp_path / "home"
    assert lists.startswith("the lists of FSS-1000 for the protocol hsnet: ")
    assert lists.endswith(f"; put them in {home / 'splits/hsnet'}, or name their folder by FSSBENCH_PREPARE_FSS_SPLITS")
    assert images == (
        f"the images of FSS-1000: there is no folder {home / 'raw/fss'}; put them in {home / 'raw/fss'}, or name "
        "their folder by FSSBENCH_PREPARE_FSS_SOURCE"
    )
    assert training.startswith("the images to train on of FSS-1000: ")
    monkeypatch.setenv("FSSBENCH_PREPARE_FSS_SOURCE", str(tmp_path / "elsewhere"))
    assert f"there is no folder {tmp_path / 'elsewhere'};" in told()[1]
    write_split_files(home / "splits" / "hsnet")
    assert lists not in told()
    ran = fssbench("reproduce", "hsnet-poster-fss", "--dry-run", "--json")
    assert [one["what"][:10] for one in json.loads(ran.out)["absent"]] == ["the images", "the images"]
