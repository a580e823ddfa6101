"""What the files and folders of models, results and checkpoints are called."""

from __future__ import annotations

import re
from pathlib import Path

from fssbench.base.files import sha256_bytes
from fssbench.schemas.result import ModelRecord

__all__ = ["checkpoint_label", "file_name", "results_folder"]


def file_name(model: str) -> str:
    """A model's name as part of a file's: of ``path/to/mine.py:Net`` it is ``mine-Net``."""
    return Path(model).name.replace(".py:", "-")


def results_folder(record: ModelRecord) -> str:
    """A folder name for a model's results: readable, and different for different weights or options."""
    parts = [file_name(record.name), *filter(None, [_in_a_name(record.backbone)])]
    # What the weights' card says of them is as good as said by their hash.
    told = record.model_dump_json(exclude={"selection", "trained", "pretrained", *record.later_fields})
    return "-".join([*parts, sha256_bytes(told.encode())[:8]])


def checkpoint_label(name: str, *, backbone: str | None, shot: int = 1) -> str:
    """What a model's checkpoints are called in the home: ``hsnet-resnet50``.

    ``shot`` is that of a model which is built for a number of shots.
    """
    return "-".join([file_name(name), *filter(None, [_in_a_name(backbone)]), *([f"{shot}shot"] if shot > 1 else [])])


def _in_a_name(backbone: str | None) -> str | None:
    """A backbone as part of a file's name: ``timm:resnet50`` is ``timm-resnet50``."""
    return re.sub(r"[:/\\]", "-", backbone) if backbone else None
