"""What a training run leaves on disk, and what it goes on from.

A folder: ``state.pt`` to go on from, ``last.safetensors`` and ``best.safetensors`` with their cards to evaluate,
``log.jsonl`` with the course of things, ``curve.png`` with a picture of it. Each is replaced whole or not at all.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fssbench.base.errors import TrainingError, first_line
from fssbench.base.files import write_atomic
from fssbench.base.trackers import TRACKERS, id_file

__all__ = ["BEST", "LAST", "TENSORBOARD", "Progress", "RunFolder", "Validated"]

LAST, BEST = "last.safetensors", "best.safetensors"
TENSORBOARD = "tensorboard"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """What the weights scored after some steps: mIoU, FB-IoU and loss, the last two ``None`` where there is none."""

    step: int
    miou: float
    fb_iou: float | None = None
    loss: float | None = None


@dataclass(kw_only=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: steps done.
        validated: every validation so far, in order.
        best: the best of them, the earliest of equals; ``None`` before the first.
    """

    step: int = 0
    validated: list[Validated] = field(default_factory=list)
    best: Validated | None = None

    def add(self, found: Validated) -> bool:
        """Note a validation; returns whether it is the best so far."""
        self.validated.append(found)
        if self.best is None or found.miou > self.best.miou:
            self.best = found
            return True
        return False


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def state(self) -> Path:
        """What the run goes on from."""
        return self.path / "state.pt"

    @property
    def log(self) -> Path:
        """A line of JSON for every few steps and every validation."""
        return self.path / "log.jsonl"

    @property
    def curve(self) -> Path:
        """The learning curve."""
        return self.path / "curve.png"

    def weights(self, *, select_on: str) -> Path:
        """The checkpoint that the recipe's rule chooses; the last one before there was anything to choose by."""
        best = self.path / BEST
        return best if select_on != "last" and best.is_file() else self.path / LAST

    @property
    def begun(self) -> bool:
        """Whether a run has left anything here."""
        return self.state.is_file()

    def clear(self) -> None:
        """Forget the run that is here."""
        for name in ("state.pt", "log.jsonl", "curve.png", LAST, BEST):
            for path in (self.path / name, (self.path / name).with_suffix(".json")):
                path.unlink(missing_ok=True)
        for name in TRACKERS:
            id_file(self.path, name).unlink(missing_ok=True)
        shutil.rmtree(self.path / TENSORBOARD, ignore_errors=True)

    def save(self, progress: Progress, *, identity: str, parts: Mapping[str, Any]) -> None:
        """Write the state: how far the run is, the state dicts in ``parts``, and what run it is."""
        import torch

        buffer = io.BytesIO()
        torch.save({"version": VERSION, "identity": identity, "progress": asdict(progress), **parts}, buffer)
        write_atomic(self.state, buffer.getbuffer().tobytes())

    def load(self, *, identity: str) -> tuple[Progress, dict[str, Any]]:
        """The state that was saved; `TrainingError` if it is damaged or another run's.

        Only tensors and plain containers are unpickled.
        """
        from fssbench.models.checkpoint_file import load_inert

        try:
            with self.state.open("rb") as file:
                state: dict[str, Any] = load_inert(file)
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']}, expected {VERSION}")
            found, told = str(state["identity"]), dict(state["progress"])
            validated = [Validated(**one) for one in told["validated"]]
            best = Validated(**told["best"]) if told["best"] else None
            progress = Progress(step=told["step"], validated=validated, best=best)
        except FileNotFoundError as error:
            raise TrainingError(f"there is no run to go on with in {self.path}", remedy="leave out --resume") from error
        except Exception as error:  # damaged files make the unpickler raise almost anything
            reason = first_line(error)
            raise TrainingError(
                f"{self.state} cannot be read: {reason}", remedy="begin anew with --overwrite"
            ) from error
        if found != identity:
            raise TrainingError(
                f"{self.path} is another run: {_difference(found, identity)}",
                remedy="go on with the same settings, or begin anew with --overwrite or another --output",
            )
        return progress, state

    def cut_log(self, step: int) -> None:
        """Drop lines about steps after ``step``: they will be done again."""
        if self.log.is_file():
            kept = (line for line in self.lines() if line["step"] <= step)
            write_atomic(self.log, "".join(json.dumps(line) + "\n" for line in kept))

    def lines(self) -> list[dict[str, Any]]:
        """The log so far, but for lines that were cut off or damaged."""
        if not self.log.is_file():
            return []
        found = map(_parsed, self.log.read_bytes().splitlines())
        return [line for line in found if isinstance(line, dict) and isinstance(line.get("step"), int)]


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _difference(found: str, wanted: str) -> str:
    """The first setting in which two runs, told as JSON, differ."""
    one, other = _parsed(found.encode()) or {}, json.loads(wanted)
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            return f"its {name} is {one.get(name)!r}, and {other.get(name)!r} was asked for"
    return "its settings differ"
