"""Results from elsewhere on their way into a folder of results: checked where nobody reads them, and moved all or none.

Whoever brings them fills an empty folder as `fssbench.leaderboard.submission` lays an archive out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import PARTIAL, sha256_file, storage_errors
from fssbench.base.locking import exclusive
from fssbench.leaderboard.submission import LIST, RESULTS, kind_of
from fssbench.leaderboard.unpack import examine
from fssbench.results.check import Checked, FindSet
from fssbench.schemas.result import read_result

__all__ = ["Incoming", "staged", "target_of"]


@contextmanager
def staged(results: Path) -> Iterator[Path]:
    """An empty folder on the disk of ``results`` that nobody reads; gone afterwards."""
    fresh = not results.exists()
    stage = results / f"incoming{PARTIAL}"
    with exclusive(results, doing="adding to"):
        with storage_errors(results):
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            if fresh and not any(results.iterdir()):
                results.rmdir()


def target_of(name: str, results: Path) -> Path:
    """Where a file of an archive goes: results where eval would have put them, cards below ``cards``."""
    return results / name.removeprefix(f"{RESULTS}/")


@dataclass(frozen=True)
class Incoming:
    """What lies in a stage, and what is wrong with it.

    Attributes:
        stage: the folder it lies in.
        results: the folder it is to go to.
        checked: the results, as they were found.
        problems: one line each; none if everything that could be checked is right.
    """

    stage: Path
    results: Path
    checked: tuple[Checked, ...]
    problems: tuple[str, ...]

    @staticmethod
    def of(stage: Path, results: Path, *, find_set: FindSet | None) -> Incoming:
        """Compute again everything that the results in a stage say.

        Args:
            find_set: finds episode sets; without, pools and the counts of masks are left unchecked.
        """
        checked, problems = examine(stage, find_set=find_set)
        return Incoming(stage, results, tuple(checked), tuple(problems))

    @cached_property
    def targets(self) -> dict[Path, Path]:
        """Where each file goes. Results come last: one that is there always has what it rests on."""
        files = (path for path in self.stage.rglob("*") if path.is_file() and path != self.stage / LIST)
        ordered = sorted(files, key=lambda path: (kind_of(self._name(path)) == "result", path))
        return {path: target_of(self._name(path), self.results) for path in ordered}

    def _name(self, path: Path) -> str:
        return path.relative_to(self.stage).as_posix()

    @property
    def unchecked(self) -> tuple[str, ...]:
        """What could not be checked, and why."""
        return tuple(dict.fromkeys(what for one in self.checked for what in one.unchecked))

    def collisions(self) -> list[str]:
        """What is there already and differs; of results on other questions, these alone."""
        found = {
            target: _unlike(target, path)
            for path, target in self.targets.items()
            if target.exists() and not (target.is_file() and sha256_file(target) == sha256_file(path))
        }
        shown = {target: unlike for target, unlike in found.items() if unlike} or found
        return [f"{target} is there already, and differs{unlike}" for target, unlike in shown.items()]

    def move(self) -> None:
        """Move what is not there yet into place; if that fails halfway, take back what was moved."""
        moved: list[Path] = []
        try:
            with storage_errors(self.results):
                for path, target in self.targets.items():
                    if not target.exists():
                        target.parent.mkdir(parents=True, exist_ok=True)
                        path.rename(target)
                        moved.append(target)
        except BaseException:
            for target in reversed(moved):
                target.unlink()
                for folder in target.parents:
                    if folder == self.results or any(folder.iterdir()):
                        break
                    folder.rmdir()
            raise

    def replace(self) -> None:
        """Move everything into place, over what is there.

        The old result goes first and the new one comes last: if that fails halfway, a result may be missing, but none
        stands on counts that are not its own.
        """
        with storage_errors(self.results):
            for one in self.checked:
                target = self.targets[one.path]
                target.unlink(missing_ok=True)
                shutil.rmtree(target.with_suffix(".predictions"), ignore_errors=True)
            for target in self.targets.values():
                target.unlink(missing_ok=True)
        self.move()


def _unlike(there: Path, new: Path) -> str:
    """That two results of one name were asked different things, if they are such."""
    try:
        unlike = read_result(there).episodes.identity.unlike(read_result(new).episodes.identity)
    except ResultError:  # not both are results, which is told otherwise
        return ""
    return f": it is of {unlike}" if unlike else ""
