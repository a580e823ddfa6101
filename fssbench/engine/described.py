"""What a user's class says of itself: that it is said as it must be, and the weights that it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import numpy as np

from fssbench.base.errors import ModelError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.models.backbones import BackboneInfo
from fssbench.models.blame import blamed
from fssbench.models.interface import FewShotSegmenter, Preprocess, Regime

__all__ = ["require_described", "sha256_of", "weights_of"]

WANTED: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "preprocess": (lambda value: isinstance(value, Preprocess), "Preprocess(size=…)"),
    "regime": (lambda value: value in (None, *get_args(Regime)), f"one of {', '.join(get_args(Regime))}"),
    "backbone_info": (
        lambda value: isinstance(value, (BackboneInfo, type(None))),
        "a fssbench.models.backbones.BackboneInfo, or None",
    ),
}
"""What a class says of itself, and in which form."""
SHAPES = ((96, 128), (90, 160), (128, 64))
"""Of images by which somebody's own `Preprocess` is tried."""


def require_described(model: FewShotSegmenter) -> None:
    """Raise `ModelError` for what a user's class says of itself in another form than `FewShotSegmenter` has it."""
    for name, (fine, expected) in WANTED.items():
        with blamed(model, doing=f"in {name}"):  # which may be a property
            value = getattr(model, name)
        if not fine(value):
            raise ModelError(
                f"{type(model).__name__} has {value!r} as its {name}, expected {expected}", remedy=f"set {name} to that"
            )
    if type(model.preprocess) is not Preprocess:
        with blamed(model, doing="in its own preprocess"):
            _require_one_geometry(model.preprocess)


def _require_one_geometry(preprocess: Preprocess) -> None:
    """Raise `ModelError` unless somebody's own `Preprocess` lays image, mask and answer in the same place."""
    for height, width in SHAPES:
        corner = np.zeros((height, width), dtype=np.bool_)
        corner[height * 5 // 8 :, width * 5 // 8 :] = True  # off the centre, so that it lies elsewhere if stretched
        geometry = preprocess.geometry((height, width))
        white = np.repeat(corner[..., None], 3, axis=2).astype(np.uint8) * 255
        seen = (preprocess.image(white).float() - preprocess.image(0 * white).float()).mean(dim=0) > 127
        for what, there in (("image", seen), ("mask", preprocess.mask(corner))):
            laid = Preprocess.mask(preprocess, corner)
            if there.shape != laid.shape or int((there & laid).sum()) * 2 < int((there | laid).sum()):
                raise ModelError(
                    f"{type(preprocess).__name__}.{what} lays a {height}×{width} image elsewhere than geometry says, "
                    f"which puts it at {geometry.content[0]}×{geometry.content[1]} of "
                    f"{geometry.input[0]}×{geometry.input[1]}: masks would come back in the wrong place",
                    remedy="say it with resize, pad_multiple and pad_where of Preprocess, or override geometry as well",
                )


def weights_of(model: FewShotSegmenter) -> dict[str, str]:
    """SHA-256 of the weights that a model says it loaded, by a name that says nothing of where they lie."""
    found: dict[str, str] = {}
    with blamed(model, doing="in weights_files"):
        files = [Path(path) for path in model.weights_files()]
    for path in files:
        if not path.exists():
            raise ModelError(
                f"{type(model).__name__}.weights_files names {path}, which is not there",
                remedy="name the files or folders that it loaded its weights from",
            )
        name = path.name if path.name not in found else f"{path.parent.name}/{path.name}"
        found[name] = sha256_of(path)
    return found


def sha256_of(path: Path) -> str:
    """Of a file, or of a line a file of a folder."""
    if path.is_file():
        return sha256_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    lines = (f"{sha256_file(file)}  {file.relative_to(path).as_posix()}\n" for file in files)
    return sha256_bytes("".join(lines).encode())
