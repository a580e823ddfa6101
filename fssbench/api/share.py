"""Sets brought to where others read them, and back to a folder: checked before they leave, and when they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import EpisodeSetError, StorageError
from fssbench.base.files import atomic_folder, require_room, write_atomic
from fssbench.base.progress import SILENT, Report
from fssbench.pipelines.episode_sets.check_episode_set import verify_set
from fssbench.pipelines.episode_sets.episode_set import MANIFEST, EpisodeSet, find_sets
from fssbench.pipelines.formats.shards import read_checked
from fssbench.pipelines.training_sets.check_training_set import verify_training_set
from fssbench.pipelines.training_sets.training_set import FOLDER, TRAINING, TrainingSet, find_training_sets
from fssbench.pipelines.transport import Place, Remote
from fssbench.pipelines.transport.upload import Shelf, shelf_at
from fssbench.schemas.manifest import FileRecord

__all__ = ["Shared", "pull", "push"]


@dataclass(frozen=True)
class Shared:
    """A set as it travels.

    Attributes:
        name: where it lies below a root, such as ``coco-20i/strict/fold0``.
        manifest: the name of its manifest.
        files: all others, as the manifest records them.
        there: whether it was there already, so that nothing travelled.
    """

    place: Place
    name: str
    manifest: str
    files: tuple[FileRecord, ...]
    there: bool = False

    @property
    def n_bytes(self) -> int:
        """Of all files but the manifest."""
        return sum(record.bytes for record in self.files)


def push(folder: Path, address: str, *, overwrite: bool = False, report: Report = SILENT) -> tuple[Shared, ...]:
    """Bring every set below a folder to an address, under the names that `eval --data` looks for.

    A set is verified before anything of it leaves. Its manifest goes last, so that readers never see a part.

    Raises:
        EpisodeSetError: there is no set, or one is damaged.
        StorageError: another set of that name is there and ``overwrite`` is not set, or the place refuses.
        UsageError: nothing can be written to such an address.
    """
    shelf = shelf_at(address)
    found = tuple(_sets(folder))
    if not found:
        raise EpisodeSetError(f"there is no set in {folder}", remedy="pass what prepare was given as --output")
    for one in found:
        _verify(one, report)
    return tuple(_push(one, shelf, address, overwrite=overwrite, report=report) for one in found)


def _push(one: Shared, shelf: Shelf, address: str, *, overwrite: bool, report: Report) -> Shared:
    here = one.place
    assert isinstance(here, Path)
    there = shelf.read(f"{one.name}/{one.manifest}")
    if there == (here / one.manifest).read_bytes():
        return Shared(one.place, one.name, one.manifest, one.files, there=True)
    if there is not None and not overwrite:
        raise StorageError(
            f"{address}/{one.name} is there already, and is another set",
            remedy="pass --overwrite to replace it, or another address",
        )
    names = [*(record.name for record in one.files), one.manifest]
    with report.progress(f"pushing {one.name}", one.n_bytes, unit="bytes") as advance:
        shelf.write({f"{one.name}/{name}": here / name for name in names}, advance=advance)
    return one


def pull(place: Place, folder: Path, *, overwrite: bool = False, report: Report = SILENT) -> tuple[Shared, ...]:
    """Copy every set at a place into a folder, each under its name; every byte is checked as it comes.

    Raises:
        EpisodeSetError: there is no set, or a file is not the one its manifest pins.
        StorageError: another set is in the way and ``overwrite`` is not set, or the disk has not the room.
    """
    if isinstance(place, Remote):
        place = place.uncached()  # what comes is kept in the folder, not twice
    found = tuple(_sets(place))
    if not found:
        raise EpisodeSetError(
            f"there is no set at {place}", remedy="give the address that push was given, or one set's own"
        )
    return tuple(_pull(one, folder / one.name, overwrite=overwrite, report=report) for one in found)


def _pull(one: Shared, target: Path, *, overwrite: bool, report: Report) -> Shared:
    manifest = (one.place / one.manifest).read_bytes()
    if (target / one.manifest).is_file() and (target / one.manifest).read_bytes() == manifest:
        return Shared(one.place, one.name, one.manifest, one.files, there=True)
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
    return one


def _sets(place: Place) -> Iterator[Shared]:
    for path in find_sets(place):
        opened = EpisodeSet.open(path).manifest
        name = f"{opened.benchmark}/{opened.protocol.name}/fold{opened.fold}"
        yield Shared(path, name, MANIFEST, (opened.lock, *opened.shards))
    for path in find_training_sets(place):
        images = TrainingSet.open(path).manifest
        yield Shared(path, f"{images.benchmark}/{FOLDER}", TRAINING, (images.index, *images.shards))


def _verify(one: Shared, report: Report) -> None:
    check = verify_set if one.manifest == MANIFEST else verify_training_set
    with report.progress(f"verifying {one.name}", one.n_bytes, unit="bytes") as advance:
        problems = check(one.place, advance=advance).problems
    if problems:
        raise EpisodeSetError(
            f"{one.place} is damaged, so nothing was pushed: {problems[0]}", remedy="prepare it again with --overwrite"
        )
