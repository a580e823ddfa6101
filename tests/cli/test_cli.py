"""The command line as its users meet it: help, speed, errors, and the line from data to leaderboard."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pyarrow
import pytest
import torch
from command import Command

from fssbench.base import parquet
from fssbench.base.errors import UsageError
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet

COMMANDS = [
    "demo", "prepare", "doctor", "episodes", "verify", "show", "info", "train", "eval", "score", "compare", "stability",
    "leaderboard", "submit", "check-model", "profile", "convert", "conformance", "list",
]  # fmt: skip


@pytest.fixture(scope="session")
def sets(toy_raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of the toy, 20 one-shot episodes each, built from the command line. Not to be changed."""
    folder = tmp_path_factory.mktemp("cli-sets")
    command = [sys.executable, "-m", "fssbench", "prepare", "toy", "--source", str(toy_raw), "--output", str(folder)]
    subprocess.run([*command, "-f", "0", "-f", "1", "--episodes", "20"], check=True, capture_output=True)
    return folder


# --- help and speed -------------------------------------------------------------------------------------


def test_help_names_every_command(fssbench: Command) -> None:
    ran = fssbench("--help")
    assert ran.code == 0
    assert all(command in ran.out for command in COMMANDS)


@pytest.mark.parametrize(
    "command",
    [[c] for c in COMMANDS]
    + [["prepare", "coco"], ["prepare", "folder"]]
    + [["leaderboard", name] for name in ("build", "show", "verify", "add", "export")],
)
def test_every_command_has_help(fssbench: Command, command: list[str]) -> None:
    ran = fssbench(*command, "--help")
    assert ran.code == 0
    assert "Usage: fssbench" in ran.out


HELP = [["--help"], ["eval", "--help"], ["prepare", "coco", "--help"], ["doctor", "--help"], ["--version"]]
LIGHT = [
    ["list"],
    ["list", "protocols"],
    ["list", "models"],
    ["info", "{set}"],
    ["info", "{set}", "--brief"],
    ["verify", "{set}"],
    ["verify", "nowhere"],
    ["prepare", "coco", "--source", "nowhere"],
    ["prepare", "coco", "--train", "--source", "nowhere"],
    ["episodes", "coco", "--source", "nowhere"],
    ["doctor", "nowhere"],
    ["eval", "-m", "nonesuch"],
    ["eval", "-m", "hsnet", "-b", "nonesuch"],
    ["eval", "-m", "hsnet", "-b", "toy", "--fold", "9"],
    ["eval", "-m", "hsnet", "-b", "toy", "--control", "nonesuch"],
    ["eval", "-m", "hsnet", "-b", "toy"],
    ["train", "-m", "nonesuch"],
    ["train", "-m", "hsnet", "-b", "toy", "--fold", "0"],
    ["check-model", "nonesuch"],
    ["profile", "-m", "nonesuch"],
    ["score", "nowhere"],
    ["score", "nowhere", "--check"],
    ["compare", "nowhere", "nowhere"],
    ["stability", "nowhere"],
    ["show", "nowhere"],
    ["report", "nowhere"],
    ["submit", "nowhere", "-o", "submission.tar"],
    ["leaderboard", "build", "nowhere"],
    ["leaderboard", "show", "nowhere.json"],
    ["leaderboard", "verify", "nowhere.json"],
    ["reproduce", "--list"],
    ["reproduce", "nonesuch"],
]
TORCH = ("torch", "torchvision", "cv2", "webdataset", "datasets", "scipy", "pandas", "safetensors")
FORMATS = ("pyarrow", "numpy", "PIL", "pycocotools")


@pytest.mark.parametrize(("commands", "heavy"), [(HELP, TORCH + FORMATS), (LIGHT, TORCH)], ids=["help", "light"])
def test_quick_answers_load_nothing_heavy(
    commands: list[list[str]], heavy: tuple[str, ...], toy_set: EpisodeSet, tmp_path: Path
) -> None:
    """In one process that gives them all, so that whichever loads something first is named."""
    asked = [[word.format(set=toy_set.path) for word in words] for words in commands]
    code = (
        "import json, sys\nfrom fssbench.cli import main\nfound = {}\n"
        f"for words in {asked!r}:\n"
        "    try: main(words)\n"
        "    except SystemExit as left: assert left.code in (0, 2), words\n"
        f"    found.update({{name: words for name in {heavy!r} if name in sys.modules and name not in found}})\n"
        "print(json.dumps(found), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert json.loads(ran.stderr.splitlines()[-1]) == {}


@pytest.mark.parametrize("device", ["abacus", "meta", ""])
def test_a_device_that_torch_has_not_or_cannot_compute_on_is_refused(
    fssbench: Command, toy_set: EpisodeSet, device: str
) -> None:
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", toy_set.path, "-f", 0, "--device", device)
    assert ran.code == 2
    assert f"device '{device}' cannot be used" in ran.error


def test_the_core_loads_neither_torch_nor_file_formats() -> None:
    code = (
        "import sys, fssbench.episodes.strict, fssbench.episodes.protocols\n"
        "import fssbench.schemas.result, fssbench.scoring.metrics, fssbench.scoring.uncertainty\n"
        "print([m for m in ('torch', 'datasets', 'pyarrow', 'PIL', 'webdataset', 'pycocotools') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_folders_at_the_top_are_links_and_no_packages_of_their_own() -> None:
    root = Path(__file__).parents[2]
    for name in ("cli", "models", "pipelines"):
        assert (root / name).readlink() == Path("fssbench") / name


# --- errors ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "No such command 'nothing'; see fssbench --help$"),
        (["eval", "--modell", "x"], "No such option:? '?--modell"),
        (["eval"], "Missing option '--model'"),
        (
            ["eval", "--model", "hsnett"],
            "there is no model 'hsnett'; did you mean 'hsnet'\\? known are all-fore",
        ),
        (
            ["eval", "-m", "copy-support", "-b", "ade"],
            "there is no benchmark 'ade'; known are pascal, coco, coco-panet, coco-to-pascal, fss, lvis, isaid",
        ),
        (["eval", "-m", "copy-support", "--protocol", "x"], "there is no protocol 'x'; known are strict"),
        (
            ["eval", "-m", "copy-support", "-b", "cocoo"],
            "no benchmark 'cocoo'; did you mean 'coco'\\? known are",
        ),
        (["eval", "-m", "copy-support", "-p", "Strict"], "no protocol 'Strict'; did you mean 'strict'\\? known"),
        (["evall"], "No such command 'evall'. Did you mean 'eval'\\? see fssbench --help$"),
        (["eval", "-m", "copy-support", "--options", "no.toml"], "--options no.toml cannot be read: No such file"),
        (["eval", "-m", "copy-support"], "there is no episode set .* build it with: fssbench prepare coco$"),
        (["eval", "-m", "copy-support", "--fold", "7"], "COCO-20i has no fold 7; folds are 0 to 3"),
        (["eval", "-m", "copy-support", "--option", "size"], "--option must be name=value, got 'size'"),
        (["eval", "-m", "copy-support", "--shot", "0"], "--shots must be at least 1, got 0"),
        (["prepare", "coco", "--source", "nowhere"], "there is no folder nowhere; point --source at"),
        (["prepare", "coco", "--shots", "1;5"], "--shots must be integers joined by commas, got '1;5'; as in 1,5"),
        (["prepare", "toy", "--seeds", str(2**64)], "a set takes seeds up to 9,223,372,036,854,775,807, got"),
        (["prepare", "toy", "--shots", str(2**64)], "a set takes shots up to 2,147,483,647, got"),
        (["prepare", "toy", "-n", str(2**64)], "a set takes episodes up to 10,000,000, got"),
        (
            ["train", "-m", "hsnet", "-b", "toy", "--seed", str(2**64)],
            "run.seed: Input should be less than 92233720368",
        ),
        (["prepare", "coco", "--shots", "0"], "--shots must be at least 1, got 0"),
        (["prepare", "coco", "--episodes", "0"], "Invalid value for '--episodes'"),
        (["verify", "nowhere"], "there is no folder nowhere; .* or build a set with fssbench prepare"),
        (["info", "nowhere"], "nowhere is not an episode set"),
        (["info", "nowhere.json"], r"nowhere\.json cannot be read: No such file"),
        (["leaderboard", "build", "nowhere"], "there is no folder nowhere"),
        (["list", "modles"], "Invalid value for"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    fssbench: Command, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = fssbench(*arguments)
    assert ran.code == 2
    import re

    assert re.search(message, ran.error), ran.error


def test_a_traceback_is_shown_only_when_asked_for(fssbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--debug`` may stand anywhere."""
    assert "Traceback" not in fssbench("verify", "nowhere").err
    from fssbench.base.errors import EpisodeSetError
    from fssbench.cli import main

    with pytest.raises(EpisodeSetError):
        main(["verify", "nowhere", "--debug"])


def test_a_defect_says_so_in_one_line_and_exits_with_1(fssbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import fssbench.pipelines.episode_sets.episode_set as module

    def broken(_: Path) -> list[Path]:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(module, "find_sets", broken)
    ran = fssbench("verify", "x")
    assert ran.code == 1
    assert (
        ran.error
        == "error: fssbench failed: RuntimeError: out of luck; run again with --debug and report what it shows"
    )


def test_an_interrupt_exits_with_130(fssbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    import fssbench.pipelines.episode_sets.episode_set as module

    def interrupted(_: Path) -> list[Path]:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "find_sets", interrupted)
    ran = fssbench("verify", "x")
    assert ran.code == 130
    assert "interrupted" in ran.error


# --- the line -------------------------------------------------------------------------------------------


def test_from_raw_data_to_a_leaderboard(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    assert fssbench("verify", sets).out.count("sound ") == 2
    for model in ("all-foreground", "copy-support"):
        ran = fssbench("eval", "-m", model, "-b", "toy", "-d", sets, "-f", 0, "-f", 1, "-o", tmp_path / "results")
        assert ran.code == 0
        assert ran.out.count("mIoU") == 2
        assert "Toy-20i is drawn, not a published benchmark" in ran.err
    ran = fssbench("leaderboard", "build", tmp_path / "results", "-o", tmp_path / "board.json")
    assert ran.code == 0
    assert "copy-support" in ran.out
    board = json.loads((tmp_path / "board.json").read_text())
    assert {entry["label"] for entry in board["entries"]} == {"all-foreground", "copy-support"}
    assert all("no result on fold 2, 3" in entry["miou"]["reason"] for entry in board["entries"])


def test_a_second_eval_does_nothing(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    arguments = ("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "-o", tmp_path)
    fssbench(*arguments)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert "was there already" in fssbench(*arguments).out
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_more_episodes_than_there_are_is_refused(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "-n", 10_000, "-o", tmp_path)
    assert ran.code == 2
    assert "has 20 1-shot episodes of seed 0, not the 10,000 asked for" in ran.error
    assert not any(tmp_path.iterdir())


def test_all_sets_are_looked_up_before_the_first_is_evaluated(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-o", tmp_path)
    assert ran.code == 2
    assert "fold2" in ran.error
    assert not any(tmp_path.iterdir())


def test_counting_ignored_pixels_needs_an_ignore_label(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    arguments = ("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "-o", tmp_path, "--no-ignore-label")
    assert "Toy-20i has no ignore label; leave out --no-ignore-label" in fssbench(*arguments).error


def test_a_limit_asks_for_no_more_than_there_are(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    arguments = ("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0)
    assert "5 episodes: mIoU" in fssbench(*arguments, "--limit", 5, "-o", tmp_path / "a").out
    assert "20 episodes: mIoU" in fssbench(*arguments, "--limit", 500, "-o", tmp_path / "b").out


def test_episodes_are_drawn_beside_the_result(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    """Also of a result that is there already."""
    arguments = ("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "-o", tmp_path)
    assert fssbench(*arguments).code == 0
    assert not list(tmp_path.rglob("*.png"))
    assert "note: 3 episodes are drawn in" in fssbench(*arguments, "--visualize", 3).err
    (picture,) = tmp_path.rglob("fold0-1shot-seed0.examples/sheet.png")
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_backbone_means_nothing_to_a_model_without_one(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    ran = fssbench(
        "eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "-o", tmp_path, "--backbone-weights", "none"
    )
    assert ran.code == 0
    assert "note: copy-support has no option backbone_weights, so --backbone-weights means nothing to it" in ran.err


def test_the_result_says_what_was_asked_and_what_it_became(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "-o", tmp_path, "--option", "size=64")
    (path,) = tmp_path.rglob("fold0-1shot-seed0.json")
    result = json.loads(path.read_text())
    assert result["command"]["resolved"]["fold"] == 0
    assert result["model"]["options"] == {"size": 64}
    assert result["model"]["input_size"] == 64
    assert result["official"] is False
    assert fssbench("info", path).out.startswith("model")
    assert json.loads(fssbench("info", path, "--json").out) == result


def test_an_own_model_is_evaluated_from_its_file(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from fssbench.models.interface import FewShotSegmenter\n"
        "class Nothing(FewShotSegmenter):\n"
        "    def predict(self, query, supports, masks):\n"
        "        return masks[:, 0].byte() * 0\n"
    )
    ran = fssbench(
        "eval", "-m", f"{tmp_path / 'mine.py'}:Nothing", "-b", "toy", "-d", sets, "-f", 0, "-o", tmp_path / "r"
    )
    assert ran.code == 0, ran.err
    assert "mIoU 0.00" in ran.out
    (path,) = (tmp_path / "r").rglob("fold0-1shot-seed0.json")
    assert (
        json.loads(path.read_text())["model"]["code_sha256"] == sha256((tmp_path / "mine.py").read_bytes()).hexdigest()
    )


def test_damage_stops_verify_and_eval_with_the_shards_name(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    import shutil

    copy = tmp_path / "sets/toy-20i/strict/fold0"
    shutil.copytree(toy_set.path, copy)
    content = bytearray((copy / "images-000001.tar").read_bytes())
    content[1000] ^= 1
    (copy / "images-000001.tar").write_bytes(content)
    ran = fssbench("verify", tmp_path / "sets")
    assert ran.code == 2
    assert "images-000001.tar: its SHA-256 is" in ran.out
    assert "1 of 1 sets are damaged" in ran.error
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", tmp_path / "sets", "-f", 0, "-o", tmp_path / "r")
    assert ran.code == 2
    assert "images-000001.tar is damaged" in ran.error
    assert not list((tmp_path / "r").rglob("*.json"))


def test_the_lines_printed_are_those_the_digest_is_taken_of(fssbench: Command, toy_raw: Path, sets: Path) -> None:
    arguments = ("episodes", "toy", "--source", toy_raw, "--episodes", 20, "--fold", 1)
    printed = fssbench(*arguments).out
    digest = fssbench(*arguments, "--digest").out.strip()
    assert sha256(printed.encode()).hexdigest() == digest
    assert EpisodeSet.open(sets / "toy-20i/strict/fold1").manifest.tracks[0].digest == digest


def test_episodes_can_be_written_as_a_lock_or_as_text(fssbench: Command, toy_raw: Path, tmp_path: Path) -> None:

    arguments = ("episodes", "toy", "--source", toy_raw, "--episodes", 20, "--shot", 2)
    assert fssbench(*arguments, "-o", tmp_path / "a.tsv").code == 0
    assert fssbench(*arguments, "-o", tmp_path / "a.parquet").code == 0
    lines = (tmp_path / "a.tsv").read_text().splitlines()
    rows = parquet.read((tmp_path / "a.parquet").read_bytes()).to_pylist()
    assert lines == ["\t".join([str(r["class_id"]), r["query"], *r["supports"]]) for r in rows]


def test_scripts_can_read_json(fssbench: Command, sets: Path, toy_raw: Path) -> None:
    assert [row["name"] for row in json.loads(fssbench("list", "models", "--json").out)["models"]][:2] == [
        "all-foreground",
        "copy-support",
    ]
    assert len(json.loads(fssbench("list", "--data", sets, "--json").out)["sets"]) == 2
    assert all(v["sound"] for v in json.loads(fssbench("verify", sets, "--json").out))
    assert json.loads(fssbench("info", sets / "toy-20i/strict/fold0", "--json").out)["fold"] == 0
    again = fssbench("prepare", "toy", "--source", toy_raw, "--output", sets, "-f", 0, "--episodes", 20, "--json")
    assert json.loads(again.out)[0]["outcome"] == "up to date"


def test_info_says_what_a_maintainer_would_ask_for(fssbench: Command) -> None:
    told = json.loads(fssbench("info", "--json").out)
    assert {"fssbench", "revision", "python", "platform", "cpu", "torch", "packages", "device", "home"} == set(told)
    assert torch.backends.cpu.get_cpu_capability() in told["cpu"]
    assert f"pyarrow {pyarrow.__version__}" in told["packages"]


def test_info_and_list_are_worth_reading(fssbench: Command, sets: Path) -> None:
    shown = fssbench("info", sets / "toy-20i/strict/fold0").out
    assert "toy-20i strict fold 0" in shown
    assert "red disc (8 images)" in shown
    listed = fssbench("list", "--data", sets).out
    assert "COCO-20i" in listed
    assert "20×1-shot seed 0" in listed
    assert re.search(r"pspnet +only trained, to become a part of another", listed)


def test_an_option_may_come_from_the_environment(
    fssbench: Command, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flag wins over it."""
    monkeypatch.setenv("FSSBENCH_EVAL_BENCHMARK", "toy")
    monkeypatch.setenv("FSSBENCH_EVAL_EPISODES", "5")
    ran = fssbench("eval", "-m", "copy-support", "-d", sets, "-f", 0, "-o", tmp_path, "-n", 3)
    assert "3 episodes: mIoU" in ran.out


def test_sets_are_looked_up_in_the_home(fssbench: Command, toy_raw: Path, tmp_path: Path) -> None:
    """With nothing named, raw data, sets and results lie in the home."""
    home = tmp_path / "home"
    (home / "raw").mkdir(parents=True)
    (home / "raw" / "toy").symlink_to(toy_raw)
    assert fssbench("prepare", "toy", "--episodes", 20).code == 0
    assert fssbench("eval", "-m", "copy-support", "-b", "toy").code == 0
    assert len(list((home / "results").rglob("*.counts.parquet"))) == 4


def test_options_are_read_as_what_they_are() -> None:
    from fssbench.cli.model_options import parse_pairs

    assert parse_pairs(["size=200", "rate=0.5", "flag=true", "kernel=separable", 'name="x y"']) == {
        "size": 200,
        "rate": 0.5,
        "flag": True,
        "kernel": "separable",
        "name": "x y",
    }
    with pytest.raises(UsageError, match="must be name=value"):
        parse_pairs(["=3"])


def test_a_file_of_options_is_read_and_flags_win_over_it(fssbench: Command, sets: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text('size = 64\nbackbone = "resnet50"\n')
    arguments = (
        "eval",
        "-m",
        "prototype",
        "-b",
        "toy",
        "-d",
        sets,
        "-f",
        0,
        "--limit",
        1,
        "--backbone-weights",
        "none",
    )

    def options(*more: object) -> object:
        ran = fssbench(*arguments, "--options", tmp_path / "small.toml", *more, "--overwrite", "-o", tmp_path, "--json")
        assert ran.code == 0, ran.err
        return json.loads(ran.out)[0]["result"]["model"]["options"]

    assert options("--backbone", "resnet18") == {"size": 64, "backbone": "resnet18"}
    assert options("--option", "size=32", "--option", "backbone=resnet18") == {"size": 32, "backbone": "resnet18"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("size = ", r"a\.toml is not TOML: Invalid value .*; write one name = value per line"),
        ("[hsnet]\nsize = 3", r"a\.toml has a table \[hsnet\], expected the model's options alone"),
        ("sise = 3", r"model 'copy-support' has no option 'sise'; did you mean 'size'\? it takes size"),
    ],
)
def test_a_file_of_options_that_is_wrong_says_so(
    fssbench: Command, sets: Path, tmp_path: Path, text: str, message: str
) -> None:
    import re

    (tmp_path / "a.toml").write_text(text)
    ran = fssbench("eval", "-m", "copy-support", "-b", "toy", "-d", sets, "-f", 0, "--options", tmp_path / "a.toml")
    assert ran.code == 2
    assert re.search(message, ran.error), ran.error


@pytest.mark.parametrize(
    ("option", "parameters"),
    [("block_layers=1", 922_754), ("finest_level=3", 427_042), ("freeze_backbone=false", 2_573_794 + 23_508_032)],
)
def test_an_ablation_is_reached_from_the_command_line(
    fssbench: Command, sets: Path, tmp_path: Path, option: str, parameters: int
) -> None:
    arguments = ("eval", "-m", "hsnet", "-b", "toy", "-d", sets, "-f", 0, "--limit", 1, "-o", tmp_path, "--json")
    untrained = ("--weights", "none", "--backbone-weights", "none", "--option", "size=64")
    ran = fssbench(*arguments, *untrained, "--option", option)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)[0]["result"]["model"]["learnable_parameters"]
    assert found == parameters
