"""Results found below a folder, everything they say computed again, and which of them are one entry."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fssbench.base.errors import ResultError
from fssbench.base.files import sha256_bytes
from fssbench.base.progress import Advance, no_progress
from fssbench.results.check import Checked, check_result
from fssbench.results.load import find_results
from fssbench.results.naming import file_name
from fssbench.results.official import trained_elsewhere
from fssbench.schemas.result import Result
from fssbench.scoring.counts import CountsTable
from fssbench.scoring.uncertainty import Evidence

__all__ = ["Candidate", "Gathered", "candidates", "digest_of", "gather", "slug"]


RULES = {"benchmark", "shot", "seed", "select_on", "recipe_sha256"}
"""Of how a model was trained, what is the same for all folds."""


@dataclass(frozen=True, eq=False)
class Gathered:
    """A result that was found sound, its counts, and the file it came from.

    Attributes:
        name: the file, relative to the folder gathered, with forward slashes.
        evidence: how sure the headline's figures are.
    """

    result: Result
    table: CountsTable
    path: Path
    name: str
    sha256: str
    evidence: Evidence

    @staticmethod
    def of(checked: Checked, folder: Path) -> Gathered:
        """A result as `check_result` found it below ``folder``; `ResultError` if anything is wrong with it."""
        if checked.result is None or checked.table is None or checked.evidence is None or checked.problems:
            more = f", and {len(checked.problems) - 1} more" if len(checked.problems) > 1 else ""
            raise ResultError(
                f"{checked.path}: {checked.problems[0]}{more}",
                remedy="see everything that is wrong with fssbench score --check, or evaluate again with --overwrite",
            )
        name = checked.path.relative_to(folder).as_posix()
        return Gathered(checked.result, checked.table, checked.path, name, checked.sha256, checked.evidence)

    @property
    def fold(self) -> int:
        """The fold it is of."""
        return self.result.episodes.fold

    @property
    def run(self) -> tuple[int, int]:
        """Fold and seed."""
        return self.result.episodes.fold, self.result.episodes.seed


@dataclass(frozen=True, eq=False)
class Candidate:
    """Results of one model that make one entry, by fold and seed.

    Attributes:
        key: all that these have in common, as text.
    """

    key: str
    items: tuple[Gathered, ...]

    @property
    def first(self) -> Result:
        """The result of the lowest fold and seed; the others have the same model, benchmark, protocol and shot."""
        return self.items[0].result

    @property
    def label(self) -> str:
        """The model in words: its name, backbone, and what else distinguishes it."""
        model = self.first.model
        marks = [f"{k}={v}" for k, v in model.options.items() if k != "backbone"]
        if model.backbone_weights == "none" or model.training == "untrained":
            marks.append("untrained")
        elif model.backbone_weights == "file":
            marks.append("own backbone weights")
        trainings = [item.result.model.trained for item in self.items if item.result.model.trained is not None]
        for trained in [one for one in trainings if one.cut_short][:1]:
            marks.append(f"{trained.steps:,} of {trained.planned_steps:,} steps")
        for trained in [one for one in trainings if trained_elsewhere(one, self.first.episodes.benchmark)][:1]:
            marks.append(f"trained on {trained.benchmark}")
        if model.training == "undeclared":
            marks.append("undeclared weights")
        if model.selected_on_test_fold:
            marks.append("chosen on the test fold")
        if model.control is not None:
            marks.append(f"control {model.control}")
        named = " ".join(filter(None, [Path(model.name).name, model.backbone]))
        return f"{named} ({', '.join(marks)})" if marks else named

    @property
    def id(self) -> str:
        """The same for the same model on the same question, whatever else there is."""
        episodes, model = self.first.episodes, self.first.model
        return slug(
            episodes.benchmark,
            episodes.protocol,
            f"{episodes.shot}shot",
            file_name(model.name),
            model.backbone or "",
            sha256_bytes(self.key.encode())[:8],
        )

    @property
    def tracks(self) -> tuple[tuple[int, int, str], ...]:
        """Fold, seed and digest of the episodes, of every run."""
        return tuple((*item.run, item.result.episodes.digest) for item in self.items)

    @property
    def truth_digest(self) -> str | None:
        """Of the folds, seeds and truth digests of every run; ``None`` if one does not say its own."""
        return digest_of(self.truths) if all(truth for *_, truth in self.truths) else None

    @property
    def truths(self) -> tuple[tuple[int, int, str], ...]:
        """Fold, seed and truth digest of every run; empty where a result does not say."""
        return tuple((*item.run, item.result.episodes.truth_digest or "") for item in self.items)

    @property
    def incomplete(self) -> str:
        """Why there is no mean over folds, or nothing."""
        seeds: dict[int, set[int]] = {fold: set() for fold in range(len(self.first.episodes.all_folds))}
        for item in self.items:
            seeds[item.fold].add(item.result.episodes.seed)
        if missing := [fold for fold, found in seeds.items() if not found]:
            return f"no result on fold {', '.join(map(str, missing))}"
        if len({frozenset(found) for found in seeds.values()}) > 1:
            return "folds were evaluated with different seeds"
        return ""


def digest_of(runs: Iterable[tuple[int, int, str]]) -> str:
    """SHA-256 (hex) of the lines ``fold``, ``seed`` and digest of some runs, joined by tabs."""
    return sha256_bytes("".join(f"{fold}\t{seed}\t{digest}\n" for fold, seed, digest in runs).encode())


def slug(*parts: str) -> str:
    """Words as one name for anchors and files: small letters, digits, dots and dashes."""
    return "-".join(filter(None, (re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip(".-") for part in parts)))


def gather(
    folder: Path, *, advance: Advance = no_progress, note: Callable[[str], None] = lambda _: None
) -> list[Gathered]:
    """All results below ``folder``, everything they say computed again from the counts beside them.

    Args:
        advance: called with 1 for every result.
        note: told what was left out.

    Raises:
        ResultError: there is no such folder, a result is damaged, or its figures do not follow from its counts.
    """
    found = []
    # By name first: results on one track follow each other, and share their resamples.
    for path in sorted(find_results(folder, note=note), key=lambda path: (path.name, path)):
        found.append(Gathered.of(check_result(path), folder))
        advance(1)
    return found


def candidates(items: Iterable[Gathered]) -> list[Candidate]:
    """Results put together into entries; `ResultError` if two are the same run of one entry."""
    by_key: dict[str, list[Gathered]] = defaultdict(list)
    for item in items:
        by_key[_key(item.result)].append(item)
    found = [Candidate(key, tuple(sorted(own, key=lambda item: item.run))) for key, own in by_key.items()]
    for candidate in found:
        _require_distinct(candidate.label, candidate.items)
    return found


def _key(result: Result) -> str:
    """What makes results runs of one entry: everything but fold, seed, and what training for a fold makes another."""
    episodes, trained = result.episodes, result.model.trained
    model = result.model.model_dump(
        mode="json", exclude={"checkpoint_sha256", "trained", "pretrained", *result.model.later_fields}
    )
    training = trained.model_dump(mode="json", include=RULES) if trained else None
    return json.dumps(
        [
            episodes.benchmark,
            episodes.folds,
            episodes.protocol,
            episodes.protocol_version,
            episodes.shot,
            result.headline,
            result.source,
            model,
            training,
        ]
    )


def _require_distinct(label: str, items: Sequence[Gathered]) -> None:
    seen: dict[tuple[int, int], Gathered] = {}
    for item in sorted(items, key=lambda item: item.path):
        if item.run in seen:
            other = seen[item.run]
            unlike = other.result.episodes.identity.unlike(item.result.episodes.identity)
            raise ResultError(
                f"{other.path} and {item.path} are both {label} on fold {item.run[0]}, seed {item.run[1]}"
                f"{f', of {unlike}' if unlike else ''}",
                remedy="keep one of them below the folder",
            )
        seen[item.run] = item
