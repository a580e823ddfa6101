"""The index of a training set: where every image stands in the shards, and what it shows, as a Parquet file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from fssbench.base import parquet
from fssbench.base.errors import TrainingSetError
from fssbench.base.files import sha256_bytes
from fssbench.pipelines.formats import masks
from fssbench.pipelines.formats.shards import sample_spans, training_samples
from fssbench.schemas.samples import TrainingSample

__all__ = ["Entry", "from_bytes", "index_shard", "to_bytes"]

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("shard", pa.int32()),
        ("offset", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("image_sha256", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("classes", pa.list_(pa.int32())),
        ("pixels", pa.list_(pa.int64())),
        ("ignored", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An image of a training set.

    Attributes:
        shard: its shard's place in the manifest.
        offset: where its sample begins in the shard, in bytes: with the first tar header.
        bytes: of the sample, tar headers and padding among them.
        sha256: of these bytes.
        image_sha256: of the image file alone.
        height: of the image, in pixels.
        width: likewise.
        areas: mask pixels by class index, of every class in the image.
        ignored: pixels of the ignore region.
    """

    image_id: str
    shard: int
    offset: int
    bytes: int
    sha256: str
    image_sha256: str
    height: int
    width: int
    areas: Mapping[int, int]
    ignored: int


def index_shard(data: bytes, number: int, *, where: str) -> list[Entry]:
    """The entries of a finished shard's bytes, the ``number``-th of its set."""
    spans = sample_spans(data, where=where).values()
    return [
        describe(sample, data[start:end], shard=number, offset=start)
        for sample, (start, end) in zip(training_samples(data, where=where), spans, strict=True)
    ]


def describe(sample: TrainingSample, stored: bytes, *, shard: int, offset: int) -> Entry:
    """The entry of a sample that is stored as these bytes."""
    meta = sample.meta
    return Entry(
        image_id=meta.image_id,
        shard=shard,
        offset=offset,
        bytes=len(stored),
        sha256=sha256_bytes(stored),
        image_sha256=sha256_bytes(sample.jpeg),
        height=meta.height,
        width=meta.width,
        areas={class_id: masks.area(mask) for class_id, mask in meta.masks.items()},
        ignored=0 if meta.ignore is None else masks.area(meta.ignore),
    )


def to_bytes(entries: Sequence[Entry]) -> bytes:
    """Entries as a Parquet file."""
    rows = [
        {name: getattr(entry, name) for name in SCHEMA.names if name not in ("classes", "pixels")}
        | {"classes": list(entry.areas), "pixels": list(entry.areas.values())}
        for entry in entries
    ]
    return parquet.encode(pa.Table.from_pylist(rows, schema=SCHEMA))


def from_bytes(data: bytes, *, where: str) -> dict[str, Entry]:
    """The entries of a Parquet index by image id; `TrainingSetError` naming ``where`` if it is none."""
    try:
        columns = parquet.read(data, columns=SCHEMA.names).to_pydict()
        rows = zip(*(columns[name] for name in SCHEMA.names), strict=True)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise TrainingSetError(f"{where} is not an index of images: {error}", remedy="prepare the set again") from error
    entries: dict[str, Entry] = {}
    for row in rows:
        cells = dict(zip(SCHEMA.names, row, strict=True))
        areas = dict(zip(cells.pop("classes"), cells.pop("pixels"), strict=True))
        entries[cells["image_id"]] = Entry(areas=areas, **cells)
    if len(entries) != len(columns["image_id"]):
        raise TrainingSetError(f"{where} lists an image twice", remedy="prepare the set again with --overwrite")
    return entries
