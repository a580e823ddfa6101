"""What an archive of results holds, and where each file of it stands.

``submission.json`` lists every other file with its SHA-256. Results stand where eval would have put them, with their
counts and, if they were kept, their masks; the cards of checkpoints stand under the SHA-256 of the weights they are of.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Literal

from fssbench.base.errors import FssbenchError
from fssbench.base.files import is_file_name
from fssbench.results.naming import results_folder
from fssbench.results.predictions import INDEX, StoredPredictions
from fssbench.schemas.card import Card
from fssbench.schemas.result import Result

__all__ = [
    "CARDS",
    "LIMITS",
    "LIST",
    "RESULTS",
    "SCHEMA_VERSION",
    "card_is_of",
    "files_of",
    "kind_of",
    "place_of",
]

SCHEMA_VERSION: Literal[1] = 1
LIST = "submission.json"
RESULTS, CARDS = "results", "cards"

MIB = 2**20
LIMITS = {
    "list": 64 * MIB,
    "card": MIB,
    "result": 64 * MIB,
    "counts": 512 * MIB,
    "index": 16 * MIB,
    "shard": 2048 * MIB,
}
"""Bytes that a file of each kind may have; real ones stay far below."""

PART = r"(?!\.)[^/\\]{1,200}"
RUN = rf"{RESULTS}/{PART}/{PART}/{PART}/fold\d{{1,4}}-\d{{1,4}}shot-seed\d{{1,9}}"
KINDS = {
    "list": re.compile(re.escape(LIST)),
    "card": re.compile(rf"{CARDS}/[0-9a-f]{{64}}\.json"),
    "result": re.compile(rf"{RUN}\.json"),
    "counts": re.compile(rf"{RUN}\.counts\.parquet"),
    "index": re.compile(rf"{RUN}\.predictions/{re.escape(INDEX)}"),
    "shard": re.compile(rf"{RUN}\.predictions/predictions-\d{{6}}\.tar"),
}


def kind_of(name: str) -> str | None:
    """What the file of that name in an archive is, such as ``result``; ``None`` if it has no business there."""
    if not name.isprintable():
        return None
    return next((kind for kind, pattern in KINDS.items() if pattern.fullmatch(name)), None)


def place_of(result: Result) -> str:
    """Where a result stands in an archive, and below a folder of results: the same for the same run."""
    asked = result.episodes
    name = f"fold{asked.fold}-{asked.shot}shot-seed{asked.seed}.json"
    return "/".join((asked.benchmark, asked.protocol, results_folder(result.model), name))


def files_of(path: Path, result: Result) -> list[Path]:
    """The result at ``path`` and all that it rests on, as far as it can be told."""
    files = [path]
    if is_file_name(result.counts.file):
        files.append(path.with_name(result.counts.file))
    if result.predictions is not None and is_file_name(result.predictions.folder):
        folder = path.with_name(result.predictions.folder)
        files.append(folder / INDEX)
        with suppress(FssbenchError):  # whoever checks the result says what is wrong
            files += [folder / shard.name for shard in StoredPredictions.open(folder).manifest.shards]
    return files


def card_is_of(card: Card, checkpoint_sha256: str) -> bool:
    """Whether a card is of the checkpoint a model ran with, or of what that was converted to."""
    return checkpoint_sha256 in (card.weights_sha256, card.converted_from_sha256)
