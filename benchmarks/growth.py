"""How memory and time of the commands grow with the number of episodes, at three sizes each.

    python benchmarks/growth.py [--part track] [--episodes 1000,10000,100000] [--folder FOLDER]

- ``track``: one track of the toy's fold 0, over few small images. ``eval`` really asks `all-foreground` and keeps its
  masks; all other commands follow from what it left.
- ``results``: 4 folds × 3 numbers of shots × 5 seeds of the toy, 60 results of one model.
- ``classes``: the 240 classes of FSS-1000, drawn, ten images of 32×32 each.

The counts of the last two are drawn, and the results on them are written by the code that writes any other. Every
command is a process of its own; its peak memory and processor time are those that the system tells of it.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from fssbench.base.home import Home
from fssbench.engine.model import LoadedModel, load_model
from fssbench.episodes.benchmarks import FSS_1000
from fssbench.episodes.episodes import Track
from fssbench.episodes.protocols import find_protocol
from fssbench.pipelines.episode_sets.episode_set import EpisodeSet, find_sets
from fssbench.pipelines.episode_sets.stream import truth_of
from fssbench.results.environment import describe_environment
from fssbench.results.outcome import Outcome, result_path
from fssbench.results.policies import policies_for, query_facts
from fssbench.schemas.result import Request
from fssbench.schemas.samples import ImageMeta
from fssbench.scoring.counts import CountsTable, QueryFacts

MODEL = "all-foreground"
TINY = 20
"""Episodes of a run that says what a command takes before it has anything to do."""

Words = Sequence[object]


@dataclass(frozen=True)
class Cost:
    """What a command took: most memory in MB, processor time in s."""

    memory: float
    seconds: float


@dataclass(frozen=True)
class Part:
    """What is measured: sizes, how the data of a size is made, and the commands that it then takes."""

    sizes: tuple[int, ...]
    make: Callable[[int, Path], None]
    commands: Mapping[str, Callable[[Path], Words]]


WAIT = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
print(os.waitstatus_to_exitcode(status), used.ru_maxrss, used.ru_utime + used.ru_stime)
"""
"""What starts a command. The peak that the system tells of a process includes its parent's until it began, so that
must be a small one."""


def run(words: Words) -> Cost:
    """A command in a process of its own; its output is shown if it fails."""
    command = [sys.executable, "-m", "fssbench", *map(str, words)]
    ran = subprocess.run([sys.executable, "-S", "-c", WAIT, *command], capture_output=True, text=True, check=True)
    code, peak, seconds = ran.stdout.split()
    if code != "0":
        raise SystemExit(f"{' '.join(command)}: {ran.stderr}")
    return Cost(int(peak) / (1e6 if sys.platform == "darwin" else 1e3), float(seconds))


def main(arguments: Sequence[str] | None = None, *, run: Callable[[Words], Cost] = run) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--part", choices=("track", "results", "classes"), help="One of the parts. [default: all]")
    parser.add_argument("--episodes", help="Of a track, joined by commas. [default: three sizes a part]")
    parser.add_argument("--folder", type=Path, help="Where data and results go, and stay.")
    given = parser.parse_args(arguments)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as temporary:
        for name, part in parts(run).items():
            if given.part in (None, name):
                sizes = tuple(map(int, given.episodes.split(","))) if given.episodes else part.sizes
                measure(name, part, sizes, (given.folder or Path(temporary)) / name, run)


def measure(name: str, part: Part, sizes: Sequence[int], folder: Path, run: Callable[[Words], Cost]) -> None:
    """Every command at every size, and a row each."""
    costs: dict[str, dict[int, Cost]] = {command: {} for command in part.commands}
    for size in (TINY, *sizes):
        place = folder / str(size)
        place.mkdir(parents=True, exist_ok=True)
        part.make(size, place)
        for command, words in part.commands.items():
            cost = costs[command][size] = run(words(place))
            print(f"{name} {size:,}: {command} {cost.memory:,.0f} MB, {cost.seconds:,.1f} s", file=sys.stderr)
    print("\n".join(table(name, sizes, costs)), flush=True)


def table(name: str, sizes: Sequence[int], costs: Mapping[str, Mapping[int, Cost]]) -> Iterator[str]:
    """Markdown: a row a command, memory and time at each size, and the exponents of their growth."""
    heads = [f"{size:,}" for size in sizes]
    yield ""
    yield f"| {name}, episodes a track | {' | '.join(heads)} | memory grows by | time grows by |"
    yield f"|---|{'---|' * (len(sizes) + 2)}"
    for command, by_size in costs.items():
        cells = [f"{by_size[n].memory:,.0f} MB, {by_size[n].seconds:,.1f} s" for n in sizes]
        grown = [exponent({n: getattr(cost, of) for n, cost in by_size.items()}) for of in ("memory", "seconds")]
        yield f"| `{command}` | {' | '.join(cells)} | {' | '.join(grown)} |"


def exponent(values: Mapping[int, float]) -> str:
    """The power p of n in what grows beyond the smallest size's value, by least squares of logarithms.

    Sizes at which it has grown by less than a fifth say nothing.
    """
    start = values[min(values)]
    grown = {n: value - start for n, value in values.items() if value > 1.2 * start}
    if len(grown) < 2:
        return "—"
    slope = np.polyfit([math.log(n) for n in grown], [math.log(more) for more in grown.values()], 1)[0]
    return f"n^{slope:.2f}"


def parts(run: Callable[[Words], Cost]) -> dict[str, Part]:
    """All that is measured."""

    def prepared(*words: object) -> Callable[[int, Path], None]:
        def make(size: int, place: Path) -> None:
            run(["prepare", *words, "--episodes", size, "--output", place / "sets"])

        return make

    def drawn(make_sets: Callable[[int, Path], None]) -> Callable[[int, Path], None]:
        def make(size: int, place: Path) -> None:
            make_sets(size, place)
            draw_results(place / "sets", place / "results")

        return make

    def classes(size: int, place: Path) -> None:
        raw = place.parent / "raw"
        if not raw.is_dir():
            draw_fss(raw)
        prepared("fss", "--source", raw, "--splits", raw.parent / "lists")(size, place)

    one = ("-b", "toy", "-f", 0)
    asked: dict[str, Callable[[Path], Words]] = {
        "eval -m all-foreground --save-predictions": lambda place: [
            *("eval", "-m", MODEL, *one, "-d", place / "sets", "-o", place / "results", "--save-predictions")
        ],
        "score": lambda place: ["score", masks(place), "-d", place / "sets", "-o", place / "scored"],
    }
    left: dict[str, Callable[[Path], Words]] = {
        "score --check": lambda place: ["score", "--check", place / "results", "-d", place / "sets"],
        "leaderboard build": lambda place: ["leaderboard", "build", place / "results", "-o", place / "board.json"],
        "report": lambda place: ["report", place / "results", "-o", place / "report.html", "--shot", 1],
    }
    everywhere = prepared("toy", "--shots", "1,2,5", "--seeds", "0,1,2,3,4")
    return {
        "track": Part((1_000, 10_000, 100_000), prepared("toy", "--fold", 0), asked | left),
        "results": Part((100, 1_000, 10_000), drawn(everywhere), left),
        "classes": Part((2_400, 10_000, 100_000), drawn(classes), left),
    }


def masks(place: Path) -> Path:
    """The folder of masks that ``eval`` left."""
    (found,) = (place / "results").rglob("*.predictions")
    return found


def draw_results(sets: Path, output: Path) -> None:
    """A result on every track of every set."""
    loaded: LoadedModel | None = None
    for path in find_sets(sets):
        episode_set = EpisodeSet.open(path)
        loaded = loaded or load_model(
            MODEL, {}, weights=None, benchmark=episode_set.benchmark, fold=episode_set.manifest.fold, home=Home.find()
        )
        for track in episode_set.tracks.values():
            outcome = Outcome(
                model=loaded.record,
                episode_set=episode_set,
                table=drawn_counts(episode_set, track, side=loaded.record.input_size),
                headline=find_protocol(episode_set.manifest.protocol.name).headline,
                source="recomputed",
                execution=None,
                environment=describe_environment(),
                command=Request(asked=("drawn",), resolved={}),
                masks=None,
            )
            outcome.write(result_path(output, outcome.episodes, loaded.record))


def drawn_counts(episode_set: EpisodeSet, track: Track, *, side: int | None) -> CountsTable:
    """What a model might have counted: of each object some part is found, and some ground beside it."""
    queries = episode_set.queries(track)
    known: dict[tuple[int, str], QueryFacts] = {}
    facts = tuple(
        known.get(key := (m.class_id, m.image_id)) or known.setdefault(key, _facts(m)) for m in queries.values()
    )
    random = np.random.default_rng(track.seed)
    found, beside = random.random((2, len(facts)))
    objects = np.array([one.object_pixels for one in facts])
    areas = np.array([one.image_pixels for one in facts])
    policies = policies_for(episode_set)
    counts = np.stack(
        [_counts(objects, areas, found, beside, side if p.size == "model" else None) for p in policies], 1
    )
    names = tuple(policy.name for policy in policies)
    return CountsTable(track, names, counts, facts, episode_set.truth_digest(track))


def _facts(meta: ImageMeta) -> QueryFacts:
    return query_facts(truth_of(meta, where=meta.image_id)[0], meta.n_classes)


def _counts(
    objects: npt.NDArray[np.int64],
    areas: npt.NDArray[np.int64],
    found: npt.NDArray[np.float64],
    beside: npt.NDArray[np.float64],
    side: int | None,
) -> npt.NDArray[np.int64]:
    """(N, 5) counts of masks of the queries' own size, or of a square of ``side``."""
    if side is not None:
        objects, areas = np.maximum(1, objects * side**2 // areas), np.full_like(areas, side**2)
    both = (objects * found).astype(np.int64)
    either = objects + ((areas - objects) * beside / 2).astype(np.int64)
    return np.stack([both, either, areas - either, areas - both, areas], axis=1)


def draw_fss(folder: Path) -> None:
    """Ten images with a disc for each of 240 classes, and the list of the classes."""
    y, x = np.mgrid[:32, :32]
    random = np.random.default_rng(0)
    names = [f"thing{n:03d}" for n in FSS_1000.novel_classes(0)]
    for name in names:
        (folder / name).mkdir(parents=True)
        for number in range(1, 11):
            disc = ((y - 16) ** 2 + (x - 16) ** 2 < random.integers(16, 150)).astype(np.uint8) * 255
            Image.fromarray(np.dstack([disc] * 3)).save(folder / name / f"{number}.png")
            Image.fromarray(random.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(folder / name / f"{number}.jpg")
    lists = folder.parent / "lists" / "fss"
    lists.mkdir(parents=True)
    (lists / "test.txt").write_text("".join(f"{name}\n" for name in names))


if __name__ == "__main__":
    main()
