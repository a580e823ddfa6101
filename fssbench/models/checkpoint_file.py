"""What a checkpoint's file holds, without running anything in it.

Training code keeps more than weights: options, figures of numpy, schedulers. PyTorch refuses a file for any object that
it does not know. Here such an object becomes an `Unknown`, which has its name and does nothing, so that the tensors
beside it can be read.
"""

from __future__ import annotations

import re
import stat
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import torch

from fssbench.base.errors import CheckpointError
from fssbench.models.cards import SUFFIX, read_safetensors

__all__ = ["Unknown", "load_inert", "read_checkpoint_file"]

SAVE = "save the tensors alone: torch.save(model.state_dict(), PATH)"
BRING = "copy or download it again, and compare its size with the published one"
MAGIC = 0x1950A86A20F9469CFC6C.to_bytes(10, "little")
"""What torch.save's older format begins with, in a pickle of its own."""
ATTEMPTS = 200
"""Kinds of objects that a file may hold beside its tensors."""

# What a file begins with that is not a checkpoint, and what to do about it.
OTHERS: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\Z"), "is empty", BRING),
    (
        re.compile(rb"version https://git-lfs\."),
        "is a pointer of Git LFS, which stands for the file",
        "run git lfs pull where it comes from, and download the file itself",
    ),
    (
        re.compile(rb"\s*(<!doctype|<html|<\?xml|<head|<body)", re.IGNORECASE),
        "is a web page, which a server sent instead of the file",
        "open the address in a browser, sign in or confirm there, and download the file itself",
    ),
    (
        re.compile(rb"\s*[{\[]"),
        "is JSON",
        "name the file of the weights; those in several shards are to be joined into one file first",
    ),
    (re.compile(rb"\x89HDF"), "is an HDF5 file", SAVE),
    (
        re.compile(rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!"),
        "is a compressed archive",
        "unpack it, and pass what is in it",
    ),
)


class Unknown:
    """An object of a class that is not known here; made a list or a dictionary where the file fills it as one."""

    named: ClassVar[str] = ""
    made: ClassVar[type[list[Any] | OrderedDict[Any, Any]] | None] = None

    def __new__(cls, *args: object, **options: object) -> Any:
        """Nothing of what it was made of is kept, since making it again could run anything."""
        return super().__new__(cls) if cls.made is None else cls.made()

    def __init__(self, *args: object, **options: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Keep nothing."""


def read_checkpoint_file(path: Path) -> object:
    """What lies in a file of ``torch.save`` or safetensors, whichever its name says, with tensors on the CPU.

    Raises:
        CheckpointError: there is no such file, or it is another kind of file, or damaged.
    """
    head = _head(path)
    for begins, what, remedy in OTHERS:
        if begins.match(head):
            raise _unreadable(path, f"it {what}", remedy)
    if (path.suffix == SUFFIX and not head.startswith(b"PK")) or _is_safetensors(head):
        return read_safetensors(path)
    known: dict[str, type[Unknown]] = {}
    for _ in range(ATTEMPTS):
        try:
            inert = torch.serialization.safe_globals([(kind, name) for name, kind in known.items()])
            with path.open("rb") as file, inert:  # of a path, torch heeds the ending
                return load_inert(file)
        except Exception as error:  # damaged files make the unpickler raise almost anything
            if not _understood(str(error), known):
                raise _refused(path, error, head, known) from error
    raise _unreadable(path, f"it holds objects of very many classes, such as {next(iter(known))}", SAVE)


def load_inert(file: BinaryIO) -> Any:
    """Tensors and plain containers of a file of ``torch.save``; what torch thinks of its format is kept to itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def _understood(error: str, known: dict[str, type[Unknown]]) -> bool:
    """Whether the file may be read after all, with one more class in ``known``, or one of them seen as what it is."""
    if found := re.search(r"GLOBAL (\S+) was not an allowed global", error):
        name = found[1] if "." in found[1] else f"builtins.{found[1]}"
        module, _, called = name.rpartition(".")
        fresh = name not in known
        known[name] = type(called, (Unknown,), {"named": name, "__module__": module})
        return fresh
    if found := re.search(r"Can only (append|extend|SETITEMS?) .*got <class '(\S+)'>", error, re.DOTALL):
        kind = known.get(found[2])
        if kind is not None and kind.made is None:
            kind.made = OrderedDict if found[1].startswith("SET") else list
            return True
    return False


def _head(path: Path) -> bytes:
    if path.is_dir():
        files = sorted(one.name for one in path.iterdir() if one.suffix in (SUFFIX, ".pt", ".pth", ".ckpt", ".bin"))
        remedy = f"name the file in it, such as {path / files[0]}" if files else "name a file"
        raise _unreadable(path, "it is a folder", remedy)
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unreadable(path, "it is a pipe or a device, in which nobody can go back", "write it to a file first")
        with path.open("rb") as file:
            return file.read(512)
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no checkpoint {path}", remedy="check the path") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error), "check the path and its permissions") from error


def _is_safetensors(head: bytes) -> bool:
    """Whether it begins with the length of a header, and with that header."""
    return len(head) > 9 and head[8:9] == b"{" and 0 < int.from_bytes(head[:8], "little") < 100_000_000


def _refused(path: Path, error: Exception, head: bytes, known: Mapping[str, object]) -> CheckpointError:
    said = str(error)
    if found := re.search(r"GLOBAL (\S+) whose module", said):
        return _unreadable(path, f"it holds {found[1]}, which could run anything", SAVE)
    if "torchscript" in said.lower():
        return _unreadable(path, "it is a program of torch.jit, not tensors by name", SAVE)
    if "torch.distributed" in said:
        return _unreadable(path, "it holds tensors spread over processes", "save whole tensors in one process")
    if "persistent_load of storage" in said:
        return _unreadable(path, "it holds a model as a whole, which cannot be read without its code", SAVE)
    if "Unsupported operand" in said and (head.startswith((b"PK", b"\x80\x02")) or MAGIC in head):
        return _unreadable(path, "it was saved by another pickle_protocol than torch.save's own", SAVE)
    if known and re.search("Can only|Trying to call", said):
        return _unreadable(path, f"it holds objects that are not known here: {', '.join(known)}", SAVE)
    if head.startswith((b"\x80\x03", b"\x80\x04", b"\x80\x05")):
        return _unreadable(path, "it was written by pickle, not by torch.save", SAVE)
    if head.startswith((b"PK", b"\x80\x02")):
        size = f"{path.stat().st_size:,} bytes"
        return _unreadable(path, f"it is damaged or cut short ({size}), or torch.save did not write it", BRING)
    return _unreadable(path, "it does not begin like a file that torch.save wrote", BRING)


def _unreadable(path: Path, reason: str, remedy: str) -> CheckpointError:
    return CheckpointError(f"{path} cannot be read as a PyTorch checkpoint: {reason}", remedy=remedy)
