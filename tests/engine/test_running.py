"""What the eye is told of an evaluation that goes on where another was interrupted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fssbench.api.evaluate import EvaluationRequest
from fssbench.api.tracks import asked_tracks
from fssbench.base.progress import Bar, Report
from fssbench.engine.evaluate import Answer
from fssbench.engine.inference import USUAL
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet


class Seen(Report, Bar):
    """A report, and the bar it shows, that remember what they were told."""

    def __init__(self) -> None:
        self.begun, self.done, self.total = 0, 0, 0
        self.notes: list[str] = []
        self.said = ""

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def progress(self, description: str, total: int | None, *, unit: str = "") -> Iterator[Bar]:
        self.total = total or 0
        yield self

    def __call__(self, n: int) -> None:
        self.done += n

    def begin(self, n: int) -> None:
        self.begun = n

    def say(self, text: str) -> None:
        self.said = text.partition(", ")[2]


def test_a_run_that_goes_on_counts_what_is_kept(toy_set: EpisodeSet, tmp_path: Path) -> None:
    """The bar begins there, and the running score ends where that of an undisturbed run does."""

    def asked(output: Path) -> EvaluationRequest:
        tracks = asked_tracks("toy", data=toy_set.path.parents[2], folds=(0,))
        return EvaluationRequest(model="copy-support", tracks=tracks, options={}, inference=USUAL, output=output)

    answered = []

    def stop(answer: Answer) -> None:
        answered.append(answer)
        if len(answered) == 25:
            raise KeyboardInterrupt

    undisturbed, cut, again = Seen(), Seen(), Seen()
    asked(tmp_path / "whole").run(report=undisturbed)
    with pytest.raises(KeyboardInterrupt):
        asked(tmp_path / "r").run(report=cut, look=stop)
    (evaluation,) = asked(tmp_path / "r").run(report=again)
    assert (undisturbed.begun, undisturbed.done, undisturbed.notes) == (0, 40, [])
    assert (again.begun, again.done, again.total) == (25, 15, 40)
    assert again.notes == ["25 of 40 episodes are kept from the run that was interrupted"]
    assert again.said == undisturbed.said
    assert f"mIoU {100 * (evaluation.miou or 0):.1f} (" in again.said
