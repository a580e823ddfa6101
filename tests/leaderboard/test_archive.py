"""Archives of results: the same bytes every time, and nothing of a stranger's taken on trust."""

from __future__ import annotations

import gzip
import io
import json
import random
import shutil
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from boards import answers, model, write_model, write_result
from command import Command
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import masks_folder, run_with_masks

from fssbench.api.check import check_all
from fssbench.base import parquet
from fssbench.base.errors import ResultError, StorageError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.base.locking import exclusive
from fssbench.leaderboard import unpack as unpacking
from fssbench.leaderboard.add import Added, add
from fssbench.leaderboard.archive import find_cards, pack
from fssbench.leaderboard.build import build_leaderboard
from fssbench.leaderboard.submission import LIMITS, LIST
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.schemas.card import Card
from fssbench.schemas.result import read_result
from fssbench.schemas.submission import Submission

Files = dict[str, bytes]
WEIGHTS = "c" * 64


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two models on both folds. Not to be changed."""
    folder = tmp_path_factory.mktemp("mine") / "results"
    write_model(folder, "good", better=0.5, chance=1)
    write_model(folder, "poor", better=-0.5, chance=2)
    return folder


def packed(folder: Path, output: Path, cards: Iterable[Path] = ()) -> Path:
    checked = check_all(folder)
    found = find_cards([one.result for one in checked if one.result], cards)
    pack(checked, output, cards=found)
    return output


@pytest.fixture(scope="module")
def archive(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their archive. Not to be changed."""
    return packed(results, tmp_path_factory.mktemp("archive") / "a.tar")


def contents(folder: Path) -> Files:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def members(archive: Path) -> Files:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def listing(files: Files) -> bytes:
    """The list that a careful forger would write."""
    listed = [{"name": n, "bytes": len(d), "sha256": sha256_bytes(d)} for n, d in sorted(files.items()) if n != LIST]
    return json.dumps({"schema_version": 1, "kind": "fssbench-submission", "files": listed}).encode()


def forge(path: Path, files: Files, *, relist: bool = True) -> Path:
    """Write an archive of any files, by default with a list that fits them."""
    files = files | ({LIST: listing(files)} if relist else {})
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def refused(archive: Path, into: Path) -> list[str]:
    """Why an archive is refused; nothing of it may be left."""
    before = contents(into) if into.exists() else None
    added = add(archive, into)
    assert added.board is None
    assert added.new == added.there == ()
    assert (contents(into) if into.exists() else None) == before
    assert not into.exists() or not any(path.name.endswith(".partial") for path in into.iterdir())
    return list(added.problems)


def named(files: Files, part: str) -> str:
    """The one member whose name ends so."""
    (found,) = (name for name in files if name.endswith(part) and "/good-" in name)
    return found


# --- packing --------------------------------------------------------------------------------------------


def test_the_same_results_give_the_same_bytes_wherever_and_whenever(
    results: Path, archive: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "elsewhere" / "deeper"
    for path in sorted(results.rglob("*.*"), reverse=True):
        target = copy / "other" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o600)
    assert packed(copy, tmp_path / "b.tar").read_bytes() == archive.read_bytes()


def test_an_archive_lists_every_file_with_its_hash(archive: Path) -> None:
    files = members(archive)
    assert next(iter(files)) == LIST
    submission = Submission.model_validate_json(files.pop(LIST))
    assert {one.name: (one.bytes, one.sha256) for one in submission.files} == {
        name: (len(data), sha256_bytes(data)) for name, data in files.items()
    }
    assert len(files) == 8


def test_what_was_packed_is_added_to_the_byte_and_gives_the_same_leaderboard(
    results: Path, archive: Path, tmp_path: Path
) -> None:
    added = add(archive, tmp_path / "theirs")
    assert contents(tmp_path / "theirs") == contents(results)
    assert added.board == build_leaderboard(results)
    assert (len(added.new), added.there, added.problems) == (4, (), ())
    again = add(archive, tmp_path / "theirs")
    assert (again.new, len(again.there), again.problems) == ((), 4, ())
    assert again.board == added.board


def test_others_results_join_those_that_are_there(results: Path, archive: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "theirs", "best", better=1.5, chance=3)
    before = contents(tmp_path / "theirs")
    board = add(archive, tmp_path / "theirs").board
    assert board is not None
    assert [(entry.rank, entry.label) for entry in board.entries] == [(1, "best"), (2, "good"), (3, "poor")]
    assert contents(tmp_path / "theirs") == before | contents(results)


def card(weights: str, converted_from: str = "d" * 64) -> str:
    return Card(
        model="good",
        options={},
        weights_sha256=weights,
        converted_from_sha256=converted_from,
        backbone_sha256=None,
        training_set="drawn fold 0",
        protocol="strict",
        selection="last epoch",
    ).model_dump_json()


@pytest.mark.parametrize("own", [True, False], ids=["of the weights", "of what they were converted to"])
def test_cards_of_checkpoints_travel_with_the_results_that_used_them(tmp_path: Path, own: bool) -> None:
    write_result(tmp_path / "r", answers(fold=0), model("good", training="trained", checkpoint_sha256=WEIGHTS))
    (tmp_path / "cards").mkdir()
    for name, text in (("used", card(WEIGHTS) if own else card("e" * 64, WEIGHTS)), ("other", card("f" * 64))):
        (tmp_path / "cards" / f"{name}.json").write_text(text)
    (tmp_path / "cards" / "config.json").write_text("{}")
    archive = packed(tmp_path / "r", tmp_path / "a.tar", sorted((tmp_path / "cards").iterdir()))
    add(archive, tmp_path / "theirs")
    assert [path.name for path in (tmp_path / "theirs" / "cards").iterdir()] == [f"{WEIGHTS}.json"]
    assert (tmp_path / "theirs/cards" / f"{WEIGHTS}.json").read_text() == (tmp_path / "cards/used.json").read_text()
    files = members(archive)
    files[f"cards/{'a' * 64}.json"] = files.pop(f"cards/{WEIGHTS}.json")
    said = refused(forge(tmp_path / "b.tar", files), tmp_path / "none")
    assert any(f"cards/{'a' * 64}.json: it is the card of" in one for one in said)
    assert f"cards/{'a' * 64}.json: no result ran with this checkpoint" in said


def test_one_run_in_two_places_is_not_packed(results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "r/one")
    shutil.copytree(results, tmp_path / "r/two")
    with pytest.raises(ResultError, match="are the same run; keep one of them"):
        packed(tmp_path / "r", tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


# --- what is refused ------------------------------------------------------------------------------------


def test_every_reason_is_given_at_once(archive: Path, tmp_path: Path) -> None:
    """A figure raised, counts swapped, a file more, a file less, one that leads out: all of it is said."""
    files = members(archive)
    files[named(files, "fold0-1shot-seed0.json")] = files[named(files, "fold0-1shot-seed0.json")].replace(
        b'"value": 0.', b'"value": 0.9', 1
    )
    files[named(files, "fold1-1shot-seed0.counts.parquet")] = next(
        data for name, data in files.items() if name.endswith("fold1-1shot-seed0.counts.parquet") and "/poor-" in name
    )
    gone = next(name for name in files if "/poor-" in name and name.endswith("fold0-1shot-seed0.counts.parquet"))
    del files[gone]
    files["readme.txt"] = b"hello"
    files["../../evil.json"] = b"{}"
    said = refused(forge(tmp_path / "b.tar", files, relist=False), tmp_path / "theirs")
    for part in (
        "'readme.txt' is not a file that an archive of results has",
        "'../../evil.json' is not a file that an archive of results has",
        f"'{gone}' is listed and not there",
        "fold0-1shot-seed0.json has the SHA-256",
        "fold1-1shot-seed0.counts.parquet has the SHA-256",
        "original/ignore.miou.value: the result says 0.9",
        "counts.sha256: the result says",
        "original/ignore.fb_iou.value: the result says",
        f"{gone} cannot be read: No such file or directory",
    ):
        assert any(part in one for one in said), part
    assert not any(str(tmp_path) in one for one in said)
    assert not (tmp_path / "evil.json").exists()


def changed_result(files: Files, change: Callable[[str], str]) -> Files:
    """The archive's files with one result edited, so that the list fits again."""
    name = named(files, "fold0-1shot-seed0.json")
    text = files[name].decode()
    assert change(text) != text
    return files | {name: change(text).encode()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.replace('"fold": 0', '"fold": 1'), "episodes.fold: the result says 1, its counts 0"),
        (lambda t: t.replace('"name": "good"', '"name": "better"'), "it is the result drawn/strict/better-"),
        (lambda t: t.replace('"benchmark": "drawn"', '"benchmark": "../../x"'), "it is the result ../../x/strict/"),
        (lambda t: t.replace('"file": "', '"file": "../'), "does not lie beside the result"),
        (lambda t: t.replace('"kind": "fssbench-result"', '"kind": "x"'), "kind: Input should be 'fssbench-result'"),
        (lambda t: t.replace('"official": false', '"official": true'), "official exactly if no reason"),
        (lambda t: t[:-20], "Invalid JSON"),
        (lambda t: t.replace('"predictions": null', '"predictions": {"folder": "..", "sha256": "' + WEIGHTS + '"}'),
         "predictions.folder: '..' does not lie beside the result"),
    ],
    ids=["fold", "name", "benchmark", "counts", "kind", "official", "cut", "predictions"],
)  # fmt: skip
def test_a_result_edited_with_all_its_hashes_is_refused(
    archive: Path, tmp_path: Path, change: Callable[[str], str], said: str
) -> None:
    files = changed_result(members(archive), change)
    found = refused(forge(tmp_path / "b.tar", files), tmp_path / "theirs")
    assert any(said in one for one in found), found


def test_counts_that_no_masks_can_have_are_refused(archive: Path, tmp_path: Path) -> None:
    files = members(archive)
    name = named(files, "fold0-1shot-seed0.counts.parquet")
    table = parquet.read(files[name])
    column = table.column_names.index("inter_f")
    more = pa.array([value + 10**6 for value in table["inter_f"].to_pylist()], pa.int64())
    files[name] = parquet.encode(table.set_column(column, "inter_f", more))
    files = changed_result(files, lambda t: t.replace(sha256_bytes(members(archive)[name]), sha256_bytes(files[name])))
    found = refused(forge(tmp_path / "b.tar", files), tmp_path / "theirs")
    assert sum("no masks have the counts" in one for one in found) == table.num_rows


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        special("results/drawn/strict/x/fold0-1shot-seed9.json", tarfile.SYMTYPE, "/etc/passwd"),
        special("results/drawn/strict/x/fold0-1shot-seed9.json", tarfile.LNKTYPE, LIST),
        special("results/drawn/strict/x/fold0-1shot-seed9.json", tarfile.CHRTYPE),
        special("results/drawn/strict/x/fold0-1shot-seed9.json", tarfile.FIFOTYPE),
        special("results/drawn", tarfile.DIRTYPE),
        special("/etc/cron.d/x", tarfile.REGTYPE),
        special("results/../../../x.json", tarfile.REGTYPE),
        special("results/drawn/../x/fold0-1shot-seed9.json", tarfile.REGTYPE),
        special("results/drawn/.hidden/x/fold0-1shot-seed9.json", tarfile.REGTYPE),
        special("results\\drawn\\strict\\fold0-1shot-seed9.json", tarfile.REGTYPE),
        special("results/drawn/strict/x\n/fold0-1shot-seed9.json", tarfile.REGTYPE),
        special("RESULTS/drawn/strict/x/fold0-1shot-seed9.json", tarfile.REGTYPE),
        special("results/drawn/strict/x/fold0-1shot-seed9.pkl", tarfile.REGTYPE),
        special("cards/x.json", tarfile.REGTYPE),
    ],
    ids=lambda member: f"{member.type.decode()}-{member.name!r}",
)
def test_members_that_are_no_business_of_an_archive_are_refused_and_not_written(
    archive: Path, tmp_path: Path, member: tarfile.TarInfo
) -> None:
    shutil.copy(archive, tmp_path / "b.tar")
    with tarfile.open(tmp_path / "b.tar", "a") as tar:
        tar.addfile(member)
    (said,) = refused(tmp_path / "b.tar", tmp_path / "theirs")
    assert repr(member.name) in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.tar"]


def test_a_name_that_is_there_twice_is_refused(archive: Path, tmp_path: Path) -> None:
    """Also in other letters, since on some disks these are one file."""
    shutil.copy(archive, tmp_path / "b.tar")
    name = named(members(archive), "fold0-1shot-seed0.json")
    with tarfile.open(tmp_path / "b.tar", "a") as tar:
        for twice in (name, name.replace("good", "GOOD")):
            tar.addfile(tarfile.TarInfo(twice))
    said = refused(tmp_path / "b.tar", tmp_path / "theirs")
    assert said == [f"{name} is there twice", f"{name.replace('good', 'GOOD')} is there twice"]


def test_extended_headers_are_refused(archive: Path, tmp_path: Path) -> None:
    """They can rename a file, or say that a small one is a large one with holes."""
    files = members(archive)
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.pax_headers = {"comment": "x"}
            tar.addfile(member, io.BytesIO(data))
    said = refused(tmp_path / "b.tar", tmp_path / "theirs")
    assert sum("is not a plain file" in one for one in said) == len(files)


@pytest.mark.parametrize("header", [{"GNU.sparse.size": "x"}, {"GNU.sparse.map": "1,y"}, {"size": "9" * 99}])
def test_headers_that_tarfile_cannot_read_are_told_as_damage(
    archive: Path, tmp_path: Path, header: dict[str, str]
) -> None:
    files = members(archive)
    with tarfile.open(tmp_path / "b.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for n, (name, data) in enumerate(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.pax_headers = header if n == 2 else {}
            tar.addfile(member, io.BytesIO(data))
    assert any(
        "damaged" in one or "not a plain file" in one for one in refused(tmp_path / "b.tar", tmp_path / "theirs")
    )


def test_what_is_too_much_is_not_taken(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LIMITS, "counts", 1_000)
    said = refused(archive, tmp_path / "theirs")
    assert sum("at most 1,000 are taken" in one for one in said) == 4
    monkeypatch.undo()
    monkeypatch.setattr(unpacking, "MOST_FILES", 5)
    assert "the archive has more than 5 files" in refused(archive, tmp_path / "theirs")
    monkeypatch.undo()
    monkeypatch.setattr(unpacking, "MOST_ROWS", 100)
    said = refused(archive, tmp_path / "theirs")
    assert sum("would unpack to 120 rows" in one for one in said) == 4


def test_what_belongs_to_no_result_is_refused(archive: Path, tmp_path: Path) -> None:
    files = members(archive)
    stray = named(files, "fold0-1shot-seed0.counts.parquet").replace("seed0", "seed7")
    files[stray] = files[named(files, "fold0-1shot-seed0.counts.parquet")]
    assert refused(forge(tmp_path / "b.tar", files), tmp_path / "theirs") == [f"{stray} belongs to no result"]


def test_an_archive_without_results_is_refused(tmp_path: Path) -> None:
    assert refused(forge(tmp_path / "b.tar", {}), tmp_path / "theirs") == ["it holds no results"]


@pytest.mark.parametrize("made", [lambda data: gzip.compress(data), lambda data: b"PK\3\4" + data, lambda data: b""])
def test_what_is_no_archive_is_said_to_be_none(archive: Path, tmp_path: Path, made: Callable[[bytes], bytes]) -> None:
    (tmp_path / "b.tar").write_bytes(made(archive.read_bytes()))
    with pytest.raises(ResultError, match=r"is not an archive of results: .*; pass what fssbench submit wrote"):
        add(tmp_path / "b.tar", tmp_path / "theirs")
    with pytest.raises(ResultError, match="cannot be read: No such file"):
        add(tmp_path / "absent.tar", tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_an_archive_that_is_cut_off_is_refused(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    for n, length in enumerate((len(data) // 3, 2 * len(data) // 3)):
        (tmp_path / f"{n}.tar").write_bytes(data[:length])
        said = refused(tmp_path / f"{n}.tar", tmp_path / "theirs")
        assert any("is listed and not there" in one for one in said)


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(1, 255))
def test_law_of_a_byte(
    results: Path, archive: Path, tmp_path_factory: pytest.TempPathFactory, at: int, by: int
) -> None:
    """Whichever byte of an archive is another, it is refused, or what is added is what was packed."""
    data = bytearray(archive.read_bytes())
    data[at % len(data)] ^= by
    folder = tmp_path_factory.mktemp("byte")
    (folder / "b.tar").write_bytes(data)
    try:
        added = add(folder / "b.tar", folder / "theirs")
    except ResultError:
        added = Added(problems=("no archive",))
    if added.problems:
        assert not (folder / "theirs").exists()
    else:
        assert contents(folder / "theirs") == contents(results)


# --- what is there already ------------------------------------------------------------------------------


def test_another_result_in_its_place_is_not_overwritten(results: Path, archive: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "theirs")
    (path,) = (tmp_path / "theirs").rglob("good-*/fold0*.json")
    path.write_text(path.read_text().replace("a drawn processor", "another processor"))
    assert refused(archive, tmp_path / "theirs") == [f"{path} is there already, and differs"]


def test_the_same_run_in_another_place_is_refused(results: Path, archive: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "theirs" / "moved")
    (said,) = refused(archive, tmp_path / "theirs")
    assert "are both good on fold 0, seed 0" in said


def test_what_is_there_and_wrong_is_not_blamed_on_the_archive(results: Path, archive: Path, tmp_path: Path) -> None:
    write_model(tmp_path / "theirs", "best")
    next((tmp_path / "theirs").rglob("*.parquet")).unlink()
    before = contents(tmp_path / "theirs")
    with pytest.raises(ResultError, match=r"theirs/drawn/strict/best-.*cannot be read"):
        add(archive, tmp_path / "theirs")
    assert contents(tmp_path / "theirs") == before


def test_if_the_disk_refuses_halfway_nothing_is_left(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "theirs", "best")
    before, folders = contents(tmp_path / "theirs"), sorted((tmp_path / "theirs").rglob("*"))
    rename, renamed = Path.rename, []

    def refuse(self: Path, target: Path) -> Path:
        renamed.append(target)
        if len(renamed) == 5:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StorageError, match="the disk is full"):
        add(archive, tmp_path / "theirs")
    assert contents(tmp_path / "theirs") == before
    assert sorted((tmp_path / "theirs").rglob("*")) == folders
    assert [path.suffix for path in renamed] == [".parquet"] * 4 + [".json"]


# --- masks ----------------------------------------------------------------------------------------------


def test_masks_travel_and_with_the_set_they_are_counted_again(
    fssbench: Command, toy_set: EpisodeSet, tmp_path: Path
) -> None:
    """Figures and counts that agree with each other and not with the masks are found out by whoever has the set."""
    honest = run_with_masks(toy_set, tmp_path / "honest", episodes=20)
    ran = fssbench("submit", tmp_path / "honest", "-o", tmp_path / "a.tar", "-d", toy_set.path)
    assert ran.code == 0, ran.err
    ran = fssbench("leaderboard", "add", tmp_path / "a.tar", "--to", tmp_path / "theirs", "-d", toy_set.path,
                   "-o", tmp_path / "board.json")  # fmt: skip
    assert ran.code == 0, ran.err
    assert "not checked" not in ran.out
    assert "1 results added" in ran.out
    assert len(json.loads((tmp_path / "board.json").read_text())["entries"]) == 1

    files = members(tmp_path / "a.tar")
    result, counts = honest.path, honest.path.with_suffix(".counts.parquet")
    better = parquet.read(counts.read_bytes())
    union = better["union_f"].to_pylist()
    perfect = {"inter_f": union, "inter_b": [v - u for v, u in zip(better["valid"].to_pylist(), union, strict=True)]}
    perfect["union_b"] = perfect["inter_b"]
    for name, column in perfect.items():
        better = better.set_column(better.column_names.index(name), name, pa.array(column, pa.int64()))
    counts.write_bytes(parquet.encode(better))
    from fssbench.results import counts_file
    from fssbench.results.figures import policy_results

    stated = read_result(result)
    classes = {c.id: c.name for c in stated.score.per_class}
    figures = policy_results(counts_file.from_bytes(counts.read_bytes(), where="x"), classes=classes)
    lied = stated.model_copy(
        update={"policies": figures, "counts": stated.counts.model_copy(update={"sha256": sha256_file(counts)})}
    )
    place = next(name for name in files if name.endswith("seed0.json"))
    files[place] = lied.to_json().encode()
    files[place.replace(".json", ".counts.parquet")] = counts.read_bytes()
    forge(tmp_path / "b.tar", files)
    arguments = ("leaderboard", "add", tmp_path / "b.tar", "--to", tmp_path / "others", "-o", tmp_path / "x.json")
    ran = fssbench(*arguments, "-d", toy_set.path)
    assert ran.code == 2
    assert ran.out.count("its mask gives") >= 20
    assert "is refused for" in ran.error
    assert not (tmp_path / "others").exists()
    assert not (tmp_path / "x.json").exists()
    ran = fssbench(*arguments, "-d", tmp_path)
    assert ran.code == 0
    assert "not checked: the pools and the track's digest" in ran.out
    assert masks_folder(honest).is_dir()


# --- commands -------------------------------------------------------------------------------------------


def test_submit_refuses_results_that_are_not_what_they_say(fssbench: Command, results: Path, tmp_path: Path) -> None:
    shutil.copytree(results, tmp_path / "r")
    paths = sorted((tmp_path / "r").rglob("fold0*.json"))
    for path in paths:
        path.write_text(path.read_text().replace('"value": 0.', '"value": 0.9', 1))
    ran = fssbench("submit", tmp_path / "r", "-o", tmp_path / "a.tar")
    assert ran.code == 2
    assert all(f"WRONG {path}" in ran.out for path in paths)
    assert "2 of 4 results are not what they say" in ran.error
    assert not (tmp_path / "a.tar").exists()


def test_submit_says_what_it_wrote_and_what_it_did_not_find(fssbench: Command, tmp_path: Path) -> None:
    record = model("good", training="trained", checkpoint_sha256=WEIGHTS)
    write_result(tmp_path / "r", answers(fold=0), record)
    ran = fssbench("submit", tmp_path / "r", "-o", tmp_path / "a.tar")
    assert ran.code == 0
    assert f"SHA-256 {sha256_file(tmp_path / 'a.tar')}" in ran.out
    assert f"no card of the checkpoint {WEIGHTS[:12]}… was found" in ran.err
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards" / "x.json").write_text(card(WEIGHTS))
    ran = fssbench("submit", tmp_path / "r", "-o", tmp_path / "a.tar", "--cards", tmp_path / "cards", "--json")
    said = json.loads(ran.out)
    assert (said["results"], said["without_card"], len(said["files"])) == (1, [], 3)


def test_add_lists_all_reasons_and_exits_with_2(fssbench: Command, archive: Path, tmp_path: Path) -> None:
    files = members(archive)
    random.Random(0).shuffle(names := list(files))
    files = {name: files[name] for name in names} | {"one.txt": b"", "two.txt": b""}
    forge(tmp_path / "b.tar", files, relist=False)
    arguments = ("leaderboard", "add", tmp_path / "b.tar", "--to", tmp_path / "r", "-o", tmp_path / "board.json")
    ran = fssbench(*arguments)
    assert ran.code == 2
    assert [line for line in ran.out.splitlines() if line.startswith("refused: ")] == [
        "refused: 'one.txt' is not a file that an archive of results has",
        "refused: 'two.txt' is not a file that an archive of results has",
    ]
    assert "is refused for 2 reasons, and nothing of it was added" in ran.error
    assert len(json.loads(fssbench(*arguments, "--json").out)["problems"]) == 2


def test_of_two_runs_that_add_to_one_folder_the_second_is_told(tmp_path: Path) -> None:
    """And what a killed one left behind is gone with the next."""
    results = tmp_path / "results"
    left = results / "incoming.partial"
    left.mkdir(parents=True)
    (left / "half").touch()
    with exclusive(results), pytest.raises(StorageError, match=r"another run is adding to .*results .*; wait for it"):
        add(tmp_path / "none.tar", results)
    with pytest.raises(ResultError, match=r"none\.tar cannot be read"):
        add(tmp_path / "none.tar", results)
    assert not list(results.iterdir())
