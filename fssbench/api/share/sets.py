"""Episode sets and training sets that travel: a folder each, whose manifest pins all other files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.api.share.travel import Shared
from fssbench.base.errors import EpisodeSetError, StorageError
from fssbench.base.files import atomic_folder, require_room, write_atomic
from fssbench.base.progress import Report
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet, find_sets
from fssbench.pipelines.formats.shards import read_checked
from fssbench.pipelines.training_sets.check_training_set import verify_training_set
from fssbench.pipelines.training_sets.training_set import FOLDER, TRAINING, TrainingSet, find_training_sets
from fssbench.pipelines.transport import Place
from fssbench.pipelines.transport.upload import Shelf
from fssbench.schemas.manifest import FileRecord

__all__ = ["SetFiles", "pull_sets", "push_sets", "sets_at"]


@dataclass(frozen=True)
class SetFiles:
    """A set's files.

    Attributes:
        place: the set's folder.
        name: where it lies below a root, such as ``coco-20i/strict/fold0``.
        manifest: the name of its manifest.
        files: all others, as the manifest records them.
    """

    place: Place
    name: str
    manifest: str
    files: tuple[FileRecord, ...]

    @property
    def n_bytes(self) -> int:
        """Of all files but the manifest."""
        return sum(record.bytes for record in self.files)

    def shared(self, path: str, *, there: bool) -> Shared:
        """This set, as it lies at ``path`` now."""
        return Shared(kind="set", path=path, n_files=len(self.files) + 1, n_bytes=self.n_bytes, there=there)


def sets_at(place: Place) -> tuple[SetFiles, ...]:
    """Every episode set and training set at a place."""
    return tuple(_sets(place))


def _sets(place: Place) -> Iterator[SetFiles]:
    for path in find_sets(place):
        opened = EpisodeSet.open(path).manifest
        name = f"{opened.benchmark}/{opened.protocol.name}/fold{opened.fold}"
        yield SetFiles(path, name, MANIFEST, (opened.lock, *opened.shards))
    for path in find_training_sets(place):
        images = TrainingSet.open(path).manifest
        yield SetFiles(path, f"{images.benchmark}/{FOLDER}", TRAINING, (images.index, *images.shards))


def push_sets(
    sets: Sequence[SetFiles], shelf: Shelf, address: str, *, overwrite: bool, report: Report
) -> tuple[Shared, ...]:
    """Verify sets, and then bring each to a shelf under its name.

    Raises:
        EpisodeSetError: a set is damaged.
        StorageError: another set of that name is there and ``overwrite`` is not set, or the place refuses.
    """
    for one in sets:
        _verify(one, report)
    return tuple(_push(one, shelf, address, overwrite=overwrite, report=report) for one in sets)


def _push(one: SetFiles, shelf: Shelf, address: str, *, overwrite: bool, report: Report) -> Shared:
    here, path = one.place, f"{address}/{one.name}"
    assert isinstance(here, Path)
    there = shelf.read(f"{one.name}/{one.manifest}")
    if there == (here / one.manifest).read_bytes():
        return one.shared(path, there=True)
    if there is not None and not overwrite:
        raise StorageError(
            f"{path} is there already, and is another set",
            remedy="pass --overwrite to replace it, or another address",
        )
    names = [*(record.name for record in one.files), one.manifest]
    with report.progress(f"pushing {one.name}", one.n_bytes, unit="bytes") as advance:
        shelf.write({f"{one.name}/{name}": here / name for name in names}, advance=advance)
    return one.shared(path, there=False)


def pull_sets(sets: Sequence[SetFiles], folder: Path, *, overwrite: bool, report: Report) -> tuple[Shared, ...]:
    """Copy sets into a folder, each under its name.

    Raises:
        EpisodeSetError: a file is not the one its manifest pins.
        StorageError: another set is in the way and ``overwrite`` is not set, or the disk has not the room.
    """
    return tuple(_pull(one, folder / one.name, overwrite=overwrite, report=report) for one in sets)


def _pull(one: SetFiles, target: Path, *, overwrite: bool, report: Report) -> Shared:
    manifest = (one.place / one.manifest).read_bytes()
    if (target / one.manifest).is_file() and (target / one.manifest).read_bytes() == manifest:
        return one.shared(str(target), there=True)
    if target.exists() and not overwrite:
        raise StorageError(
            f"{target} is in the way: it is not this set", remedy="pass --overwrite to replace it, or another folder"
        )
    require_room(one.n_bytes, target.parent, what=f"{one.name} takes")
    with (
        report.progress(f"pulling {one.name}", one.n_bytes, unit="bytes") as advance,
        atomic_folder(target) as partial,
    ):
        for record in one.files:
            write_atomic(partial / record.name, read_checked(one.place, record))
            advance(record.bytes)
        write_atomic(partial / one.manifest, manifest)
    return one.shared(str(target), there=False)


def _verify(one: SetFiles, report: Report) -> None:
    check = verify_set if one.manifest == MANIFEST else verify_training_set
    with report.progress(f"verifying {one.name}", one.n_bytes, unit="bytes") as advance:
        problems = check(one.place, advance=advance).problems
    if problems:
        raise EpisodeSetError(
            f"{one.place} is damaged, so nothing was pushed: {problems[0]}", remedy="prepare it again with --overwrite"
        )
