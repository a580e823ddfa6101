"""What a user's class says of itself: that it is said as it must be, and the weights that it names."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from fssbench.base.errors import ModelError
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.models.backbones import BackboneInfo
from fssbench.models.blame import blamed
from fssbench.models.interface import FewShotSegmenter, Preprocess, Regime

__all__ = ["require_described", "sha256_of", "weights_of"]


def require_described(model: FewShotSegmenter) -> None:
    """Raise `ModelError` for what a user's class says of itself in another form than `FewShotSegmenter` has it."""
    wanted: tuple[tuple[str, object, bool, str], ...] = (
        ("preprocess", model.preprocess, isinstance(model.preprocess, Preprocess), "Preprocess(size=…)"),
        ("regime", model.regime, model.regime in (None, *get_args(Regime)), f"one of {', '.join(get_args(Regime))}"),
        (
            "backbone_info",
            model.backbone_info,
            isinstance(model.backbone_info, (BackboneInfo, type(None))),
            "a fssbench.models.backbones.BackboneInfo, or None",
        ),
    )
    for name, value, fine, expected in wanted:
        if not fine:
            raise ModelError(
                f"{type(model).__name__} has {value!r} as its {name}, expected {expected}", remedy=f"set {name} to that"
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
