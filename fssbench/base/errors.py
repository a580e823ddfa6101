"""Everything fssbench refuses to do, as one tree.

FssbenchError
├── UsageError            the request names something unknown or contradictory
├── SourceError           raw data: missing, unreadable, or at odds with itself
│   ├── MaskFileError     a mask file that does not say which pixel is of which class
│   └── PoolError         classes with too few images for the protocol
├── EpisodeSetError       an episode set that is missing, damaged, or another one than asked for
├── TrainingSetError      a training set that is missing, damaged, or shows what is tested
├── ModelError            a model, its weights or its inputs
│   └── CheckpointError   a checkpoint that does not fit the model
├── MetricError           masks or counts that cannot be scored
│   ├── MaskTypeError     a mask that is neither bool nor integer
│   ├── MaskShapeError    a mask that is not two-dimensional, or not of the size of the others
│   ├── MaskValueError    a prediction outside {0, 1}, a truth outside {0, 1, ignore_label}
│   ├── OverlapError      a pixel that is both foreground and ignored
│   ├── CountsError       counts that no masks can have
│   ├── EpisodeIndexError an episode that is counted twice, or not at all
│   └── UnknownClassError an episode of a class that is not scored
├── TrainingError         a training run that cannot begin, go on or come to an end
├── RankError             one of several processes that work together has ended before its time
├── ResultError           results that are missing, damaged, or contradict each other
└── StorageError          the disk: full, read-only, or in use by another run

Every message is one line: what was expected, what was found and where; `remedy` says what to do. The
command line prints both and exits with code 2; any other exception is a defect of fssbench itself.
"""

from __future__ import annotations

import re

__all__ = [
    "CheckpointError",
    "CountsError",
    "EpisodeIndexError",
    "EpisodeSetError",
    "FssbenchError",
    "MaskFileError",
    "MaskShapeError",
    "MaskTypeError",
    "MaskValueError",
    "MetricError",
    "ModelError",
    "OverlapError",
    "PoolError",
    "RankError",
    "ResultError",
    "SourceError",
    "StorageError",
    "TrainingError",
    "TrainingSetError",
    "UnknownClassError",
    "UsageError",
    "first_line",
    "one_line",
]


CONTROLS = re.compile(r"\x1b\[[0-9;?]*[@-~]|[\x00-\x1f\x7f-\x9f]+")
"""Colours and moves of a terminal, ends of lines and the like, which come with others' messages and names."""


LONGEST = 500
"""Characters of what others' errors say: some print all that they were given."""


class FssbenchError(Exception):
    """The root: a refusal with its cause and, where there is one, its remedy."""

    def __init__(self, problem: str, *, remedy: str = "") -> None:
        problem = one_line(problem)
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{problem}; {remedy}" if remedy else problem)


class UsageError(FssbenchError):
    """The request names something unknown, or combines what does not go together."""


class SourceError(FssbenchError):
    """Raw data that is missing, unreadable, or at odds with itself."""


class MaskFileError(SourceError):
    """A mask file that does not say which pixel is of which class; ``kind`` is what it has in common with others."""

    def __init__(self, problem: str, *, kind: str, remedy: str = "") -> None:
        super().__init__(problem, remedy=remedy)
        self.kind = kind


class PoolError(SourceError):
    """Classes with too few eligible images for the episodes asked for."""


class EpisodeSetError(FssbenchError):
    """An episode set that is missing, damaged, or another one than asked for."""


class TrainingSetError(FssbenchError):
    """A training set that is missing, damaged, or holds images or classes that are tested."""


class ModelError(FssbenchError):
    """A model that cannot be built, or cannot take these inputs."""


class CheckpointError(ModelError):
    """A checkpoint that is missing, unreadable, or does not fit the model."""


class MetricError(FssbenchError, ValueError):
    """Masks or counts that cannot be scored as they are."""


class MaskTypeError(MetricError):
    """A mask that is neither bool nor integer."""


class MaskShapeError(MetricError):
    """A mask that is not two-dimensional, is empty, or has not the size of the others."""


class MaskValueError(MetricError):
    """A prediction with values outside {0, 1}, or a truth outside {0, 1, ignore_label}."""


class OverlapError(MetricError):
    """A pixel that the truth calls both foreground and ignored."""


class CountsError(MetricError):
    """Counts that no masks can have."""


class EpisodeIndexError(MetricError, IndexError):
    """An episode that is there twice, is missing, or is not one of the track's."""


class UnknownClassError(MetricError):
    """An episode of a class that is not among those scored."""


class TrainingError(FssbenchError):
    """A training run that cannot begin, go on or come to an end."""


class RankError(FssbenchError):
    """One of several processes that work together has ended before its time."""


class ResultError(FssbenchError):
    """Results that are missing, damaged, or contradict each other."""


class StorageError(FssbenchError):
    """The disk is full, read-only, or in use by another run."""


def one_line(text: str) -> str:
    """Text of a stranger without what moves a terminal's cursor, colours it or begins a new line."""
    return CONTROLS.sub(lambda found: "" if found[0].startswith("\x1b") else " ", text)


def first_line(error: BaseException) -> str:
    """The first line of what an error says, cut where it is very long, or its type where it says nothing."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an error that cannot even say what it is
        lines = []
    line = lines[0].strip() if lines else type(error).__name__
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
