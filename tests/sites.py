"""Results of three models on all folds of the toy, and what a site of them is made from."""

from __future__ import annotations

from pathlib import Path

from toys import build_toy_sets

from fssbench.base.home import Home
from fssbench.engine.job import Job
from fssbench.engine.model import load_model
from fssbench.engine.run import run
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.pages.draw_examples import keep_examples
from fssbench.pages.sources import Source, from_folder

MODELS = (("copy-support", 32), ("all-foreground", 32), ("copy-support", 16))

HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
"""What a model might be called by whoever wants to know how careful a page is."""


def make_results(raw: Path, folder: Path) -> Path:
    """40 episodes a fold, with examples of the first model's fold 0; returns the folder of the results."""
    sets = build_toy_sets(raw, folder / "sets", folds=(0, 1, 2, 3), episodes=40)
    output = folder / "results"
    for name, size in MODELS:
        loaded = load_model(name, {"size": size}, weights=None, benchmark=TOY_20I, fold=0, home=Home.find())
        jobs = [Job(episode_set=one, shot=1, seed=0, episodes=None, output=output, workers=1) for one in sets]
        finished = [run(loaded, job) for job in jobs]
        if (name, size) == MODELS[0]:
            keep_examples(loaded, jobs[0], finished[0], n=3)
    return output


def hostile_source(results: Path) -> Source:
    """Their leaderboard, with what papers report; the last entry is called `HOSTILE`."""
    board, views = from_folder(results, reported=True)
    *others, last = board.entries
    entries = (*others, last.model_copy(update={"label": HOSTILE}))
    return board.model_copy(update={"entries": entries}), views
