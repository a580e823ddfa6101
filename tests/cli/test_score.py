"""``fssbench score``: masks scored without their model, results checked, and every refusal in one line."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command, Ran
from PIL import Image
from toys import masks_folder, run_with_masks

from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.formats.masks import decode, encode
from fssbench.results.evaluation import Evaluation
from fssbench.results.predictions import StoredPredictions, store_predictions
from fssbench.schemas.result import read_result

TOY = ("-b", "toy")


@pytest.fixture(scope="module")
def finished(toy_set: EpisodeSet, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """A result of all 40 1-shot episodes with its masks. Not to be changed."""
    return run_with_masks(toy_set, tmp_path_factory.mktemp("finished"))


@pytest.fixture
def result(finished: Evaluation, tmp_path: Path) -> Path:
    """A copy of it with all it rests on, to change."""
    return Path(shutil.copytree(finished.path.parent, tmp_path / "copy")) / finished.path.name


@pytest.fixture
def pngs(finished: Evaluation, tmp_path: Path) -> Path:
    """Its masks at original size as another tool would leave them."""
    folder = tmp_path / "someone's masks"
    folder.mkdir()
    for sample in StoredPredictions.open(masks_folder(finished)).samples():
        Image.fromarray(decode(sample.masks["original"]).astype(np.uint8)).save(folder / f"{sample.index}.png")
    return folder


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text())
    content.update(changes)
    path.write_text(json.dumps(content))


def flip(result: Path) -> None:
    """Change one pixel of one mask, and everything up to its manifest that vouches for it."""
    folder = result.with_suffix(".predictions")
    there = StoredPredictions.open(folder)
    samples = list(there.samples())
    mask = decode(samples[11].masks["original"])
    mask[0, 0] ^= True
    samples[11] = samples[11].model_copy(update={"masks": samples[11].masks | {"original": encode(mask)}})
    store_predictions(folder, samples, model=there.manifest.model, episodes=there.manifest.episodes)


def remark(ran: Ran) -> str:
    """The one line beside the result."""
    (line,) = ran.err.splitlines()
    return line


# --- masks that eval kept -------------------------------------------------------------------------------


def test_masks_that_eval_kept_agree_with_its_result(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    before = result.read_bytes()
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "copy-support on toy-20i strict fold 0, 1-shot, seed 0, 40 episodes"
    assert re.match(r"  original/ignore +mIoU \d+\.\d\d.*, FB-IoU \d+\.\d\d.* \(headline\)$", lines[1])
    assert re.match(r"  model/ignore +mIoU \d+\.\d\d.*, FB-IoU \d+\.\d\d", lines[2])
    assert lines[3] == f"  {result} (was there already, with the same counts)"
    assert len(lines) == 4
    assert remark(ran).startswith("note: not official: Toy-20i is drawn")
    assert result.read_bytes() == before


def test_its_result_is_written_where_there_is_none(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    before = read_result(result)
    result.unlink()
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path)
    assert ran.out.splitlines()[-1] == f"  {result} (written)"
    after = read_result(result)
    assert (after.policies, after.counts, after.predictions) == (before.policies, before.counts, before.predictions)
    assert after.source == "recomputed"
    assert after.command.resolved["predictions"] == str(result.with_suffix(".predictions"))
    assert fssbench("score", "--check", result, "--data", toy_set.path).code == 0


def test_lost_counts_are_restored(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    counts = result.with_suffix(".counts.parquet")
    before = counts.read_bytes()
    counts.unlink()
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path)
    assert ran.out.splitlines()[-1] == f"  {result} (was there already; its counts are restored)"
    assert counts.read_bytes() == before


def test_a_result_that_says_something_else_is_replaced_only_if_that_is_asked_for(
    fssbench: Command, toy_set: EpisodeSet, result: Path
) -> None:
    flip(result)
    before = result.read_bytes()
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path)
    assert ran.code == 2
    assert ran.error == (
        f"error: {result} was computed from other counts than these masks give; "
        "see what differs with fssbench score --check, or pass --overwrite to replace it"
    )
    assert result.read_bytes() == before
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path, "--overwrite")
    assert ran.code == 0
    assert ran.out.splitlines()[-1] == f"  {result} (written)"
    assert fssbench("score", "--check", result, "--data", toy_set.path).code == 0


def test_a_path_may_end_in_a_slash(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    ran = fssbench("score", f"{result.with_suffix('.predictions')}/", "--data", toy_set.path)
    assert ran.out.splitlines()[-1] == f"  {result} (was there already, with the same counts)"


def test_the_folder_one_stands_in_is_as_good(
    fssbench: Command, toy_set: EpisodeSet, result: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(result.with_suffix(".predictions"))
    ran = fssbench("score", ".", "--data", toy_set.path)
    assert ran.code == 0
    assert "was there already, with the same counts" in ran.out


def test_elsewhere_its_result_goes_where_results_go(
    fssbench: Command, toy_set: EpisodeSet, result: Path, tmp_path: Path
) -> None:
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path, "--output", tmp_path / "new")
    assert ran.code == 0
    (written,) = (tmp_path / "new").rglob("fold*.json")
    assert written.parent.parent == tmp_path / "new" / "toy-20i" / "strict"
    assert written.name == result.name
    assert read_result(written).counts == read_result(result).counts


def test_what_was_scored_is_json_for_scripts(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path, "--json")
    assert ran.code == 0
    said = json.loads(ran.out)
    assert (said["path"], said["outcome"]) == (str(result), "agrees")
    assert said["result"] == read_result(result).model_dump(mode="json")


# --- another tool's masks -------------------------------------------------------------------------------


def test_another_tools_masks_are_scored_under_the_name_they_are_given(
    fssbench: Command, toy_set: EpisodeSet, pngs: Path, finished: Evaluation, tmp_path: Path
) -> None:
    ran = fssbench(
        "score", pngs, *TOY, "--data", toy_set.path, "--name", "Their Net 2", "--output", tmp_path / "results"
    )
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0] == "Their Net 2 on toy-20i strict fold 0, 1-shot, seed 0, 40 episodes"
    assert lines[-1].endswith("(written)")
    assert "the masks were handed in, and which model made them is not known" in remark(ran)
    (path,) = (tmp_path / "results").rglob("fold*.json")
    assert path.parent.name.startswith("Their Net 2-")
    assert read_result(path).policies == finished.record.policies[:1]
    again = fssbench(
        "score", pngs, *TOY, "--data", toy_set.path, "--name", "Their Net 2", "--output", tmp_path / "results"
    )
    assert again.out.splitlines()[-1] == f"  {path} (was there already, with the same counts)"
    assert fssbench("score", "--check", path, "--data", toy_set.path).code == 0
    assert fssbench("score", path.with_suffix(".predictions"), "--data", toy_set.path).code == 0


def test_lines_are_called_by_their_file_and_go_to_the_home(
    fssbench: Command, toy_set: EpisodeSet, finished: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "their-net.jsonl"
    samples = StoredPredictions.open(masks_folder(finished)).samples()
    path.write_text("".join(json.dumps({"index": s.index, "mask": s.masks["model"]}) + "\n" for s in samples))
    ran = fssbench("score", path, *TOY, "--data", toy_set.path, "--json")
    assert ran.code == 0
    said = json.loads(ran.out)
    assert said["outcome"] == "written"
    assert said["result"]["model"]["name"] == "their-net"
    assert said["result"]["headline"] == "model/ignore"
    assert "the headline is model/ignore, which is not the protocol's" in remark(ran)
    assert Path(said["path"]).is_relative_to(tmp_path / "home" / "results")
    assert Path(said["path"]).parent.name.startswith("their-net-")


def test_masks_of_the_first_episodes_are_scored_if_that_is_said(
    fssbench: Command, toy_set: EpisodeSet, pngs: Path
) -> None:
    for index in range(15, 40):
        (pngs / f"{index}.png").unlink()
    arguments = ["score", pngs, *TOY, "--data", toy_set.path, "--name", "net"]
    ran = fssbench(*arguments)
    assert ran.code == 2
    assert "has no mask of 25 of 40 episodes: 15, 16, 17, 18, 19, …; predict them, or score the first" in ran.error
    ran = fssbench(*arguments, "--episodes", 15)
    assert ran.code == 0
    assert "15 episodes" in ran.out
    assert "only the first 15 of 40 episodes were asked" in remark(ran)


@pytest.mark.parametrize("name", ["", "../net", "a/b", "-net", ".net", "net\n", "näh!", "?"])
def test_a_name_that_is_no_file_name_is_refused(
    fssbench: Command, toy_set: EpisodeSet, pngs: Path, name: str, tmp_path: Path
) -> None:
    # Without a name it is the folder's, which has an apostrophe; an error is one line, whatever it quotes.
    name_said = name.replace("\n", " ") or "someone's masks"
    ran = fssbench("score", pngs, *TOY, "--data", toy_set.path, f"--name={name}")
    assert ran.code == 2
    assert ran.err.endswith(
        f"a model cannot be called '{name_said}'; pass --name with letters, digits, dots and dashes\n"
    )
    assert not (tmp_path / "home").exists()


# --- refusals -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent"], r"there are no predictions at absent; pass a folder of PNGs named by episode index, or a \.jsonl"),
        (["PNGS", "--shot", "5"], r"has no 5-shot track of seed 0, it has 1-shot seed 0, 2-shot seed 0"),
        (["PNGS", "--seed", "4"], r"has no 1-shot track of seed 4"),
        (["PNGS", "--episodes", "41"], r"41 episodes were asked of a track of 40"),
        (["PNGS", "--shot", "0"], r"Invalid value for '--shot'"),
        ([], r"Missing argument 'path'"),
    ],
)
def test_bad_input_gets_one_line_and_exit_code_2(
    fssbench: Command,
    toy_set: EpisodeSet,
    pngs: Path,
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(pngs) if argument == "PNGS" else argument for argument in arguments]
    ran = fssbench("score", *given, *TOY, "--name", "net", "--data", toy_set.path)
    assert ran.code == 2
    assert re.search(said, ran.error), ran.error


def test_a_set_that_is_not_there_is_said_with_how_to_build_it(
    fssbench: Command, pngs: Path, result: Path, tmp_path: Path
) -> None:
    for path, *more in ((pngs, *TOY), (result.with_suffix(".predictions"),)):
        ran = fssbench("score", path, *more, "--data", tmp_path / "nowhere")
        assert ran.code == 2
        assert re.search(
            r"there is no episode set .*nowhere/toy-20i/strict/fold0 \(below .*\); build it with: fssbench prepare toy",
            ran.error,
        )


@pytest.mark.parametrize("asked", [["--fold", "2"], ["-b", "coco"], ["--protocol", "loose"]])
def test_a_set_that_is_not_the_one_asked_for_is_refused(
    fssbench: Command, toy_set: EpisodeSet, pngs: Path, asked: list[str]
) -> None:
    """As eval does; the masks are scored as if they were of a fold that nobody named."""
    ran = fssbench("score", pngs, *TOY, "--data", toy_set.path, "--name", "net", *asked)
    assert ran.code == 2


def test_a_damaged_shard_is_named(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    shard = result.with_suffix(".predictions") / "predictions-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-1])
    ran = fssbench("score", result.with_suffix(".predictions"), "--data", toy_set.path)
    assert ran.code == 2
    assert "predictions-000000.tar is damaged: its SHA-256 is " in ran.error


# --- checking -------------------------------------------------------------------------------------------


def test_a_sound_result_is_said_to_be_sound(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    ran = fssbench("score", "--check", result, "--data", toy_set.path)
    assert (ran.code, ran.out, ran.err) == (0, f"sound {result}\n", "")


def test_what_is_left_unchecked_is_said(fssbench: Command, result: Path, tmp_path: Path) -> None:
    ran = fssbench("score", "--check", result, "--data", tmp_path / "nowhere")
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert first == f"sound {result}"
    assert second.startswith("  not checked: the pools and the track's digest, ")
    assert "there is no episode set" in second


def test_a_result_that_is_wrong_is_said_to_be_with_all_that_is_wrong(
    fssbench: Command, toy_set: EpisodeSet, result: Path
) -> None:
    edit(result, official=True, unofficial=[])
    flip(result)
    ran = fssbench("score", "--check", result, "--data", toy_set.path)
    assert ran.code == 2
    lines = ran.out.splitlines()
    n = len(lines) - 1
    assert lines[0] == f"WRONG {result}: {n} discrepancies"
    assert all(line.startswith("  ") for line in lines[1:])
    assert sum("episode 11 under original/ignore: counted [" in line for line in lines) == 1
    assert sum("predictions.sha256: the result says" in line for line in lines) == 1
    assert sum("unofficial: the result does not say that" in line for line in lines) >= 2
    assert ran.error == (
        f"error: 1 of 1 results is not what it says ({n} discrepancies); score the predictions again, or evaluate "
        "again with --overwrite"
    )


def test_one_discrepancy_is_one(fssbench: Command, toy_set: EpisodeSet, result: Path) -> None:
    edit(result, unofficial=[*json.loads(result.read_text())["unofficial"], "the moon is full"])
    ran = fssbench("score", "--check", result, "--data", toy_set.path)
    assert ran.out.splitlines()[0] == f"WRONG {result}: 1 discrepancy"
    assert "1 of 1 results is not what it says (1 discrepancy)" in ran.error


@pytest.fixture
def several(result: Path, tmp_path: Path) -> Path:
    """Three results below a folder, the first and the last of them wrong; and other files."""
    for name in "abc":
        shutil.copytree(result.parent, tmp_path / "several" / name)
    for name in "ac":
        reasons = [*json.loads(result.read_text())["unofficial"], "the moon is full"]
        edit(tmp_path / "several" / name / result.name, unofficial=reasons)
    (tmp_path / "several" / "notes.json").write_text("{}")
    return tmp_path / "several"


def test_all_results_below_a_folder_are_checked(fssbench: Command, toy_set: EpisodeSet, several: Path) -> None:
    ran = fssbench("score", "--check", several, "--data", toy_set.path)
    assert ran.code == 2
    assert [line.split(" ")[0] for line in ran.out.splitlines() if not line.startswith("  ")] == [
        *("WRONG", "sound", "WRONG")
    ]
    assert "2 of 3 results are not what they say (2 discrepancies)" in ran.error


def test_a_check_is_json_for_scripts(fssbench: Command, toy_set: EpisodeSet, several: Path) -> None:
    ran = fssbench("score", "--check", several, "--data", toy_set.path, "--json")
    assert ran.code == 2
    said = json.loads(ran.out)
    assert [Path(one["path"]).parent.name for one in said] == ["a", "b", "c"]
    assert [one["sound"] for one in said] == [False, True, False]
    assert said[1] == {"path": said[1]["path"], "sound": True, "problems": [], "unchecked": []}
    assert all(len(one["problems"]) == 1 for one in (said[0], said[2]))


def test_a_folder_without_results_is_named(fssbench: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    ran = fssbench("score", "--check", tmp_path)
    assert ran.code == 2
    assert ran.error.startswith(f"error: {tmp_path} holds no results; ")


def test_a_result_that_is_not_there_is_told(fssbench: Command, tmp_path: Path) -> None:
    ran = fssbench("score", "--check", tmp_path / "absent.json")
    assert ran.code == 2
    assert f"there is no file or folder {tmp_path / 'absent.json'}; pass a result" in ran.error


def test_results_below_a_folder_are_each_checked_against_their_own_set(
    fssbench: Command, result: Path, toy_set: EpisodeSet
) -> None:
    """The folder of all sets is as good as the one set."""
    root = toy_set.path.parents[2]
    ran = fssbench("score", "--check", result.parent, "--data", root)
    assert (ran.code, ran.out) == (0, f"sound {result}\n")
