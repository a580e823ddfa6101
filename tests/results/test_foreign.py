"""Another tool's masks: read as they were meant in every format, refused where that is unclear."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from strategies import masks
from toys import Mask, compressed

from fssbench.base.errors import (
    EpisodeIndexError,
    FssbenchError,
    MaskShapeError,
    MaskTypeError,
    MaskValueError,
    ResultError,
)
from fssbench.pipelines.formats.masks import decode, encode
from fssbench.results.foreign import read_foreign
from fssbench.schemas.rle import Rle

CORNER = np.zeros((4, 6), dtype=bool)
CORNER[:2, :3] = True


def read(path: Path, n: int = 1) -> dict[int, Rle]:
    return read_foreign(path, n_episodes=n, advance=lambda _: None)


def save(path: Path, values: npt.NDArray[Any], mode: str = "L") -> Path:
    """A PNG (H, W) of some mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        image = Image.frombytes("P", image.size, values.astype(np.uint8).tobytes())
        image.putpalette([*(0, 0, 0), *(255, 0, 0)] + [7] * 762)
    elif mode == "1":
        image = Image.fromarray(values.astype(bool))
    elif mode != "L":
        image = image.convert(mode)
    assert image.mode == mode
    image.save(path)
    return path


def runs(mask: Mask) -> list[int]:
    """Run lengths down the columns, background first, one pixel after the other."""
    found, current = [0], False
    for value in mask.flatten(order="F").tolist():
        if value != current:
            found.append(0)
            current = value
        found[-1] += 1
    return found


def line(index: object, mask: object) -> str:
    return json.dumps({"index": index, "mask": mask}) + "\n"


def uncompressed(mask: Mask) -> dict[str, object]:
    return {"size": list(mask.shape), "counts": runs(mask)}


# --- every format ---------------------------------------------------------------------------------------


def write_png(mode: str, white: int) -> Callable[[Path, list[Mask]], Path]:
    def write(folder: Path, found: list[Mask]) -> Path:
        for index, mask in enumerate(found):
            save(folder / "masks" / f"{index}.png", mask.astype(np.uint8) * white, mode)
        return folder / "masks"

    return write


def write_lines(encoded: Callable[[Mask], object]) -> Callable[[Path, list[Mask]], Path]:
    def write(folder: Path, found: list[Mask]) -> Path:
        path = folder / "masks.jsonl"
        path.write_text("".join(line(index, encoded(mask)) for index, mask in enumerate(found)))
        return path

    return write


FORMATS = {
    "black and white": write_png("1", 1),
    "grey, 0 and 1": write_png("L", 1),
    "grey, 0 and 255": write_png("L", 255),
    "palette, 0 and 1": write_png("P", 1),
    "palette, 0 and 255": write_png("P", 255),
    "compressed runs": write_lines(encode),
    "uncompressed runs": write_lines(uncompressed),
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25)
@given(found=st.lists(masks(), min_size=1, max_size=4))
def test_a_mask_comes_back_from_every_format_as_it_went_in(name: str, found: list[Mask]) -> None:
    """And always with the one encoding it has, so that the format leaves no trace."""
    with tempfile.TemporaryDirectory() as folder:
        back = read(FORMATS[name](Path(folder), found), len(found))
    assert sorted(back) == list(range(len(found)))
    for index, mask in enumerate(found):
        assert (decode(back[index]) == mask).all()
        assert back[index] == encode(mask)


@given(masks(), st.data())
def test_runs_of_no_pixels_leave_no_trace(mask: Mask, data: st.DataObject) -> None:
    """A run may be written in pieces, with empty ones between; the mask is the same, and so is what is kept."""
    pieces = runs(mask)
    at = data.draw(st.integers(0, len(pieces) - 1))
    cut = data.draw(st.integers(0, pieces[at]))
    split = [*pieces[:at], cut, 0, pieces[at] - cut, *pieces[at + 1 :]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.jsonl"
        path.write_text(line(0, {"size": list(mask.shape), "counts": split}))
        back = read(path)[0]
    assert (decode(back) == mask).all()
    assert back == encode(mask)


@pytest.mark.parametrize("name", ["17.png", "0000017.png", "e0000017.png", "e17.png", "17.PNG", "E17.Png"])
def test_a_mask_is_named_by_the_index_of_its_episode(tmp_path: Path, name: str) -> None:
    for index in (*range(17), *range(18, 20)):
        save(tmp_path / f"{index}.png", np.zeros((3, 3)))
    save(tmp_path / "x.png", CORNER).rename(tmp_path / name)
    assert (decode(read(tmp_path, 20)[17]) == CORNER).all()


def test_all_ways_of_naming_may_stand_side_by_side(tmp_path: Path) -> None:
    for name, columns in (("0.png", 1), ("01.png", 2), ("e0000002.png", 3)):
        save(tmp_path / name, np.ones((2, columns)))
    assert [read(tmp_path, 3)[index]["size"] for index in range(3)] == [[2, 1], [2, 2], [2, 3]]


def test_progress_is_told_mask_by_mask(tmp_path: Path) -> None:
    told: list[int] = []
    write_png("L", 1)(tmp_path, [CORNER] * 5)
    read_foreign(tmp_path / "masks", n_episodes=5, advance=told.append)
    write_lines(encode)(tmp_path, [CORNER] * 4)
    read_foreign(tmp_path / "masks.jsonl", n_episodes=4, advance=told.append)
    assert told == [1] * 9


# --- PNGs -----------------------------------------------------------------------------------------------


def test_hidden_files_are_left_alone(tmp_path: Path) -> None:
    save(tmp_path / "0.png", CORNER)
    (tmp_path / ".DS_Store").write_bytes(b"of another system")
    (tmp_path / "._0.png").write_bytes(b"likewise")
    (tmp_path / ".git").mkdir()
    assert list(read(tmp_path)) == [0]


@pytest.mark.parametrize(
    "name",
    ["mask.png", "17.jpg", "17.png.txt", "17", "f17.png", "-1.png", "1.5.png", "17 (1).png", "readme.txt", "sub"],
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    """A mask that is overlooked because of its name would be scored as missing, or not at all."""
    save(tmp_path / "0.png", CORNER)
    (tmp_path / name).mkdir() if name == "sub" else (tmp_path / name).write_bytes(b"")
    said = rf"{re.escape(name)} is not named by an episode's index; as in 17\.png or e0000017\.png"
    with pytest.raises(ResultError, match=said):
        read(tmp_path)


def test_two_files_of_one_episode_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "3.png", CORNER)
    save(tmp_path / "e0000003.png", CORNER)
    with pytest.raises(EpisodeIndexError, match=r"e0000003\.png: episode 3 has two masks; keep one of them"):
        read(tmp_path, 4)


@pytest.mark.parametrize(("mode", "other"), [("L", "L"), ("1", "L"), ("P", "L"), ("L", "P")])
def test_one_and_255_in_one_folder_are_refused_and_both_files_named(tmp_path: Path, mode: str, other: str) -> None:
    save(tmp_path / "0.png", np.zeros((4, 6)))
    save(tmp_path / "1.png", CORNER, mode)
    save(tmp_path / "2.png", CORNER.astype(np.uint8) * 255, other)
    said = (
        r"1\.png has pixels of value 1 and .*2\.png of value 255, so which is foreground is unclear; use one of the two"
    )
    with pytest.raises(MaskValueError, match=said):
        read(tmp_path, 3)


def test_one_and_255_in_one_file_are_refused(tmp_path: Path) -> None:
    values = CORNER.astype(np.uint8)
    values[3, 5] = 255
    save(tmp_path / "0.png", values)
    with pytest.raises(MaskValueError, match=r"0\.png has pixels of value 1 and .*0\.png of value 255, so which is"):
        read(tmp_path)


@pytest.mark.parametrize("value", [2, 7, 128, 254])
@pytest.mark.parametrize("mode", ["L", "P"])
def test_any_other_value_is_refused(tmp_path: Path, value: int, mode: str) -> None:
    values = CORNER.astype(np.uint8)
    values[3, 5] = value
    save(tmp_path / "0.png", values, mode)
    said = rf"0\.png has pixels of value {value}, expected 0 and 1, or 0 and 255; threshold predictions"
    with pytest.raises(MaskValueError, match=said):
        read(tmp_path)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused(tmp_path: Path, mode: str) -> None:
    save(tmp_path / "0.png", CORNER.astype(np.uint8) * 255, mode)
    said = rf"0\.png is a PNG of mode {mode}, expected one of 1, L, P; save masks in 8-bit grey"
    with pytest.raises(MaskTypeError, match=said):
        read(tmp_path)


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(CORNER.astype(np.uint16) * 65_535).save(tmp_path / "0.png")
    with pytest.raises(MaskTypeError, match=r"0\.png is a PNG of mode I;16, expected one of 1, L, P"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["jpeg", "text", "nothing"])
def test_what_is_no_png_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "0.png"
    if name == "jpeg":
        Image.fromarray(CORNER.astype(np.uint8)).save(path, format="JPEG")
    else:
        path.write_bytes(b"a mask" if name == "text" else b"")
    with pytest.raises(ResultError, match=r"0\.png is not a PNG; save masks as PNG"):
        read(tmp_path)


def test_a_png_cut_anywhere_is_refused(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 2, (64, 64))
    data = save(tmp_path / "0.png", values).read_bytes()
    for size in range(1, len(data) - 12, 37):  # the last 12 bytes say only that the file ends
        (tmp_path / "0.png").write_bytes(data[:size])
        with pytest.raises(ResultError, match=r"0\.png is (not a PNG|damaged: .*); save "):
            read(tmp_path)


def test_a_png_with_a_flipped_byte_is_refused_or_read_right(tmp_path: Path) -> None:
    """Never an error of another kind, and never another mask."""
    values = np.random.default_rng(1).integers(0, 2, (40, 40))
    data = save(tmp_path / "0.png", values).read_bytes()
    refused: list[str] = []
    for position in range(0, len(data), 11):
        changed = bytearray(data)
        changed[position] ^= 0x5A
        (tmp_path / "0.png").write_bytes(changed)
        try:
            found = read(tmp_path)[0]
        except FssbenchError as error:
            refused.append(str(error))
        else:
            assert (decode(found) == values).all()
    assert len(refused) > len(data) // 22
    assert all("0.png" in said for said in refused)


def test_a_png_that_is_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.png").mkdir()
    with pytest.raises(ResultError, match=r"0\.png cannot be read: Is a directory"):
        read(tmp_path)


def test_a_png_larger_than_any_mask_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 11)  # Pillow refuses what has more than twice as many
    save(tmp_path / "0.png", CORNER)
    with pytest.raises(ResultError, match=r"0\.png has more than 178,956,970 pixels; make it smaller"):
        read(tmp_path)


# --- which episodes -------------------------------------------------------------------------------------


def write_indices(tmp_path: Path, kind: str, indices: list[int]) -> Path:
    if kind == "folder":
        for index in indices:
            save(tmp_path / f"{index}.png", CORNER)
        return tmp_path
    path = tmp_path / "masks.jsonl"
    path.write_text("".join(line(index, encode(CORNER)) for index in indices))
    return path


@pytest.mark.parametrize("kind", ["folder", "lines"])
@pytest.mark.parametrize(
    ("indices", "said"),
    [
        ([0, 1, 3], r"has no mask of 1 of 4 episodes: 2; predict them, or score the first ones with --episodes"),
        ([2], r"has no mask of 3 of 4 episodes: 0, 1, 3; predict"),
        ([0, 1, 2, 3, 4], r"has a mask of episode 4, the track's are 0 to 3; name masks by the episode's index"),
        ([0, 1, 2, 10_000], r"has a mask of episode 10000, the track's are 0 to 3"),
    ],
)
def test_missing_and_strange_episodes_are_named(tmp_path: Path, kind: str, indices: list[int], said: str) -> None:
    with pytest.raises(EpisodeIndexError, match=said):
        read(write_indices(tmp_path, kind, indices), 4)


@pytest.mark.parametrize("kind", ["folder", "lines"])
def test_of_many_missing_episodes_the_first_are_named(tmp_path: Path, kind: str) -> None:
    with pytest.raises(EpisodeIndexError, match=r"has no mask of 1,999 of 2,000 episodes: 1, 2, 3, 4, 5, …; predict"):
        read(write_indices(tmp_path, kind, [0]), 2_000)


def test_an_empty_folder_and_an_empty_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "blank.jsonl").write_text("\n \n\n")
    for name in ("folder", "empty.jsonl", "blank.jsonl"):
        with pytest.raises(ResultError, match=rf"{name} holds no predictions; pass a folder of PNGs named by episode"):
            read(tmp_path / name)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        ResultError, match=r"there are no predictions at .*absent; pass a folder of PNGs .* or a \.jsonl"
    ):
        read(tmp_path / "absent")


# --- lines ----------------------------------------------------------------------------------------------

ONE: dict[str, Any] = {"size": [4, 6], "counts": encode(CORNER)["counts"]}


def refused(tmp_path: Path, text: str | bytes, kind: type[FssbenchError]) -> str:
    """What is said of a file with this content."""
    path = tmp_path / "masks.jsonl"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(kind) as caught:
        read(path, 3)
    assert type(caught.value) is kind
    return str(caught.value).replace(f"{path}", "FILE")


def test_blank_lines_and_what_else_a_line_says_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "masks.jsonl"
    more = json.dumps({"index": 1, "mask": ONE | {"area": 6}, "score": 0.5, "image": "ä/1"}, ensure_ascii=False)
    path.write_text(f"\n{line(0, ONE)}\n   \r\n{more}", encoding="utf-8")
    assert [decode(mask).tolist() for mask in read(path, 2).values()] == [CORNER.tolist()] * 2


@pytest.mark.parametrize("text", ["{", "index: 0", '{"index": 0, "mask": {}', "{'index': 0}", "\ufeff" + line(0, ONE)])
def test_a_line_that_is_no_json_is_named_by_its_number(tmp_path: Path, text: str) -> None:
    said = refused(tmp_path, f"{line(0, ONE)}\n{text}\n", ResultError)
    assert said.startswith("FILE line 3 is not JSON: ")
    assert "pass a folder of PNGs named by episode index, or a .jsonl file of run-length encodings" in said


def test_a_line_nested_beyond_reason_is_no_json_either(tmp_path: Path) -> None:
    assert refused(tmp_path, "[" * 100_000, ResultError).startswith("FILE line 1 is not JSON: ")


@pytest.mark.parametrize("index", ["0", True, 0.0, None, [0], {}])
def test_an_index_must_be_an_integer(tmp_path: Path, index: object) -> None:
    said = refused(tmp_path, line(index, ONE), ResultError)
    assert said.startswith('FILE line 1 must be {"index": …, "mask": …}, got {"index": ')
    assert said.endswith("; fix the line")


@pytest.mark.parametrize("row", ["[]", "0", "null", '"text"', "{}", '{"index": 0}', '{"mask": {}}', '{"Index": 0}'])
def test_a_line_must_have_an_index_and_a_mask(tmp_path: Path, row: str) -> None:
    said = refused(tmp_path, row, ResultError)
    assert said == f'FILE line 1 must be {{"index": …, "mask": …}}, got {row}; fix the line'


def test_a_long_line_is_not_repeated_whole(tmp_path: Path) -> None:
    assert len(refused(tmp_path, json.dumps({"mask": "x" * 100_000}), ResultError)) < 200


def test_an_episode_on_two_lines_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, line(0, ONE) + line(1, ONE) + line(0, ONE), EpisodeIndexError)
    assert said == "FILE line 3: episode 0 has two masks; keep one of them"


def test_an_index_below_zero_is_none_of_the_track(tmp_path: Path) -> None:
    said = refused(tmp_path, line(-1, ONE), EpisodeIndexError)
    assert said.startswith("FILE has a mask of episode -1, the track's are 0 to 2")


@pytest.mark.parametrize("mask", [None, [], "3045", 5, {}, {"size": [4, 6]}, {"counts": "75"}, [[0, 1], [1, 0]]])
def test_a_mask_must_be_an_encoding(tmp_path: Path, mask: object) -> None:
    said = refused(tmp_path, line(0, mask), MaskTypeError)
    assert said == (
        "FILE line 1: a mask must be an encoding with size [height, width] and counts; as pycocotools writes it"
    )


@pytest.mark.parametrize("counts", [None, 5, {}, 1.5])
def test_counts_must_be_text_or_runs(tmp_path: Path, counts: object) -> None:
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskTypeError)
    assert said.startswith("FILE line 1: a mask must be an encoding with")


@pytest.mark.parametrize(
    "size",
    [
        *([], [4], [4, 6, 1], "46", 24, None, {}),
        *([4.0, 6], ["4", 6], [True, 24], [0, 24], [-4, -6], [10**400, 2.5]),
    ],
)
@pytest.mark.parametrize("counts", [ONE["counts"], [24]])
def test_a_size_must_be_height_and_width(tmp_path: Path, size: object, counts: object) -> None:
    said = refused(tmp_path, line(0, {"size": size, "counts": counts}), MaskShapeError)
    assert said.startswith("FILE line 1: a mask's size must be [height, width] of 1 or more, got ")


@pytest.mark.parametrize("counts", [ONE["counts"], [24]])
def test_a_mask_larger_than_any_image_takes_no_memory(tmp_path: Path, counts: object) -> None:
    said = refused(tmp_path, line(0, {"size": [1 << 20, 1 << 20], "counts": counts}), MaskShapeError)
    assert said.startswith("FILE line 1: a mask's size is [1048576, 1048576], more than 178,956,970 pixels; ")


@pytest.mark.parametrize("counts", [[], [23], [25], [12, 11]])
def test_runs_must_fill_the_size(tmp_path: Path, counts: list[int]) -> None:
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskShapeError)
    assert said == (
        f"FILE line 1: a mask's runs cover {sum(counts)} pixels, its size 4×6 has 24; as pycocotools writes it"
    )


@pytest.mark.parametrize("counts", [[-1, 25], [30, -6], [0, -24, 48]])
def test_a_run_below_zero_is_refused(tmp_path: Path, counts: list[int]) -> None:
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskShapeError)
    assert said == f"FILE line 1: a mask has a run of {min(counts)} pixels; as pycocotools writes it"


@pytest.mark.parametrize("counts", [[12.0, 12], ["24"], [True, 23], [None, 24], [[24]], [1 << 70, 24 - (1 << 70)]])
def test_runs_must_be_numbers_of_pixels(tmp_path: Path, counts: list[object]) -> None:
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskShapeError)
    assert said.startswith("FILE line 1: counts must be text or a list of how many pixels each run has, got [")


def test_the_compressed_form_here_is_that_of_pycocotools() -> None:
    """The tests below fail for what their runs say, not for how they are written."""
    assert compressed(runs(CORNER)) == ONE["counts"]


@pytest.mark.parametrize("counts", ["", "0", compressed([23]), compressed([10, 15]), ONE["counts"] + "1"])
def test_compressed_runs_must_fill_the_size(tmp_path: Path, counts: str) -> None:
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskShapeError)
    assert re.match(r"FILE line 1: a mask's runs cover -?\d+ pixels, its size 4×6 has 24; as pycocotools", said), said


@pytest.mark.parametrize(("counts", "character"), [("!!", "!"), ("ä5", "ä"), ("4三", "三")])
def test_compressed_runs_must_be_written_in_their_letters(tmp_path: Path, counts: str, character: str) -> None:
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskShapeError)
    assert said.startswith(f"FILE line 1: a mask's run lengths hold '{character}', which is not part of a number")


@pytest.mark.parametrize(
    "counts",
    [compressed([30, -6]), compressed([-6, 30]), compressed([10, -5, 19]), compressed([20, 4]) + "o"],
    ids=["negative last", "negative first", "negative between", "a last run that never ends"],
)
def test_compressed_runs_that_only_add_up_are_refused(tmp_path: Path, counts: str) -> None:
    """Runs below zero, or one that is cut, may sum to the right number all the same."""
    said = refused(tmp_path, line(0, {"size": [4, 6], "counts": counts}), MaskShapeError)
    assert said.startswith("FILE line 1: ")


@pytest.mark.parametrize("data", [b"\xff\xfe{}", b'{"index": 0, "mask": "\xe4"}', b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_text_is_refused(tmp_path: Path, data: bytes) -> None:
    said = refused(tmp_path, data, ResultError)
    assert said.startswith("FILE cannot be read as text: 'utf-8' codec can't decode")
    assert said.endswith("or a .jsonl file of run-length encodings")


@settings(max_examples=200)
@given(
    st.binary(max_size=60)
    | st.text(max_size=40).map(str.encode)
    | st.text('{}[]",:0123index mask', max_size=40).map(str.encode)
)
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(data: bytes) -> None:
    """No content is a traceback."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_bytes(data)
        with pytest.raises(FssbenchError):
            read(path)


@settings(max_examples=200)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=2),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=6),
)
@example([4, 6], compressed([10, -5, 19]))
def test_whatever_counts_say_they_are_a_mask_of_the_size_or_refused(size: list[int], counts: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.jsonl"
        path.write_text(line(0, {"size": size, "counts": counts}))
        try:
            found = read(path)[0]
        except FssbenchError:
            return
    assert decode(found).shape == tuple(size)
    assert encode(decode(found)) == found
