"""Raw data and split lists that a table's steps will look for and not find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fssbench.base.errors import FssbenchError
from fssbench.base.home import Home
from fssbench.episodes.benchmarks import TOY_20I, find_benchmark
from fssbench.leaderboard.reproduction.steps import Missing, Step

__all__ = ["absent"]


def absent(steps: Iterable[Step]) -> list[Missing]:
    """What has to be brought before the steps that build sets can run; nothing is read but the names of files."""
    building = [one for one in steps if one.kind == "prepare" and not one.there and one.subject != TOY_20I.alias]
    return list(dict.fromkeys(lack for step in building for lack in _lacks(step)))


def _lacks(step: Step) -> Iterator[Missing]:
    from fssbench.api.sources import class_list, list_files, named_protocol, open_raw

    found, given = find_benchmark(str(step.subject)), step.options
    variable = f"FSSBENCH_PREPARE_{found.alias.upper().replace('-', '_')}"
    training = bool(given.get("train"))
    lists = None if given.get("splits") is None else str(given["splits"])
    files = None
    if not training:
        rules = named_protocol(str(given["protocol"]), None)
        try:
            files, _ = list_files(rules, found, lists)
        except FssbenchError as error:
            yield Missing(
                what=f"the lists of {found.title} for the protocol {rules.name}: {error.problem}",
                remedy=f"put them in {Home.find().splits(rules.name)}, or name their folder by {variable}_SPLITS",
            )
    try:
        open_raw(
            found.training if training else found,
            None if given.get("source") is None else str(given["source"]),
            class_list(found, lists, files),
            masks=None if given.get("masks") is None else Path(str(given["masks"])),
            part="training" if training else "test",
        )
    except FssbenchError as error:
        what = "images to train on" if training else "images"
        yield Missing(
            what=f"the {what} of {found.title}: {error.problem}",
            remedy=f"put them in {Home.find().raw(found.raw)}, or name their folder by {variable}_SOURCE",
        )
