"""What the checks of episode sets and of training sets begin with: the set opens, and its files are those it lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fssbench.base.errors import FssbenchError
from fssbench.base.files import sha256_bytes
from fssbench.base.listing import is_litter
from fssbench.base.progress import Advance
from fssbench.pipelines.formats import images
from fssbench.pipelines.transport import Place, Remote
from fssbench.schemas.manifest import FileRecord
from fssbench.schemas.samples import ImageMeta, TrainingMeta

__all__ = ["SetCheck", "Verdict", "check_set"]


@dataclass
class Verdict:
    """What `verify_set` found.

    Attributes:
        path: the set's folder, here or elsewhere.
        problems: one line each, in the order found; none if the set is sound.
        files: number of files checked.
        images: image samples read.
        episodes: episode samples read.
        redrawn: tracks that were drawn again from the set's own images and came out the same.
    """

    path: Place
    problems: list[str] = field(default_factory=list)
    files: int = 0
    images: int = 0
    episodes: int = 0
    redrawn: int = 0


def check_set(path: Place, check: Callable[[Place, Verdict], None]) -> Verdict:
    """What ``check`` finds, which opens the set; what keeps it from going on is the last problem."""
    verdict = Verdict(path)
    try:
        # A set elsewhere is to be seen as it is there, not as it was when it was fetched.
        check(path if isinstance(path, Path) else path.uncached(), verdict)
    except FssbenchError as error:
        verdict.problems.append(error.problem)
    return verdict


class SetCheck:
    """One pass over one set; each method checks one thing and adds to the verdict's problems."""

    def __init__(self, place: Place, verdict: Verdict, advance: Advance) -> None:
        self.place = place
        self.verdict = verdict
        self.advance = advance

    def wrong(self, text: str) -> None:
        """Note a problem."""
        self.verdict.problems.append(text)

    def listing(self, manifest: str, *names: str) -> None:
        """The folder holds what the manifest lists, once, and nothing else."""
        listed = Counter((manifest, *names))
        for name, times in listed.items():
            if times > 1:
                self.wrong(f"{manifest}: {name} is listed {times} times")
        if isinstance(self.place, Path):  # elsewhere, folders cannot be listed
            for file in sorted(self.place.iterdir()):
                if file.name not in listed and not is_litter(file.name):
                    self.wrong(f"{file.name}: not listed in {manifest}")

    def read(self, record: FileRecord) -> bytes | None:
        """A file's bytes, ``None`` if it cannot be read; whatever differs from its record is noted."""
        self.verdict.files += 1
        data = self._read(record)
        self.advance(len(data or b""))
        return data

    def _read(self, record: FileRecord) -> bytes | None:
        try:
            if isinstance(self.place, Remote):  # what lies elsewhere is what the manifest says, or it cannot be read
                return self.place.read_checked(record)
            data = (self.place / record.name).read_bytes()
        except FssbenchError as error:
            self.wrong(f"{record.name}: {error.problem}")
            return None
        except OSError as error:
            self.wrong(f"{record.name}: cannot be read ({error.strerror})")
            return None
        if len(data) != record.bytes:
            self.wrong(f"{record.name}: has {len(data):,} bytes, the manifest says {record.bytes:,}")
        if (found := sha256_bytes(data)) != record.sha256:
            self.wrong(f"{record.name}: its SHA-256 is {found}, the manifest says {record.sha256}")
        return data

    def image_file(self, data: bytes, meta: ImageMeta | TrainingMeta, where: str) -> None:
        """An image file is whole, and as large and as turned as its sample says; `SourceError` if it is not."""
        header = images.inspect(data, where=where, formats=images.FORMATS)
        if images.fit_orientation(header, height=meta.height, width=meta.width, where=where) != meta.orientation:
            self.wrong(f"{where} has EXIF orientation {header.orientation}, its sample says {meta.orientation}")
