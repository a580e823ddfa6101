"""Every image file of a source: what kind it is, whether it is whole, and which are the same."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from fssbench.base.errors import SourceError
from fssbench.base.files import sha256_bytes
from fssbench.base.progress import Advance, no_progress
from fssbench.pipelines.formats import images
from fssbench.pipelines.sources.base import Picture
from fssbench.pipelines.sources.doctor.findings import Finding, found

__all__ = ["Seen", "examine_pictures"]


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one image file is.

    Attributes:
        mode: PIL's name of the colour space as stored, such as ``RGB``, ``L`` or ``CMYK``; empty if unreadable.
        orientation: EXIF orientation (1–8).
        content: SHA-256 of the file's bytes, or of the decoded pixels.
        fault: what is wrong with the file or its mask, if anything.
    """

    name: str
    part: str
    mode: str = ""
    orientation: int = 1
    content: str = ""
    fault: str = ""


def examine_pictures(
    pictures: Sequence[Picture], *, pixels: bool = False, advance: Advance = no_progress
) -> tuple[dict[str, int], list[Finding]]:
    """Counts by part, and what is odd.

    Args:
        pixels: decode every image, and compare pixels instead of bytes: slower, finds every damage.
    """
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        seen = list(pool.map(partial(_look, pixels=pixels, advance=advance), pictures))
    counts = {f"{part} images": n for part, n in sorted(Counter(one.part for one in seen).items())}
    return counts, [*_kinds(seen), *_duplicates(seen, "pixels" if pixels else "bytes")]


def _look(picture: Picture, *, pixels: bool, advance: Advance) -> Seen:
    """Examine one image; whatever is wrong becomes its fault."""
    name = picture.image_id
    try:
        data = picture.load()
        header = images.inspect(data, where=name, formats=picture.formats)
        if pixels:
            shown = images.decode(data, where=name)
            content = sha256_bytes(f"{shown.shape}".encode() + shown.tobytes())
        else:
            content = sha256_bytes(data)
    except SourceError as error:
        return Seen(name=name, part=picture.part, fault=error.problem)
    finally:
        advance(1)
    seen = partial(Seen, name=name, part=picture.part, mode=header.mode, orientation=header.orientation)
    try:
        if (size := picture.size()) is not None:
            images.fit_orientation(header, height=size[0], width=size[1], where=name)
    except SourceError as error:
        return seen(content=content, fault=error.problem)
    return seen(content=content)


def _kinds(seen: Sequence[Seen]) -> Iterator[Finding]:
    yield from found("error", "images or masks that are damaged or do not fit", (s.fault for s in seen if s.fault))
    yield from found("note", "grey images, decoded to three equal channels", (s.name for s in seen if s.mode == "L"))
    yield from found("note", "CMYK images, converted to RGB", (s.name for s in seen if s.mode == "CMYK"))
    yield from found(
        "note",
        "images whose EXIF asks to turn them, turned only where the annotated size needs it",
        (f"{s.name} ({s.orientation})" for s in seen if s.orientation != 1),
    )


def _duplicates(seen: Sequence[Seen], what: str) -> Iterator[Finding]:
    """Images of one content, apart by whether they cross from the tested images to the others."""
    groups: dict[str, list[Seen]] = defaultdict(list)
    for one in seen:
        if one.content:
            groups[one.content].append(one)
    same = [group for group in groups.values() if len(group) > 1]
    across = [group for group in same if len({one.part for one in group}) > 1]
    yield from found(
        "warning",
        f"groups of the same {what} among both test and training images",
        (" = ".join(f"{one.part} {one.name}" for one in group) for group in across),
    )
    for part in sorted({one.part for one in seen}):
        within = [group for group in same if {one.part for one in group} == {part}]
        yield from found(
            "warning" if part == "test" else "note",
            f"groups of the same {what} among {part} images",
            (" = ".join(one.name for one in group) for group in within),
        )
