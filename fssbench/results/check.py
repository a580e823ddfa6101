"""Everything that can be wrong with a result, found in one pass and listed in full.

What can be checked depends on what is there: the result and its table of counts always; its predictions if
they were kept; and with the episode set the pools, the facts of each query, and the counts of every mask.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from fssbench.base.errors import FssbenchError, UsageError
from fssbench.base.files import is_file_name, sha256_bytes, sha256_file
from fssbench.base.records import without_mark
from fssbench.episodes.protocols import find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet
from fssbench.pipelines.episode_sets.stream import truth_of
from fssbench.results import counts_file
from fssbench.results.figures import evidence_of, policy_results
from fssbench.results.model_size import most_pixels
from fssbench.results.official import HANDED_IN, IN_MEMORY, own_reasons, set_reasons
from fssbench.results.outcome import episodes_record
from fssbench.results.policies import policies_for, query_facts
from fssbench.results.predictions import INDEX, StoredPredictions
from fssbench.results.rescore import recount, scorable
from fssbench.schemas.result import EpisodesRecord, Result
from fssbench.scoring.counts import CountsTable, QueryFacts
from fssbench.scoring.metrics import COUNT_FIELDS, impossible
from fssbench.scoring.uncertainty import Evidence

__all__ = ["Checked", "FindSet", "check_result", "differences"]

BOUNDS = 1e-9
"""By how much a bound of an interval may differ from one computed on another processor."""

FindSet = Callable[[EpisodesRecord], EpisodeSet]
"""Finds the set a result is about; raises `FssbenchError` if it is not there."""


@dataclass
class Checked:
    """What `check_result` found.

    Attributes:
        path: the result's file.
        sha256: of that file; empty if it cannot be read.
        result: the result, if it is one.
        table: its counts, if they can be read.
        evidence: how sure the headline's figures are, if any can be computed.
        problems: one line each; none if everything that could be checked is right.
        unchecked: what could not be checked, and why.
    """

    path: Path
    sha256: str = ""
    result: Result | None = None
    table: CountsTable | None = None
    evidence: Evidence | None = None
    problems: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)


def check_result(path: Path, *, find_set: FindSet | None = None) -> Checked:
    """Compute everything a result says again from what it rests on, and compare; never stops at the first problem.

    Args:
        path: a result file.
        find_set: finds the episode set; without it, what needs the set is left unchecked.
    """
    checked = Checked(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        checked.problems.append(f"{path} cannot be read: {error.strerror}")
        return checked
    checked.sha256 = sha256_bytes(data)
    try:
        checked.result = Result.model_validate_json(without_mark(data))
    except ValidationError as error:
        for one in error.errors():
            checked.problems.append(f"{'.'.join(map(str, one['loc'])) or 'content'}: {one['msg']}")
        return checked
    check = _ResultCheck(checked, checked.result, find_set)
    checked.table, checked.evidence = check.run(), check.evidence
    return checked


class _ResultCheck:
    """One pass over one result; each method checks one thing and adds to the problems."""

    def __init__(self, checked: Checked, result: Result, find_set: FindSet | None) -> None:
        self.folder = checked.path.parent
        self.result = result
        self.find_set = find_set
        self.evidence: Evidence | None = None
        self.problems = checked.problems
        self.unchecked = checked.unchecked

    def wrong(self, text: str) -> None:
        self.problems.append(text)

    def run(self) -> CountsTable | None:
        """Check everything; returns the counts, if they can be read."""
        table = self.counts()
        if table is not None:
            self.identity(table)
            self.rows(table)
            self.figures(table)
        self.policies()
        predictions = self.predictions()
        episode_set = self.episode_set()
        if episode_set is not None:
            same = self.against(episode_set)
            if table is not None and same:
                self.truth(episode_set, table, predictions)
        return table

    def counts(self) -> CountsTable | None:
        """The table is there, is the one the result names, and can be read."""
        stated = self.result.counts
        path = self.folder / stated.file
        if not is_file_name(stated.file):
            self.wrong(f"counts.file: '{stated.file}' does not lie beside the result")
            return None
        try:
            data = path.read_bytes()
        except OSError as error:
            self.wrong(f"{path} cannot be read: {error.strerror}")
            return None
        if (found := sha256_bytes(data)) != stated.sha256:
            self.wrong(f"counts.sha256: the result says {stated.sha256}, {stated.file} has {found}")
        try:
            table = counts_file.from_bytes(data, where=stated.file, check=False)
        except FssbenchError as error:
            self.wrong(error.problem)
            return None
        if (rows := table.counts[..., 0].size) != stated.rows:
            self.wrong(f"counts.rows: the result says {stated.rows}, {stated.file} has {rows}")
        return table

    def identity(self, table: CountsTable) -> None:
        """The table is about the episodes and policies that the result names."""
        stated, track = self.result.episodes, table.track
        for name in ("benchmark", "fold", "shot", "seed", "digest"):
            self.compare(f"episodes.{name}", getattr(stated, name), getattr(track, name))
        self.compare("episodes.truth_digest", stated.truth_digest, table.truth_digest)
        self.compare("episodes.n_episodes", stated.n_episodes, len(track.episodes))
        self.compare("the policies", [p.policy for p in self.result.policies], list(table.policies))

    def compare(self, what: str, stated: object, found: object) -> None:
        if stated != found:
            self.wrong(f"{what}: the result says {stated}, its counts {found}")

    def rows(self, table: CountsTable) -> None:
        """Counts are such as masks can have."""
        for p, policy in enumerate(table.policies):
            for row in np.flatnonzero(impossible(table.counts[:, p])):
                counts = dict(zip(COUNT_FIELDS, table.counts[row, p].tolist(), strict=True))
                self.wrong(f"episode {row} under {policy}: no masks have the counts {counts}")
        area = {
            "original": [query.image_pixels for query in table.queries],
            "model": [most_pixels(self.result.model, query.image_pixels) for query in table.queries],
        }
        for p, policy in enumerate(table.policies):
            for row in np.flatnonzero(table.counts[:, p, 4] > area.get(policy.partition("/")[0], 0)):
                self.wrong(f"episode {row} under {policy}: more pixels are scored than there are")

    def figures(self, table: CountsTable) -> None:
        """Every figure, interval and reason is what the counts give."""
        names = {c.id: c.name for c in self.result.policies[0].per_class}
        try:
            evidence = evidence_of(table, classes=names)
            found = policy_results(table, classes=names, check=False, evidence=evidence)
        except (FssbenchError, ValueError, ZeroDivisionError) as error:
            self.wrong(f"no figures can be computed from the counts: {error}")
            return
        self.evidence = evidence.get(self.result.headline)
        stated = {policy.policy: policy for policy in self.result.policies}
        for policy in found:
            if policy.policy in stated:
                there = stated[policy.policy].model_dump(mode="json")
                for where, a, b in differences(there, policy.model_dump(mode="json", warnings=False), policy.policy):
                    self.wrong(f"{where}: the result says {a}, its counts give {b}")

    def policies(self) -> None:
        """Classes are the fold's, the headline is of the protocol's size, and what speaks against it is said."""
        stated = self.result.episodes
        try:
            novel = stated.novel_classes
            wanted = find_protocol(stated.protocol).headline.size
            reasons = self.own_reasons()
        except UsageError as error:
            self.wrong(error.problem)
            return
        for policy in self.result.policies:
            if (found := tuple(c.id for c in policy.per_class)) != novel:
                self.wrong(f"{policy.policy}: its classes are {found}, the novel classes of the fold are {novel}")
        sizes = [policy.policy.partition("/")[0] for policy in self.result.policies]
        if wanted in sizes and self.result.headline.partition("/")[0] != wanted:
            self.wrong(f"headline: it is {self.result.headline}, {stated.protocol} scores at {wanted} size")
        for reason in reasons:
            if reason not in self.stated_reasons():
                self.wrong(f"unofficial: the result does not say that {reason}")

    def own_reasons(self) -> tuple[str, ...]:
        """What speaks against the result, set aside what it was asked."""
        result = self.result
        return own_reasons(
            model=result.model,
            benchmark=result.episodes.benchmark,
            protocol=result.episodes.protocol,
            headline=result.headline,
            source=result.source,
            git_dirty=result.environment.git_dirty,
        )

    def stated_reasons(self) -> tuple[str, ...]:
        """What the result says speaks against it; of models that were asked, worded as today."""
        reasons = self.result.unofficial
        if self.result.source == "recomputed":
            return reasons
        return tuple(IN_MEMORY if reason == HANDED_IN else reason for reason in reasons)

    def predictions(self) -> StoredPredictions | None:
        """The masks are those the result names: hashes, and one for every episode."""
        stated = self.result.predictions
        if stated is None:
            self.unchecked.append("the masks, which were not kept")
            return None
        if not is_file_name(stated.folder):
            self.wrong(f"predictions.folder: '{stated.folder}' does not lie beside the result")
            return None
        folder = self.folder / stated.folder
        try:
            there = StoredPredictions.open(folder)
        except FssbenchError as error:
            self.wrong(error.problem)
            return None
        if (found := sha256_file(folder / INDEX)) != stated.sha256:
            self.wrong(f"predictions.sha256: the result says {stated.sha256}, {stated.folder}/{INDEX} has {found}")
        for name, differs in (("model", "differs"), ("episodes", "differ")):
            if getattr(there.manifest, name) != getattr(self.result, name):
                self.wrong(f"{stated.folder}/{INDEX}: its {name} {differs} from the result's")
        self.indices(Counter(sample.index for sample in there.samples(self.problems)))
        return there

    def indices(self, seen: Counter[int]) -> None:
        n = self.result.episodes.n_episodes
        for index, times in sorted(seen.items()):
            if times > 1:
                self.wrong(f"predictions: episode {index} has {times} masks")
            if index >= n:
                self.wrong(f"predictions: there is a mask of episode {index}, the result has {n} episodes")
        if missing := sorted(set(range(n)) - seen.keys()):
            self.wrong(f"predictions: {len(missing)} episodes have no mask: {', '.join(map(str, missing))}")

    def episode_set(self) -> EpisodeSet | None:
        needed = "the pools and the track's digest, the facts of each query, and the counts of each mask"
        if self.find_set is None:
            self.unchecked.append(f"{needed}, which need the episode set")
            return None
        try:
            return self.find_set(self.result.episodes)
        except FssbenchError as error:
            self.unchecked.append(f"{needed}: {error.problem}")
            return None

    def against(self, episode_set: EpisodeSet) -> bool:
        """What the result says of the episodes is what the set says, and so is what speaks against it.

        Returns whether masks can be counted again: not on another truth.
        """
        stated = self.result.episodes
        try:
            here = episodes_record(episode_set, shot=stated.shot, seed=stated.seed, n_episodes=stated.n_episodes)
            asked = set_reasons(episode_set, stated)
            reasons = (*asked, *self.own_reasons())
        except FssbenchError as error:
            self.wrong(f"{episode_set.place}: {error.problem}")
            return False
        if stated.truth_digest is None:
            self.unchecked.append("whether it was measured on these masks and images, which a result of old cannot say")
            here = here.model_copy(update={"truth_digest": None})
        for where, a, b in differences(stated.model_dump(mode="json"), here.model_dump(mode="json"), "episodes"):
            self.wrong(f"{where}: the result says {a}, {episode_set.place} says {b}")
        for reason in asked:  # `policies` has looked for the others
            if reason not in self.result.unofficial:
                self.wrong(f"unofficial: the result does not say that {reason}")
        for reason in self.stated_reasons():
            if reason not in reasons:
                self.wrong(f"unofficial: nothing shows that {reason}")
        return stated.truth_digest == here.truth_digest or stated.digest != here.digest

    def truth(self, episode_set: EpisodeSet, table: CountsTable, predictions: StoredPredictions | None) -> None:
        """Names and facts are those of the set's images, and the counts those of the masks against them."""
        names = {pool.id: pool.name for pool in episode_set.manifest.classes}
        for one in self.result.policies[0].per_class:
            if (name := names.get(one.id)) != one.name:
                self.wrong(f"class {one.id}: the result calls it '{one.name}', {episode_set.place} '{name}'")
        try:
            queries = episode_set.queries(table.track)
            known: dict[tuple[int, str], QueryFacts] = {}
            for index, meta in queries.items():
                if (facts := known.get((meta.class_id, meta.image_id))) is None:
                    truth, _ = truth_of(meta, where=meta.image_id)
                    facts = known[meta.class_id, meta.image_id] = query_facts(truth, meta.n_classes)
                if facts != table.queries[index]:
                    self.wrong(f"episode {index}: the table says {table.queries[index]}, its query is {facts}")
        except FssbenchError as error:
            self.wrong(error.problem)
            return
        # What is wrong with the files themselves has been noted.
        samples = iter(()) if predictions is None else predictions.samples([])
        first = next(samples, None)
        sizes = set(first.masks) if first else {policy.size for policy in policies_for(episode_set)}
        policies = scorable(episode_set, sizes)
        if missing := [policy.name for policy in policies if policy.name not in table.policies]:
            self.wrong(f"the policies: {', '.join(missing)} could be scored, and are not")
        policies = tuple(policy for policy in policies if policy.name in table.policies)
        for sample in chain([first] if first else [], samples):
            try:
                (row,) = recount([sample], queries, policies, model=self.result.model)
            except FssbenchError as error:
                self.wrong(error.problem)
                continue
            for p, policy in enumerate(policies):
                stated, found = table.under(policy.name)[row.index].tolist(), row.counts[p].tolist()
                if stated != found:
                    self.wrong(f"episode {row.index} under {policy.name}: counted {stated}, its mask gives {found}")


def _as_good_as(stated: Any, found: Any, where: str) -> bool:
    """What rests on sums of floats may differ by as much as these do between processors; values are exact."""
    bounds = where.endswith((".low", ".high", ".p_images")) and isinstance(stated, float) and isinstance(found, float)
    return bounds and abs(stated - found) <= BOUNDS


def differences(stated: Any, found: Any, where: str) -> Iterator[tuple[str, str, str]]:
    """Where two JSON values differ, as ``original/ignore.miou.value``, with what each says there, as JSON."""
    if isinstance(stated, dict) and isinstance(found, dict):
        for key in dict.fromkeys((*stated, *found)):
            yield from differences(stated.get(key), found.get(key), f"{where}.{key}")
    elif isinstance(stated, list) and isinstance(found, list):
        for n, (a, b) in enumerate(zip_longest(stated, found)):
            names = [x.get("name") or x.get("by") for x in (a, b) if isinstance(x, dict)]
            yield from differences(a, b, f"{where}.{next(filter(None, names), n)}")
    elif stated != found and not _as_good_as(stated, found, where):
        yield where, json.dumps(stated), json.dumps(found)
