"""What the tests of downloads share: a server with a file, archives, and what a catalogue says of them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from file_server import FileServer

from fssbench.pipelines.transport.download import Holding, Patience, RemoteFile

BODY = hashlib.shake_256(b"fssbench").digest(300_000)
HURRY = Patience(silence=0.3, attempts=3, pause=0.001)


def remote(server: FileServer, name: str = "data.bin", **facts: object) -> RemoteFile:
    """What a catalogue may say of a file of the server."""
    return RemoteFile.model_validate({"name": name, "url": server.url(name)} | facts)


def pinned(server: FileServer) -> RemoteFile:
    """The file with all that can be known of it."""
    return remote(server, bytes=len(BODY), sha256=hashlib.sha256(BODY).hexdigest())


def left(folder: Path) -> set[str]:
    """Names of the files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def zipped(path: Path, members: dict[str, bytes], *, edit: Callable[[zipfile.ZipInfo], None] = lambda _: None) -> Path:
    """A zip of files; ``edit`` may change what it says of each."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            edit(info)
            archive.writestr(info, data)
    return path


def tarred(path: Path, members: dict[str, bytes], *, kind: bytes = tarfile.REGTYPE, target: str = "") -> Path:
    """A tar of files, or of links to ``target``."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            info.size = len(data) if kind == tarfile.REGTYPE else 0
            archive.addfile(info, io.BytesIO(data))
    return path


def holding(server: FileServer, folder: Path, **facts: object) -> Holding:
    data = server.files["val2014.zip"]
    known = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "there": ["val2014", "images/val2014"]}
    return Holding(file=remote(server, "val2014.zip", **(known | facts)), folder=folder)
