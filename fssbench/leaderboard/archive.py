"""Results packed into one archive: the same bytes for the same results."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import CheckpointError, ResultError
from fssbench.base.files import atomic_file, sha256_file
from fssbench.base.home import Home
from fssbench.base.listing import list_files
from fssbench.leaderboard.submission import (
    CARDS,
    LIST,
    RESULTS,
    SCHEMA_VERSION,
    card_is_of,
    files_of,
    kind_of,
    place_of,
)
from fssbench.models.cards import card_path, chosen_weights, read_card
from fssbench.results.check import Checked
from fssbench.schemas.card import Card
from fssbench.schemas.result import Result
from fssbench.schemas.submission import Packed, Submission

__all__ = ["Archive", "archive", "cards_of", "find_cards", "laid_out", "pack", "packed"]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """An archive that was written.

    Attributes:
        sha256: of the archive.
        n_bytes: of the archive.
        files: in it, its list not counted.
        without_card: the SHA-256 of checkpoints whose card is not in it.
    """

    sha256: str
    n_bytes: int
    files: tuple[Packed, ...]
    without_card: tuple[str, ...]


def archive(checked: Sequence[Checked], output: Path, *, cards: Path | None = None) -> Archive:
    """Write results, with all that they rest on and the cards of their checkpoints, into a tar file.

    Args:
        checked: results that were found sound.
        cards: the folder that cards lie in; ``None`` for the home, and wherever the weights lay.

    Raises:
        ResultError: two results are the same run, or a file is named as none in an archive may be.
    """
    results = [one.result for one in checked if one.result is not None]
    return pack(checked, output, cards=cards_of(results, folder=cards))


def cards_of(results: Sequence[Result], *, folder: Path | None = None) -> dict[str, Path]:
    """The cards of the results' checkpoints, by the checkpoint's SHA-256.

    Args:
        folder: where cards lie; ``None`` for the home, and wherever the weights lay.
    """
    return find_cards(results, _possible_cards(folder, results))


def _possible_cards(folder: Path | None, results: Iterable[Result]) -> list[Path]:
    if folder is not None:
        return _json_below(folder)
    weights = {
        str(one.command.resolved.get("weights") or "none").replace("{fold}", str(one.episodes.fold)) for one in results
    }
    beside = [card_path(chosen_weights(Path(one))) for one in sorted(weights - {"none"})]
    home = Home.find()
    return [*(_json_below(home.checkpoints) if home.is_known else ()), *beside]


def _json_below(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return list(list_files(folder, suffixes=(".json",), below=True, error=ResultError).files)


def find_cards(results: Iterable[Result], paths: Iterable[Path]) -> dict[str, Path]:
    """The files among ``paths`` that are cards of the results' checkpoints, by the checkpoint's SHA-256."""
    wanted = {one.model.checkpoint_sha256 for one in results if one.model.checkpoint_sha256}
    cards: dict[str, Path] = {}
    for path in paths if wanted else ():
        if (card := _card(path)) is not None:
            cards |= {sha256: path for sha256 in wanted - cards.keys() if card_is_of(card, sha256)}
    return cards


def _card(path: Path) -> Card | None:
    try:
        return read_card(path)
    except CheckpointError:
        return None


def pack(checked: Sequence[Checked], output: Path, *, cards: Mapping[str, Path]) -> Archive:
    """Write results, with all that they rest on, into a tar file.

    Args:
        checked: results that were found sound.
        cards: by the SHA-256 of the checkpoint they are of.

    Raises:
        ResultError: two results are the same run, or a file is named as none in an archive may be.
    """
    files = laid_out(checked, cards)
    listed = packed(files)
    _write(output, Submission(schema_version=SCHEMA_VERSION, kind="fssbench-submission", files=listed), files)
    checkpoints = {one.result.model.checkpoint_sha256 for one in checked if one.result is not None}
    without = sorted(sha256 for sha256 in checkpoints if sha256 is not None and sha256 not in cards)
    return Archive(sha256=sha256_file(output), n_bytes=output.stat().st_size, files=listed, without_card=tuple(without))


def laid_out(checked: Iterable[Checked], cards: Mapping[str, Path]) -> dict[str, Path]:
    """Results, all that they rest on, and cards, by the names that they have in an archive.

    Raises:
        ResultError: two results are the same run, or a file is named as none in an archive may be.
    """
    files = {f"{CARDS}/{sha256}.json": path for sha256, path in cards.items()}
    for one in checked:
        assert one.result is not None
        place = f"{RESULTS}/{place_of(one.result)}"
        if place in files:
            raise ResultError(f"{files[place]} and {one.path} are the same run", remedy="keep one of them")
        within = place.rpartition("/")[0]
        for n, path in enumerate(files_of(one.path, one.result)):
            files[place if n == 0 else f"{within}/{path.relative_to(one.path.parent).as_posix()}"] = path
    if strange := [path for name, path in files.items() if kind_of(name) is None]:
        raise ResultError(
            f"{strange[0]} has a name that no archive may have", remedy="give model and benchmark plain names"
        )
    return files


def packed(files: Mapping[str, Path]) -> tuple[Packed, ...]:
    """What a list says of files that are given by name."""
    return tuple(
        Packed(name=name, bytes=path.stat().st_size, sha256=sha256_file(path)) for name, path in sorted(files.items())
    )


def _write(output: Path, submission: Submission, files: Mapping[str, Path]) -> None:
    """Time, owner and mode of every file are fixed, so only content matters; nothing is compressed, likewise."""
    content = submission.to_json().encode()
    with atomic_file(output) as file, tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(_member(LIST, len(content)), io.BytesIO(content))
        for packed in submission.files:
            with files[packed.name].open("rb") as data:
                tar.addfile(_member(packed.name, packed.bytes), data)


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    member.mode = 0o644
    return member
