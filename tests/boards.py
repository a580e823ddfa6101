"""Results written from drawn counts, without sets and models: small leaderboards in no time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from drawn import Population
from toys import CLEAN, COMMAND, strangers_model

from fssbench.base.files import sha256_bytes
from fssbench.leaderboard.submission import place_of
from fssbench.results import counts_file
from fssbench.results.figures import policy_results
from fssbench.schemas.result import CountsFile, EpisodesRecord, Execution, ModelRecord, Result
from fssbench.scoring.counts import CountsTable

FOLDS = ((0, 1, 2), (3, 4, 5))
"""Of the benchmark ``drawn``."""

NAMES = {c: f"class {c}" for fold in FOLDS for c in fold}
EPISODES = 60


def model(name: str, **changes: object) -> ModelRecord:
    """A model that needs no training, so that nothing speaks against it."""
    return strangers_model().model_copy(update={"name": name, "training": "not needed"} | changes)


def answers(
    *,
    fold: int,
    seed: int = 0,
    better: float = 0.0,
    chance: int = 0,
    n: int = EPISODES,
    truth: str | None = "masks as published",
) -> CountsTable:
    """Counts on a fold: the same episodes for the same fold, seed and n; the better the higher.

    ``truth`` names the masks and images; ``None`` for results of old, which do not say.
    """
    population = Population(classes=len(FOLDS[fold]), images=20, seed=fold, better=better)
    drawn = population.table(n, seed=seed, chance=chance)
    episodes = tuple(replace(one, class_id=FOLDS[fold][one.class_id]) for one in drawn.track.episodes)
    track = replace(drawn.track, benchmark="drawn", fold=fold, episodes=episodes)
    told = None if truth is None else sha256_bytes(f"{truth} {fold} {seed} {n}".encode())
    return CountsTable(track, drawn.policies, drawn.counts, drawn.queries, told)


def result_of(
    table: CountsTable, record: ModelRecord, counts: CountsFile, source: Literal["measured", "recomputed"] = "measured"
) -> Result:
    """The result that a table of counts gives."""
    track = table.track
    execution = Execution(
        device="cpu",
        device_name="a drawn processor",
        processes=1,
        precision="float32",
        seconds=2.0,
        episodes_per_second=len(track.episodes) / 2,
        resumed_episodes=0,
    )
    reasons = ("it is drawn",)
    return Result(
        schema_version=2,
        kind="fssbench-result",
        model=record,
        episodes=EpisodesRecord(
            benchmark=track.benchmark,
            protocol="strict",
            protocol_version=1,
            fold=track.fold,
            shot=track.shot,
            seed=track.seed,
            n_episodes=len(track.episodes),
            digest=track.digest,
            truth_digest=table.truth_digest,
            track_digest=track.digest,
            pools={},
            folds=FOLDS,
        ),
        headline="original/ignore",
        policies=policy_results(table, classes={c: NAMES[c] for c in FOLDS[track.fold]}),
        counts=counts,
        predictions=None,
        source=source,
        execution=execution if source == "measured" else None,
        environment=CLEAN,
        command=COMMAND.model_copy(update={"asked": ("fssbench", "eval", "-m", record.name)}),
        official=not reasons,
        unofficial=reasons,
    )


def write_result(folder: Path, table: CountsTable, record: ModelRecord) -> Path:
    """Write a result where eval would below ``folder``, and its counts beside it."""
    data = counts_file.to_bytes(table)
    stem = f"fold{table.track.fold}-{table.track.shot}shot-seed{table.track.seed}"
    counts = CountsFile(
        file=f"{stem}.counts.parquet", sha256=sha256_bytes(data), rows=len(table.counts) * len(table.policies)
    )
    result = result_of(table, record, counts)
    path = folder / place_of(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_name(counts.file).write_bytes(data)
    path.write_text(result.to_json())
    return path


def write_model(
    folder: Path,
    name: str,
    *,
    better: float = 0.0,
    chance: int = 0,
    seeds: tuple[int, ...] = (0,),
    truth: str | None = "masks as published",
    **changes: object,
) -> list[Path]:
    """Write a model's results on all folds and some seeds."""
    return [
        write_result(
            folder, answers(fold=fold, seed=seed, better=better, chance=chance, truth=truth), model(name, **changes)
        )
        for fold in range(len(FOLDS))
        for seed in seeds
    ]
