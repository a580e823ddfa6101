"""One evaluation from end to end: a model, a track, and its result, written as it comes or held in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from glob import escape
from pathlib import Path

from fssbench.base.errors import ResultError, StorageError
from fssbench.base.files import PARTIAL, sha256_bytes
from fssbench.base.locking import exclusive, lock_file
from fssbench.base.progress import SILENT
from fssbench.engine.evaluate import Answer, answers
from fssbench.engine.inference import InferenceCost
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel
from fssbench.engine.partial import ScoredEpisode, Unfinished, of_identity, unfinished
from fssbench.engine.precision import check_precision
from fssbench.engine.ranks import Ranks
from fssbench.models.interface import FeatureSegmenter
from fssbench.pipelines.formats import masks
from fssbench.results.environment import describe_environment, device_name
from fssbench.results.evaluation import Evaluation
from fssbench.results.naming import results_folder
from fssbench.results.outcome import Outcome, episodes_record
from fssbench.results.policies import policies_for
from fssbench.schemas.result import Environment, Execution, Request, Result, read_result
from fssbench.schemas.rle import Rle
from fssbench.schemas.samples import MaskSize, PredictionSample
from fssbench.scoring.counts import CountsTable, EpisodeCounts

__all__ = ["ask", "run"]

ALONE = Ranks()


def run(
    loaded: LoadedModel,
    job: Job,
    *,
    look: Callable[[Answer], None] | None = None,
    begin: Callable[[Sequence[EpisodeCounts]], None] | None = None,
    ranks: Ranks = ALONE,
    note: Callable[[str], None] = SILENT.note,
) -> Evaluation:
    """Evaluate and write ``foldF-KshotseedS.json`` with its counts beside it, if the job has an output.

    A finished result of the same model on the same episodes is left as it is unless ``overwrite`` is set.

    Args:
        look: called with every answer of this process.
        begin: called before the first answer, with those that an earlier run left to this process.
        ranks: the processes that share the episodes; the first writes, and all return the same.
        note: told what is not taken up, and why.

    Raises:
        ResultError: a result on other episodes is in the way.
        StorageError: the disk is full, or another run is evaluating the same.
    """
    path = job.path(loaded)
    environment = describe_environment(loaded.modules)
    fewer = 0 if path is None or job.overwrite else _fewer_there(path, loaded, job)
    if fewer and ranks.first:
        note(f"{path} has the first {fewer:,} episodes; all {job.n_episodes:,} are evaluated, and replace it")
    if path is not None and path.exists() and not job.overwrite and not fewer:
        there = _same_result(path, loaded, job)
        if ranks.first:
            _tidy(path)
        if ranks.first and (changed := _changed(there.environment, environment)):
            note(f"{path} was there already, made with {changed}; pass --overwrite to evaluate again")
        return Evaluation(there, path=path, skipped=True)
    identity = _identity(loaded, job, environment)
    if path is not None and ranks.first and not job.overwrite:
        for left in _left_by_others(path, loaded, identity):
            note(
                f"{left} is left by an interrupted run with other code, options, weights or software, "
                "so this run starts from the beginning"
            )
    with _so_far(path, identity, job, ranks) as (so_far, known):
        start, cost = time.perf_counter(), InferenceCost()
        others = frozenset(range(job.n_episodes)) - ranks.share(job.track)
        if begin is not None:
            begin([one.scored for index, one in so_far.kept.items() if index in known - others])
        if known and ranks.first:
            note(f"{len(known):,} of {job.n_episodes:,} episodes are kept from the run that was interrupted")
        _ask(loaded, job, so_far, look, cost, ranks, skip=known | others)
        seconds = time.perf_counter() - start
        parts, times, costs = ranks.collect(list(so_far.kept.values())), ranks.collect(seconds), ranks.collect(cost)
        outcome, result = None, None
        if ranks.first:
            kept = sorted((one for part in parts for one in part), key=lambda one: one.scored.index)
            kept = [one for one in kept if one.scored.index < job.n_episodes]
            outcome = Outcome(
                model=loaded.record,
                episode_set=job.episode_set,
                table=_table(job, kept),
                headline=job.headline,
                source="measured",
                execution=_execution(loaded, job, costs, max(times), len(known)),
                environment=environment,
                command=Request.of(job.asked, job.resolved or {}),
                masks=_Masks(kept) if job.save_predictions else None,
            )
            result = outcome.record if path is None else outcome.write(path)
        result = ranks.gather(result)[0]
        assert result is not None
    return Evaluation(result, outcome=outcome, path=path)


def _identity(loaded: LoadedModel, job: Job, environment: Environment) -> str:
    """Everything that counts depend on: the model, device and software, the episodes and the data under them."""
    manifest = sha256_bytes(job.episode_set.manifest.to_json().encode())
    record = job.episode_set.record(shot=job.shot, seed=job.seed)
    software = environment.model_dump_json()
    keeps = "masks and counts" if job.save_predictions else "counts"
    device = f"{job.device.partition(':')[0]} {device_name(job.device)}"  # which of several alike does not matter
    inference = repr(replace(job.inference, feature_cache=0))  # how much is held changes no mask
    return " ".join([loaded.record.model_dump_json(), device, software, manifest, record.label, keeps, inference])


@contextmanager
def _so_far(path: Path | None, identity: str, job: Job, ranks: Ranks) -> Iterator[tuple[Unfinished, frozenset[int]]]:
    """This process's file of answers, and the indices of those that an interrupted run left.

    The first process takes over all that is left, from however many there were.
    """
    if path is None:
        yield Unfinished({}), frozenset()
        return
    partial = path.with_suffix(f".counts{PARTIAL}")
    known: frozenset[int] = frozenset()
    with ExitStack() as stack:
        if ranks.first:
            stack.enter_context(exclusive(path, doing="evaluating to"))
            others = sorted(path.parent.glob(f"{path.stem}.counts.rank*{PARTIAL}"))
            so_far = stack.enter_context(unfinished(partial, identity=identity, fresh=job.overwrite, others=others))
            known = frozenset(index for index in so_far.kept if index < job.n_episodes)
        known = ranks.gather(known)[0]
        if not ranks.first:
            own = path.with_suffix(f".counts.rank{ranks.rank}{PARTIAL}")
            so_far = stack.enter_context(unfinished(own, identity=identity, fresh=True))
        yield so_far, known


def _tidy(path: Path) -> None:
    """Remove what a run left that was killed between its result and its end, unless another is at it."""
    left = [*path.parent.glob(f"{escape(path.stem)}.counts*{PARTIAL}")]
    if left or lock_file(path).exists():
        with suppress(StorageError), exclusive(path):
            for one in left:
                one.unlink(missing_ok=True)


def ask(loaded: LoadedModel, job: Job, *, skip: frozenset[int], cost: InferenceCost | None = None) -> Iterator[Answer]:
    """Ask the episodes of a job that are not to be skipped; nothing is written."""
    with loaded.code.in_sight() if loaded.code else nullcontext():
        yield from answers(
            loaded.model,
            job.episode_set,
            shot=job.shot,
            seed=job.seed,
            episodes=job.episodes,
            device=job.device,
            workers=job.workers,
            skip=skip,
            control=loaded.record.control,
            inference=job.inference,
            cost=cost,
        )


def _ask(
    loaded: LoadedModel,
    job: Job,
    so_far: Unfinished,
    look: Callable[[Answer], None] | None,
    cost: InferenceCost,
    ranks: Ranks,
    *,
    skip: frozenset[int],
) -> None:
    """Ask the episodes that are not to be skipped, keeping every answer as it comes, while all processes are there."""
    for answer in ask(loaded, job, skip=skip, cost=cost):
        ranks.require_all()
        if loaded.code is not None:
            loaded.code.require_hashed()
        so_far.add(ScoredEpisode(answer.scored, _encoded(answer) if job.save_predictions else {}))
        if look is not None:
            look(answer)


def _execution(
    loaded: LoadedModel, job: Job, costs: Sequence[InferenceCost], seconds: float, resumed: int
) -> Execution:
    fast = job.inference.fast and isinstance(loaded.model, FeatureSegmenter)
    return Execution(
        device=job.device,
        device_name=device_name(job.device),
        processes=len(costs),
        precision=job.inference.precision,
        seconds=round(seconds, 3),
        episodes_per_second=round((job.n_episodes - resumed) / seconds, 3),
        resumed_episodes=resumed,
        path="fast" if fast else "plain",
        batch=min(cost.batch for cost in costs),
        shortages=sum(cost.shortages for cost in costs),
        feature_cache=job.inference.feature_cache if fast else None,
        encoded_images=sum(cost.encoded for cost in costs),
        compiled=fast and job.inference.compiled,
        precision_check=None if job.inference.precision == "float32" else check_precision(loaded, job),
    )


def _encoded(answer: Answer) -> dict[MaskSize, Rle]:
    return {size: masks.encode(mask.cpu().numpy().astype(bool)) for size, mask in answer.masks.items()}


class _Masks:
    """The masks of episodes, one after the other as often as they are wanted."""

    def __init__(self, kept: Sequence[ScoredEpisode]) -> None:
        self._kept = kept

    def __iter__(self) -> Iterator[PredictionSample]:
        return (one.prediction for one in self._kept)


def _table(job: Job, kept: Sequence[ScoredEpisode]) -> CountsTable:
    names = tuple(policy.name for policy in policies_for(job.episode_set))
    scored = (episode.scored for episode in kept)
    return CountsTable.of(job.track, names, scored, truth_digest=job.episode_set.truth_digest(job.track))


def _left_by_others(path: Path, loaded: LoadedModel, identity: str) -> Iterator[Path]:
    """What interrupted runs on these episodes left that were of something else by the model's name."""
    partial = path.with_suffix(f".counts{PARTIAL}").name
    label = results_folder(loaded.record).rpartition("-")[0]
    for left in sorted(path.parent.parent.glob(f"{escape(label)}-*/{escape(partial)}")):
        if left.parent.name.rpartition("-")[0] == label and not of_identity(left, identity):
            yield left


def _changed(then: Environment, now: Environment) -> str:
    """The software that a result was made with, as far as it is another one now; or nothing."""
    before, here = ({"fssbench": one.fssbench, **one.packages} for one in (then, now))
    changed = [name for name in before if name in here and before[name] != here[name]]
    return ", ".join(f"{name} {before[name]} (here {here[name]})" for name in changed)


def _fewer_there(path: Path, loaded: LoadedModel, job: Job) -> int:
    """Episodes of a result that is the beginning of what is asked, by the same model in the same way; or 0."""
    if not path.exists() or (there := read_result(path)).episodes.n_episodes >= job.n_episodes:
        return 0
    asked = there.episodes
    begins = asked == episodes_record(job.episode_set, shot=job.shot, seed=job.seed, n_episodes=asked.n_episodes)
    precision = there.execution.precision if there.execution else ""
    alike = there.model == loaded.record and there.headline == job.headline.name
    kept = there.predictions is None or job.save_predictions
    return asked.n_episodes if begins and alike and kept and precision == job.inference.precision else 0


def _same_result(path: Path, loaded: LoadedModel, job: Job) -> Result:
    there = read_result(path)
    if unlike := there.episodes.identity.unlike(job.asked_episodes.identity):
        raise ResultError(
            f"{path} is a result on {unlike}",
            remedy="pass --overwrite to replace it, or another --output",
        )
    if there.model != loaded.record:
        raise ResultError(
            f"{path} is a result on other episodes ({there.episodes.n_episodes:,}, digest "
            f"{there.episodes.digest[:12]}…)",
            remedy="pass --overwrite to replace it, or another --output",
        )
    if there.headline != job.headline.name:
        raise ResultError(
            f"{path} has {there.headline} as its headline, not {job.headline.name}",
            remedy="pass --overwrite to replace it, or another --output",
        )
    if there.execution is not None and there.execution.precision != job.inference.precision:
        raise ResultError(
            f"{path} was computed in {there.execution.precision}, not in {job.inference.precision}",
            remedy="pass --overwrite to replace it, or another --output",
        )
    if job.save_predictions and there.predictions is None:
        raise ResultError(
            f"{path} is there without its predictions", remedy="pass --overwrite to evaluate again and keep them"
        )
    return there
