"""A table as steps, in the order they are run, each with whether what it makes is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fssbench.base.home import Home
from fssbench.episodes.benchmarks import FSS_1000
from fssbench.leaderboard.reported import Row
from fssbench.leaderboard.reproduction.images import training_images
from fssbench.leaderboard.reproduction.places import Places, Results
from fssbench.leaderboard.reproduction.runs import Evaluation, Variant, wanted_folds
from fssbench.leaderboard.reproduction.settings import Settings
from fssbench.leaderboard.reproduction.steps import Missing, Step
from fssbench.models.registry import PARTS
from fssbench.training.folder import BEST, LAST, RunFolder

__all__ = ["Planner"]

NOT_TORCHVISIONS = {("pspnet", "resnet50")}
"""Models with a backbone whose ImageNet weights torchvision does not have."""

PUBLISHED = ("imagenet", "pretrained")
"""What names a backbone's ImageNet weights without being a path."""

Run = tuple[Evaluation, int]
"""An evaluation on one fold."""


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Makes the steps for some rows of a table.

    Attributes:
        folds: those to run, all if empty.
        home: that may hold the published lists.
    """

    places: Places
    results: Results
    settings: Settings
    folds: Sequence[int] = ()
    home: Home = field(default_factory=Home.find)

    def steps(self, rows: Sequence[Row], *, costs: bool = False) -> list[Step]:
        """Episode and training sets, then every variant fold by fold, then what it costs.

        What only a result that is there was made from is left out.
        """
        asked = dict.fromkeys(Evaluation.of(row) for row in rows if row.obstacle is None and row.scored)
        runs = [(one, fold) for one in asked for fold in wanted_folds(one.benchmark, self.folds)]
        missing = [run for run in runs if not self._answered(*run)]
        training = dict.fromkeys((one.variant, fold, one.protocol) for one, fold in missing if one.variant.is_trained)
        untrained = [(v, fold, p) for v, fold, p in training if self.places.checkpoint(v, fold) is None]
        steps = [
            *self._sets([*missing, *(_validation(*one) for one in untrained if _select_on(one[0]) == "test-fold")]),
            *self._training_sets([v for v, _, _ in untrained]),
        ]
        steps += self._evaluations([run for run in runs if not run[0].variant.is_trained])
        for variant, fold in dict.fromkeys((one.variant, fold) for one, fold in runs if one.variant.is_trained):
            steps += [step for v, f, p in training if (v, f) == (variant, fold) for step in self._trainings(v, f, p)]
            steps += self._evaluations([run for run in runs if (run[0].variant, run[1]) == (variant, fold)])
        steps += [step for _, step in self.profiles(rows)] if costs else []
        return list({step.arguments: step for step in steps}.values())

    def episodes(self, wanted: Evaluation) -> int:
        """Episodes of a track: the protocol's, or the trial's."""
        return self.settings.trial.episodes or wanted.rules.episodes_of(wanted.benchmark)

    def found(self, wanted: Evaluation, fold: int) -> list[Path | None]:
        """The result of every seed, or ``None`` where it is missing."""
        n = self.episodes(wanted)
        seeds = wanted.rules.seeds
        asked = [self.places.identity(wanted, fold, seed, episodes=n) for seed in seeds]
        return [
            self.results.of(wanted, fold, seed, episodes=n, identity=one)
            for seed, one in zip(seeds, asked, strict=True)
        ]

    def _answered(self, wanted: Evaluation, fold: int) -> bool:
        return all(self.found(wanted, fold))

    def _sets(self, runs: Sequence[Run]) -> Iterator[Step]:
        for benchmark, protocol in dict.fromkeys((one.benchmark, one.protocol) for one, _ in runs):
            these = [(one, fold) for one, fold in runs if (one.benchmark, one.protocol) == (benchmark, protocol)]
            shots, folds = sorted({one.shot for one, _ in these}), sorted({fold for _, fold in these})
            n = self.episodes(these[0][0])
            yield Step(
                kind="prepare",
                subject=benchmark.alias,
                options=self.settings.prepare(benchmark, protocol, shots=shots, folds=folds),
                there=all(self.places.has_set(one, fold, episodes=n) for one, fold in these),
                makes=self.places.sets / benchmark.name / protocol,
            )

    def _training_sets(self, variants: Sequence[Variant]) -> Iterator[Step]:
        for benchmark in dict.fromkeys(variant.benchmark for variant in variants):
            path = self.places.training_set(benchmark)
            options = self.settings.prepare_training(benchmark)
            yield Step(
                kind="prepare", subject=benchmark.alias, options=options, there=path.is_file(), makes=path.parent
            )

    def _trainings(self, variant: Variant, fold: int, protocol: str) -> Iterator[Step]:
        """A variant's training, after that of its base learner if it has one."""
        weights, below = self.settings.given.backbone(variant), variant.base_learner
        if below is not None and weights is None:
            weights = str(self._weights(below, fold))
            if self.places.checkpoint(variant, fold) is None:
                yield self._training(below, fold, weights=self.settings.given.backbone(below))
        yield self._training(variant, fold, weights=weights, protocol=protocol)

    def _training(self, variant: Variant, fold: int, *, weights: str | None, protocol: str | None = None) -> Step:
        trained, folder = self.places.checkpoint(variant, fold), self.places.training(variant, fold)
        select_on = _select_on(variant)
        images = training_images(variant, fold, given=self.settings.given, home=self.home)
        options = self.settings.train(
            variant,
            fold,
            folder=folder,
            select_on=select_on,
            protocol=protocol if select_on == "test-fold" else None,
            images=images.path,
            backbone_weights=weights,
            resume=RunFolder(folder).begun,
        )
        missing = _missing(variant, fold, self.settings.given.backbone(variant)) if trained is None else None
        makes = trained or folder
        return Step(
            kind="train", options=options, there=trained is not None, makes=makes, images=images, missing=missing
        )

    def _weights(self, variant: Variant, fold: int) -> Path:
        """The checkpoint that is there, or the one that training will leave."""
        chosen = LAST if _select_on(variant) == "last" else BEST
        return self.places.checkpoint(variant, fold) or self.places.training(variant, fold) / chosen

    def _evaluations(self, runs: Sequence[Run]) -> Iterator[Step]:
        """One step for all folds and shots that a variant is asked of a benchmark by a protocol.

        If it is trained, the runs are of one fold, whose weights it has.
        """
        for variant, benchmark, protocol in dict.fromkeys((e.variant, e.benchmark, e.protocol) for e, _ in runs):
            these = [
                (one, fold)
                for one, fold in runs
                if (one.variant, one.benchmark, one.protocol) == (variant, benchmark, protocol)
            ]
            options = self.settings.evaluate(
                variant,
                benchmark,
                protocol,
                folds=sorted({fold for _, fold in these}),
                shots=sorted({one.shot for one, _ in these}),
                weights=self._weights(variant, these[0][1]) if variant.is_trained else None,
            )
            there = all(self._answered(*run) for run in these)
            yield Step(kind="eval", options=options, there=there, makes=self.places.results)

    def profiles(self, rows: Sequence[Row]) -> list[tuple[Row, Step]]:
        """Of the rows that say what one of our models costs; in a table about that, those of one shot do."""
        return [
            (row, Step(kind="profile", options=self.settings.profile(Evaluation.of(row).variant, row.costs_at)))
            for row in rows
            if row.ours is not None and row.learnable_parameters is not None and row.shot == 1
        ]


def _select_on(variant: Variant) -> str:
    """By what publications choose among the weights of a training."""
    if variant.model in PARTS:
        return "base-val"  # on the base classes that it tells apart, as published
    return "base-val" if variant.benchmark == FSS_1000 else "test-fold"  # the one with classes to choose by


def _validation(variant: Variant, fold: int, protocol: str) -> Run:
    """What a training is validated on, where its weights are chosen on the test fold."""
    return Evaluation(variant=variant, benchmark=variant.benchmark, protocol=protocol, shot=variant.shot), fold


def _missing(variant: Variant, fold: int, given: str | None) -> Missing | None:
    """What a training cannot begin without, if this is given as its backbone."""
    name = f"{variant.model}-{variant.backbone}"
    if (variant.model, variant.backbone) in NOT_TORCHVISIONS and given in (None, *PUBLISHED):
        return Missing(
            what=f"the ImageNet weights of {name}, whose stem is not torchvision's (published ones began with "
            "resnet50_v2.pth)",
            remedy=f"pass --backbone-weights {name}=PATH, or {name}=none to begin at random",
        )
    if given in (None, "none", *PUBLISHED):
        return None
    what, path = "backbone", Path(str(given))
    if variant.base_learner is not None:  # of which every fold has its own, in a file or a training's folder
        what, path = "base learner", Path(str(given).replace("{fold}", str(fold)))
    if path.is_file() or (variant.base_learner is not None and path.is_dir()):
        return None
    return Missing(what=f"the {what} of {name}: there is no {path}", remedy="pass the path of a file")
