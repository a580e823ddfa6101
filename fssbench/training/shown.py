"""How a training run goes, for the eye and for its log."""

from __future__ import annotations

import time

from fssbench.base.progress import Bar, Report
from fssbench.training.folder import Validated
from fssbench.training.log import Log
from fssbench.training.loop import Seen
from fssbench.training.recipe import Run
from fssbench.training.stopping import stop_rule

__all__ = ["ShownTraining"]


class ShownTraining:
    """Moves a bar on, says a line for each validation, and writes both down; a `fssbench.training.loop.Watcher`."""

    def __init__(self, bar: Bar, report: Report, run: Run, log: Log | None) -> None:
        self.bar, self.report, self.log = bar, report, log
        self.batch, self.select_on, self.rule = run.batch, run.select_on, stop_rule(run)
        self.start, self.first, self.last = time.perf_counter(), 0, 0
        self.latest = ""

    def begin(self, step: int) -> None:
        """Begin the bar at the steps that an earlier run did, which are not a measure of the speed."""
        self.start, self.first, self.last = time.perf_counter(), step, step
        self.bar.begin(step)

    def seen(self, seen: Seen) -> None:
        """Move the bar on."""
        if self.log is not None:
            self.log.seen(seen)
        self.bar(seen.step - self.last)
        self.last = seen.step
        speed = self.batch * (seen.step - self.first) / max(1e-9, time.perf_counter() - self.start)
        miou = "" if seen.miou is None else f", mIoU {100 * seen.miou:.1f}"
        self.latest = f"loss {seen.loss:.3f}{miou}"
        self.bar.say(f"{self.latest}, {speed:.1f} episodes/s")

    def validated(self, found: Validated, best: bool) -> None:
        """Say what the weights scored."""
        if self.log is not None:
            self.log.validated(found, best)
        mark = ", the best so far" if best else ""
        more = "" if found.fb_iou is None else f", FB-IoU {100 * found.fb_iou:.2f}"
        more += "" if found.loss is None else f", loss {found.loss:.3f}"
        told = f"{self.select_on} mIoU {100 * found.miou:.2f}{more}{mark}"
        self.report.say(f"step {found.step:,}: {self.latest}; {told}")

    def settled(self, step: int) -> None:
        """Say that the run ends here."""
        if self.log is not None:
            self.log.settled(step)
        self.report.say(f"step {step:,}: {self.rule}, the run ends")

    def close(self) -> None:
        """Let the log reach the disk."""
        if self.log is not None:
            self.log.close()
