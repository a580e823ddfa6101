"""Evaluating a model on tracks: everything is resolved, and whatever cannot be is refused, before the model runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from fssbench.api.tracks import AskedTrack, asked_tracks
from fssbench.base.errors import UsageError
from fssbench.base.home import Home
from fssbench.base.progress import SILENT, Report
from fssbench.base.trackers import require_trackers
from fssbench.engine.asked import batch_of
from fssbench.engine.estimate import Estimate, estimate
from fssbench.engine.evaluate import Answer
from fssbench.engine.inference import InferenceSettings
from fssbench.engine.job import Job
from fssbench.engine.model import LoadedModel, load_model, load_object
from fssbench.engine.ranks import Ranks, joined
from fssbench.engine.run import run
from fssbench.engine.running import RunningScore
from fssbench.models import full_name, model_spec, recorded_name
from fssbench.models.registry import BUILTIN
from fssbench.pipelines.episode_sets.loaded_track import LoadedTrack
from fssbench.results.control_names import require_control
from fssbench.results.environment import pick_device
from fssbench.results.evaluation import Evaluation
from fssbench.results.tracked import log_result
from fssbench.scoring.counts import EpisodeCounts

__all__ = ["EvaluationRequest", "evaluate"]

Model = str | nn.Module | Callable[..., Any]
"""A model's name or ``path/to/file.py:Name``; a module; or a function of an episode."""

Many = int | Sequence[int] | None
After = Callable[[LoadedModel, Job, Evaluation], None]


def evaluate(
    model: Model,
    on: str | LoadedTrack | Sequence[LoadedTrack] = "coco",
    *,
    fold: Many = None,
    shot: Many = 1,
    seed: Many = None,
    protocol: str = "strict",
    data: str | Path | None = None,
    episodes: int | None = None,
    options: Mapping[str, Any] | None = None,
    weights: str | Path | None = None,
    name: str | None = None,
    device: str = "auto",
    workers: int = 4,
    batch: int | None = None,
    precision: str = "float32",
    feature_cache: int | str = "2GiB",
    compile_model: bool = False,
    plain: bool = False,
    ignore_label: bool = True,
    control: str | None = None,
    output: str | Path | None = None,
    overwrite: bool = False,
    save_predictions: bool = False,
    log_to: Sequence[str] = (),
    report: Report = SILENT,
) -> Evaluation | list[Evaluation]:
    """Ask a model the episodes of one track or several, and score its masks.

    Args:
        model: a name, such as ``hsnet`` or ``path/to/file.py:Name``; a ``torch.nn.Module``, called with tensors
            (query (B, 3, H, W), supports (B, K, 3, H, W), masks (B, K, H, W)); or any function of an episode, or of
            (query, supports, masks) as arrays of original size. Modules and functions give masks or logits of any
            size: see `fssbench.engine.functions`.
        on: a benchmark's name or alias, or tracks from `load`.
        fold: one fold or several; ``None`` for all.
        shot: numbers of supports.
        seed: seeds; ``None`` for the protocol's own.
        protocol: how episodes were drawn and are scored.
        data: where episode sets lie: a folder or an address; ``None`` for the home.
        episodes: the first so many of each track, which must have as many; ``None`` for all.
        options: of a model that is named.
        weights: of a model that is named: ``none``, or a checkpoint in which ``{fold}`` stands for the fold; ``None``
            to look in the home.
        name: what results call the model; ``None`` for its own name.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, …
        workers: decoding threads.
        batch: images encoded and episodes matched at a time; ``None`` for 1 on a CPU, 8 elsewhere.
        precision: ``float32``, ``tf32``, ``bf16`` or ``fp16``.
        feature_cache: bytes on the device for features of images.
        compile_model: encode images by code of ``torch.compile``.
        plain: one episode at a time by the model as it is: the reference.
        ignore_label: leave ignored pixels out of the headline score; both ways are scored.
        control: ``no-support`` or ``wrong-class``, to see whether the model uses its supports; never ranked.
        output: a folder where results are written as they come, so that an interrupted run is taken up; with
            ``None`` nothing is written until `Evaluation.save`.
        overwrite: evaluate again what is in ``output``.
        save_predictions: keep every mask with the result.
        log_to: ``wandb``, ``mlflow``: where figures go as well, a run for each result.
        report: where to show progress.

    Returns:
        The result, or a list of results if there were several tracks.

    Raises:
        UsageError: something asked for is unknown, or contradicts itself.
        EpisodeSetError: an episode set is missing or damaged.
        ModelError: the model cannot be built, has no weights, or gives no masks.
    """
    request = EvaluationRequest(
        model=model,
        tracks=asked_tracks(
            on,
            data=data,
            protocol=protocol,
            folds=_several(fold),
            shots=_several(shot) or (1,),
            seeds=_several(seed),
            episodes=episodes,
        ),
        options=options or {},
        weights=None if weights is None else str(weights),
        name=name,
        device=device,
        workers=workers,
        inference=InferenceSettings.on(
            device,
            batch=batch,
            precision=precision,
            feature_cache=feature_cache,
            compiled=compile_model,
            plain=plain,
        ),
        ignore_label=ignore_label,
        control=control,
        output=None if output is None else Path(output),
        overwrite=overwrite,
        save_predictions=save_predictions,
        log_to=log_to,
    )
    found = request.run(report=report)
    return found[0] if len(found) == 1 else found


def _several(value: Many) -> tuple[int, ...] | None:
    if value is None:
        return None
    return tuple(dict.fromkeys([value] if isinstance(value, int) else value))


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """A model and the tracks it is to be asked; arguments as in `evaluate`.

    Attributes:
        tracks: from `fssbench.api.tracks.asked_tracks`.
        inference: how the model is asked.
        asked: the command or call, for the record.
    """

    model: Model
    tracks: Sequence[AskedTrack]
    inference: InferenceSettings
    options: Mapping[str, Any]
    weights: str | None = None
    name: str | None = None
    device: str = "auto"
    workers: int = 4
    ignore_label: bool = True
    control: str | None = None
    output: Path | None = None
    overwrite: bool = False
    save_predictions: bool = False
    log_to: Sequence[str] = ()
    asked: Sequence[str] = ("fssbench.evaluate",)

    def __post_init__(self) -> None:
        require_trackers(self.log_to)
        if self.control is not None:
            require_control(self.control)
        if self.name is not None and not self._is_free(self.name):
            raise UsageError(
                f"a model cannot be called '{self.name}'",
                remedy="choose a printable name without / that no model of fssbench has",
            )
        if isinstance(self.model, str):
            object.__setattr__(self, "model", full_name(self.model))
            spec = model_spec(str(self.model))
            if spec.fills_backbone:
                object.__setattr__(
                    self, "options", {"backbone_weights": spec.usual_weights(self.options), **self.options}
                )
        elif self.options or self.weights is not None:
            raise UsageError(
                "a model that is built already takes no options and no weights",
                remedy="pass them when it is built, or pass the model's name",
            )

    def _is_free(self, name: str) -> bool:
        taken = name in BUILTIN and name != self.model
        return bool(name.strip()) and name.isprintable() and "/" not in name and not taken

    def run(
        self, *, report: Report = SILENT, after: After | None = None, look: Callable[[Answer], None] | None = None
    ) -> list[Evaluation]:
        """Evaluate every track. Under torchrun the processes share the episodes, and all return the same.

        Args:
            report: where to show progress.
            after: called with each result as it is there, in the first process alone.
            look: called with every answer of this process.
        """
        finished: list[Evaluation] = []
        with joined() as ranks:
            for loaded, job in self._jobs(ranks):
                if ranks.first and not finished and (alone := _why_alone(loaded, job)):
                    report.note(alone)
                evaluation = self._evaluate(loaded, job, ranks, report if ranks.first else SILENT, look)
                if ranks.first and after is not None:
                    after(loaded, job, evaluation)
                finished.append(evaluation)
        return finished

    def estimates(self) -> list[Estimate]:
        """What each track would take, in memory and time; under torchrun the first process alone says it."""
        with joined() as ranks:
            found = [estimate(loaded, job, processes=ranks.world) for loaded, job in self._jobs(ranks)]
        return found if ranks.first else []

    def _evaluate(
        self, loaded: LoadedModel, job: Job, ranks: Ranks, report: Report, look: Callable[[Answer], None] | None
    ) -> Evaluation:
        title = f"{loaded.record.name} fold {job.episode_set.manifest.fold} {job.shot}-shot"
        with report.progress(title, len(ranks.share(job.track)), unit="episodes") as bar:
            running = RunningScore(bar)

            def see(answer: Answer) -> None:
                running.add(answer)
                if look is not None:
                    look(answer)

            def begin(kept: Sequence[EpisodeCounts]) -> None:
                running.begin((job.track.episodes[one.index].class_id, one) for one in kept)

            evaluation = run(loaded, job, look=see, begin=begin, ranks=ranks, note=report.note)
        if self.output is not None and not evaluation.saved and ranks.first:
            evaluation.save(self.output, overwrite=self.overwrite)
        if ranks.first and not evaluation.skipped:
            log_result(evaluation.record, tuple(dict.fromkeys(self.log_to)))
        return evaluation

    def _jobs(self, ranks: Ranks) -> Iterator[tuple[LoadedModel, Job]]:
        """A job for each track, with its model; one model at a time is in memory, since checkpoints differ by fold."""
        device = pick_device(self.device, local=ranks.local)
        fold, loaded = None, None
        for track in self.tracks:
            if loaded is None or track.fold != fold:
                fold, loaded = track.fold, self._load(track)
            yield loaded, self._job(loaded, track, device)

    def _load(self, track: AskedTrack) -> LoadedModel:
        if not isinstance(self.model, str):
            return load_object(self.model, name=self.name, control=self.control)
        return load_model(
            self.model,
            self.options,
            weights=self.weights,
            benchmark=track.episode_set.benchmark,
            fold=track.fold,
            n_folds=len({one.fold for one in self.tracks}),
            home=Home.find(),
            control=self.control,
            called=self.name,
        )

    def _job(self, loaded: LoadedModel, track: AskedTrack, device: str) -> Job:
        manifest = track.episode_set.manifest
        asked = {"fold": track.fold, "shot": track.shot, "seed": track.seed, "episodes": track.episodes}
        return Job(
            episode_set=track.episode_set,
            shot=track.shot,
            seed=track.seed,
            episodes=track.episodes,
            # What a function or module computes cannot be told from its code alone: nothing of it is taken up again.
            output=self.output if isinstance(self.model, str) else None,
            device=device,
            workers=self.workers,
            inference=self.inference,
            exclude_ignored=self.ignore_label,
            save_predictions=self.save_predictions,
            overwrite=self.overwrite,
            asked=tuple(self.asked),
            resolved={
                "model": recorded_name(self.model) if isinstance(self.model, str) else self.name,
                "name": self.name,
                "options": {key: str(value) for key, value in self.options.items()},
                "weights": self.weights,
                "data": str(track.root),
                "benchmark": manifest.benchmark,
                "protocol": manifest.protocol.name,
                "ignore_label": self.ignore_label,
                "control": self.control,
                "device": device,
                "output": None if self.output is None else str(self.output),
                "path": "fast" if self.inference.fast else "plain",
                "batch": batch_of(loaded.model, device, self.inference),
                "feature_cache": self.inference.feature_cache,
                "precision": self.inference.precision,
                "compile": self.inference.compiled,
                **asked,
            },
        )


def _why_alone(loaded: LoadedModel, job: Job) -> str:
    """Why a batch that was asked for is not used; nothing if it is."""
    asked, model = job.inference.batch or 1, loaded.model
    if asked <= batch_of(model, job.device, job.inference):
        return ""
    if not job.inference.fast:
        why = "--plain asks one episode at a time"
    elif model.needs_gradients:
        why = "it computes gradients for each episode"
    elif model.preprocess.shape is None:
        why = "its inputs differ in size"
    else:
        why = "it does not say that it can be asked several episodes at a time, by batched = True"
    return f"{loaded.record.name} is asked one episode at a time, not {asked}: {why}"
