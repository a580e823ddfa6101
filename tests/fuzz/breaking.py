"""Ways to break one file or folder, each of them seen in the field: bytes, structure, values, names, permissions."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

__all__ = ["break_something"]

Draw = Callable[[st.SearchStrategy[Any]], Any]

VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 2, 255, 256, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, -(2**63) - 1, 0.5, -0.0, 1e308,
    1e-320, float("nan"), float("inf"), -float("inf"), "", " ", "0", "1", "nan", "../x", "/", "a/b", "\0", "\n", "é",
    "\ud800", "中" * 40, "x" * 5_000, [], {}, [None], [[]], [0], [1.5, "a"], {"a": None}, [[1, 2, 3, 4, 5, 6]],
    {"counts": "", "size": [1, 1]}, {"counts": [10**12], "size": [36, 48]}, {"counts": [1, 2], "size": [10**9, 10**9]},
]  # fmt: skip
NAMES = [
    ".DS_Store", "Thumbs.db", "desktop.ini", "._x", ".x", "x~", "x.json", "x.JPG", "a b", "é", "e\u0301", "中", "'",
    '"', "[x]", "*", "{fold}", "x.partial", "x\ny", "-x", "%s", "x" * 200, "x.png.jpg", "con", "0", "..x",
]  # fmt: skip
PIECES = [
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b"\n\n",
    b"{}",
    b"[" * 100_000,
    b'"',
    b"NaN",
    b"\x1b[31m",
    b"1e999",
    b"-",
    b"\\",
]


def _flip(draw: Draw, old: bytes) -> bytes:
    place = draw(st.integers(0, max(len(old) - 1, 0)))
    return old[:place] + bytes([draw(st.integers(0, 255))]) + old[place + 1 :]


def _insert(draw: Draw, old: bytes) -> bytes:
    place = draw(st.integers(0, len(old)))
    piece: bytes = draw(st.sampled_from(PIECES))
    return old[:place] + piece + old[place:]


def _doubled(draw: Draw, old: bytes) -> bytes:
    a, b = sorted((draw(st.integers(0, len(old))), draw(st.integers(0, len(old)))))
    return old[:b] + old[a:]


BYTES: dict[str, Callable[[Draw, bytes], bytes]] = {
    "cut": lambda draw, old: old[: draw(st.integers(0, len(old)))],
    "emptied": lambda draw, old: b"",
    "flipped": _flip,
    "inserted": _insert,
    "doubled": _doubled,
    "zeroed": lambda draw, old: b"\0" * len(old),
    "begun with a mark": lambda draw, old: b"\xef\xbb\xbf" + old,
    "of DOS lines": lambda draw, old: old.replace(b"\n", b"\r\n"),
    "in UTF-16": lambda draw, old: old.decode("utf-8", "replace").encode("utf-16"),
    "another's": lambda draw, old: (
        draw(st.sampled_from([b"GIF89a", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"<html>", b"\x80\x04."])) + old
    ),
}


def _spot(draw: Draw, tree: Any) -> tuple[Any, Any] | None:
    """A container in a JSON tree and a key of it."""
    found = None
    while isinstance(tree, dict | list) and tree:
        key = draw(st.sampled_from(sorted(tree))) if isinstance(tree, dict) else draw(st.integers(0, len(tree) - 1))
        found = (tree, key)
        if not draw(st.integers(0, 4)):
            break
        tree = tree[key]
    return found


def _structure(draw: Draw, tree: Any) -> str:
    """Change one place of a JSON tree; returns what was done."""
    if (spot := _spot(draw, tree)) is None:
        return "nothing"
    where, key = spot
    how = draw(st.sampled_from(["value", "value", "gone", "doubled", "wrapped", "as text", "renamed"]))
    if how == "gone":
        del where[key]
    elif how == "doubled" and isinstance(where, list):
        where.insert(key, where[key])
    elif how == "wrapped":
        where[key] = [where[key]]
    elif how == "as text":
        where[key] = str(where[key])
    elif how == "renamed" and isinstance(where, dict):
        where[draw(st.sampled_from(["", "id", "X", key.upper()]))] = where.pop(key)
    else:
        where[key] = draw(st.sampled_from(VALUES))
    return f"{how} at {str(key)[:40]}"


def _picture(draw: Draw) -> bytes:
    """A picture of some odd kind."""
    mode = draw(st.sampled_from(["L", "RGB", "RGBA", "P", "CMYK", "1", "I;16", "I", "F", "LA", "YCbCr"]))
    form = draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF", "BMP", "WEBP"]))
    size = draw(st.sampled_from([(1, 1), (48, 36), (36, 48), (40, 30), (32, 24), (3000, 1), (24, 20)]))
    buffer = io.BytesIO()
    image = Image.new(mode, size)
    image.putdata([0, 1, 255, 7] * (size[0] * size[1] // 4)) if mode in ("L", "P") else None
    try:
        image.save(buffer, form)
    except (OSError, ValueError, KeyError):  # not every form takes every mode
        Image.fromarray(np.full((*size[::-1], 3), 128, np.uint8)).save(buffer, "PNG")
    data = buffer.getvalue()
    if form == "PNG" and draw(st.booleans()):  # a header that promises more pixels than anyone has memory for
        data = data[:16] + draw(st.sampled_from([b"\0\0\xff\xff" * 2, b"\x7f\xff\xff\xff" * 2, b"\0" * 8])) + data[24:]
    return data


def _rename(draw: Draw, path: Path) -> str:
    name = draw(
        st.sampled_from([*NAMES, path.name.upper(), path.stem, f"._{path.name}", f"{path.name}.bak", f" {path.name}"])
    )
    target = path.with_name(name)
    if target.exists() or os.path.lexists(target):
        return "nothing"
    path.rename(target)
    return f"renamed to {name!r}"


def _litter(draw: Draw, path: Path) -> str:
    """Something beside a file that is none of the data's."""
    name = draw(st.sampled_from([*NAMES, f"._{path.name}", ".ipynb_checkpoints", f"copy of {path.name}"]))
    what, there = draw(st.sampled_from(["empty", "bytes", "copy", "folder", "dead link", "loop"])), path.with_name(name)
    if os.path.lexists(there):
        return "nothing"
    if what == "folder":
        there.mkdir()
        if path.is_file():
            shutil.copy(path, there / path.name)
    elif what == "dead link":
        there.symlink_to("nowhere")
    elif what == "loop":
        there.symlink_to(".")
    else:
        there.write_bytes(
            {"empty": b"", "bytes": b"\0\5\x16\7" * 9, "copy": path.read_bytes() if path.is_file() else b""}[what]
        )
    return f"beside it {name!r} ({what})"


def _replaced(draw: Draw, path: Path) -> str:
    """A file or folder of which something else is there, or nothing."""
    what: str = draw(st.sampled_from(["nothing", "folder", "dead link", "link to itself", "unreadable"]))
    if what == "unreadable":
        path.chmod(0)
        return what
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if what == "folder":
        path.mkdir()
    elif what != "nothing":
        path.symlink_to("nowhere" if what == "dead link" else path.name)
    return f"now {what}"


def break_something(draw: Draw, root: Path) -> str:
    """Break one thing below ``root``; returns in words what."""
    paths = sorted(path for path in root.rglob("*") if not path.is_symlink() and "\n" not in path.name)
    if not paths:
        return "nothing"
    # Few files say much, many say little: kinds come first, then one of the kind.
    suffix = draw(st.sampled_from(sorted({path.suffix for path in paths})))
    path = draw(st.sampled_from([path for path in paths if path.suffix == suffix]))
    return f"{path.relative_to(root)}: {_break(draw, path)}"


def _break(draw: Draw, path: Path) -> str:
    kind = draw(st.sampled_from(["content", "content", "content", "content", "name", "litter", "replaced"]))
    if kind == "name":
        return _rename(draw, path)
    if kind == "litter":
        return _litter(draw, path)
    if kind == "replaced" or not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
        return _replaced(draw, path)
    if path.suffix == ".json" and draw(st.integers(0, 3)):
        try:
            tree = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            return "nothing"
        done = _structure(draw, tree)
        path.write_text(json.dumps(tree), encoding="utf-8")
        return done
    if path.suffix.lower() in (".png", ".jpg") and draw(st.booleans()):
        path.write_bytes(_picture(draw))
        return "another picture"
    if path.suffix in (".toml", ".txt") and draw(st.booleans()):
        return _line(draw, path)
    how: str = draw(st.sampled_from(sorted(BYTES)))
    path.write_bytes(BYTES[how](draw, path.read_bytes()))
    return how


def _line(draw: Draw, path: Path) -> str:
    """Another line of a text, or another value in it."""
    lines = path.read_bytes().decode("utf-8", "replace").splitlines() or [""]
    n = draw(st.integers(0, len(lines) - 1))
    head, equals, _ = lines[n].partition("=")
    value = draw(
        st.sampled_from(
            [
                "",
                "[]",
                "{}",
                "nan",
                "-1",
                "1e400",
                '""',
                '"x"',
                "99999999999999999999",
                "true",
                "[[]]",
                "1979-05-27",
                "[1, 'a']",
            ]
        )
    )
    lines[n] = draw(
        st.sampled_from(
            [f"{head}{equals} {value}", value, lines[n] * 2, "", f"# {lines[n]}", f"{lines[n]}\t1", f"{lines[n]}/.."]
        )
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {n} is {lines[n][:60]!r}"
