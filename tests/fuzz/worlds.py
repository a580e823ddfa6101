"""Whole small worlds that are sound, and the commands that meet them once something in them is broken."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from law import Command, run
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from raw_coco import content, write_coco
from raw_coco import jpeg as noise
from raw_voc_fss import fss, indices, png, voc
from small import RECIPE

__all__ = ["WORLDS", "World", "sound_world"]

EPISODES = ("-n", "8", "--min-pixels", "1", "--allow-missing-classes")
MODEL = f"{Path(__file__).parents[1] / 'training' / 'small.py'}:Small"


@dataclass(frozen=True)
class World:
    """A kind of input.

    Attributes:
        make: writes it, sound, below a folder.
        commands: for the folder with the input, and one to write to.
    """

    make: Callable[[Path], None]
    commands: Callable[[Path, Path], list[Command]]


def _ran(*words: object) -> None:
    ran = run([str(word) for word in words])
    assert ran.code == 0, (words, ran)


def _raw(kind: str, benchmark: str, *more: str) -> Callable[[Path, Path], list[Command]]:
    """From raw data to a checked result: whatever ``prepare`` accepts must go all the way."""

    def commands(folder: Path, out: Path) -> list[Command]:
        sets, results = str(out / "sets"), str(out / "results")
        return [
            Command(["doctor", str(folder)]),
            Command(["doctor", str(folder), "-b", kind] if kind != "folder" else ["list", "-d", str(folder)]),
            Command(["prepare", kind, "-s", str(folder), "-o", sets, "-f", "0", *EPISODES, *more]),
            Command(["verify", sets], bound=True),
            Command(["eval", "-m", "copy-support", "-b", benchmark, "-d", sets, "-f", "0", "-o", results], bound=True),
            Command(["score", "--check", results, "-d", sets], bound=True),
        ]

    return commands


def _coco(folder: Path) -> None:
    data = content()
    data["annotations"][3]["segmentation"] = {"counts": [40, 10, 20, 30, 1100], "size": [30, 40]}
    data["annotations"][4] |= {
        "segmentation": [[5, 5, 25, 5, 25, 20], [1, 1, 4, 1, 4, 4, 1, 4]],
        "area": 300,
        "bbox": [1, 1, 24, 19],
    }
    data["annotations"].append(
        data["annotations"][0] | {"id": 99, "iscrowd": 1, "segmentation": {"counts": [100, 9, 1091], "size": [30, 40]}}
    )
    write_coco(folder, data)


def _voc(folder: Path) -> None:
    voc(folder, {f"2007_{n:06d}": indices({n % 5 + 1: 60 + n, 255: 8}) for n in range(15)})


def _fss(folder: Path) -> None:
    fss(folder, ["abacus", "ab_wheel", "zebra"], numbers=range(1, 11))


def _own(folder: Path) -> None:
    for n in range(9):
        name = f"{'dry' if n % 2 else 'wet'}/plant {n}"
        image = folder / f"images/{name}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        image.write_bytes(noise(32, 24, seed=n))
        png(folder / f"masks/{name}.png", indices({(7, 30, 200)[n % 3]: 40 + n, 255: 5}), mode="P")
    (folder / "benchmark.toml").write_text(
        'name = "plants"\ntitle = "Plants"\nfolds = [["root"], ["leaf", "stem"]]\nignore_label = 255\n'
        "[classes]\nroot = 200\nleaf = 7\nstem = 30\n"
    )


def _sets(folder: Path) -> None:
    raw = folder.with_name("raw-of-sets")
    _own(raw)
    _ran("prepare", "folder", "-s", raw, "-o", folder, "-f", "0", *EPISODES)
    _ran("prepare", "folder", "--train", "-s", raw, "-o", folder)
    shutil.rmtree(raw)


def _with_sets(folder: Path, out: Path) -> list[Command]:
    data, one = str(folder), str(folder / "plants/strict/fold0")
    return [
        Command(["list", "-d", data]),
        Command(["info", one]),
        Command(["show", one, "-n", "2", "-o", str(out / "x.png")]),
        Command(["verify", data]),
        Command(
            ["eval", "-m", "copy-support", "-b", "plants", "-f", "0", "-d", data, "-o", str(out / "r")], bound=True
        ),
        Command(["score", "--check", str(out / "r"), "-d", data], bound=True),
        Command(
            [
                "eval",
                "-m",
                "copy-support",
                "-b",
                "plants",
                "-f",
                "0",
                "-d",
                data,
                "-o",
                str(out / "r2"),
                "--save-predictions",
            ]
        ),
    ]


def _results(folder: Path) -> None:
    _sets(sets := folder.with_name("of-results"))
    for size in (32, 48):
        asked = ["-m", "copy-support", "--option", f"size={size}", "--name", f"copy-{size}", "--visualize", "2"]
        _ran("eval", *asked, "-b", "plants", "-f", "0", "-d", sets, "-o", folder / "r", "--save-predictions")
    _ran("leaderboard", "build", folder / "r", "-o", folder / "board.json")
    _ran("submit", folder / "r", "-d", sets, "-o", folder / "s.tar")
    sets.rename(folder / "sets")


def _with_results(folder: Path, out: Path) -> list[Command]:
    results, board, data = str(folder / "r"), str(folder / "board.json"), str(folder / "sets")
    first, second = (
        (str(path) for path in sorted((folder / "r").rglob("copy-*"))[:2])
        if len(sorted((folder / "r").rglob("copy-*"))) > 1
        else (results, results)
    )
    return [
        Command(["score", "--check", results, "-d", data]),
        Command(["leaderboard", "build", results, "-o", str(out / "b.json"), "--no-reported"], bound=True),
        Command(["leaderboard", "verify", str(out / "b.json"), "-r", results], bound=True),
        Command(["leaderboard", "build", results, "-o", str(out / "b2.json"), "--no-reported"]),
        Command(["leaderboard", "verify", board, "-r", results]),
        Command(["leaderboard", "show", board]),
        Command(["leaderboard", "export", board, "-o", str(out / "x.tex"), "--format", "latex"]),
        Command(["leaderboard", "page", board, "-o", str(out / "site"), "-r", results]),
        Command(
            [
                "leaderboard",
                "add",
                str(folder / "s.tar"),
                "--to",
                str(out / "more"),
                "-o",
                str(out / "b3.json"),
                "-d",
                data,
            ]
        ),
        Command(["report", first, "-o", str(out / "report.html")]),
        Command(["compare", first, second]),
        Command(["stability", first]),
        Command(["info", str(Path(first) / "fold0-1shot-seed0.json")]),
        Command(["score", str(Path(first) / "fold0-1shot-seed0.predictions"), "-d", data, "-o", str(out / "scored")]),
        Command(["submit", results, "-d", data, "-o", str(out / "t.tar")]),
        Command(
            ["leaderboard", "add", str(out / "t.tar"), "--to", str(out / "m"), "-o", str(out / "b4.json"), "-d", data],
            bound=False,
        ),
    ]


def _weights(folder: Path) -> None:
    """A small model's file of weights, options, a recipe, a list of images, and another tool's masks."""
    _sets(folder / "sets")
    recipe = RECIPE.replace('"small"', '"small.py:Small"') + 'episodes = 8\nselect_on = "last"\nmax_steps = 1\n'
    (folder / "recipe.toml").write_text(recipe)
    (folder / "options.toml").write_text("dropout = 0.1\n")
    _ran(
        "train",
        "-m",
        MODEL,
        "-b",
        "plants",
        "-f",
        "0",
        "-d",
        folder / "sets",
        "--config",
        folder / "recipe.toml",
        "-o",
        folder / "run",
        "--device",
        "cpu",
    )
    (folder / "masks").mkdir()
    for n in range(8):
        Image.fromarray(np.zeros((24, 32), np.uint8)).save(folder / "masks" / f"{n}.png")
    (folder / "masks.jsonl").write_text(
        "".join(json.dumps({"index": n, "mask": {"size": [24, 32], "counts": [768]}}) + "\n" for n in range(8))
    )
    shutil.copytree(folder / "sets", folder.with_name("beside"), dirs_exist_ok=True)
    shutil.rmtree(folder / "sets")


def _with_weights(folder: Path, out: Path) -> list[Command]:
    data = str(folder.with_name("beside"))
    asked = ["-m", MODEL, "-b", "plants", "-f", "0", "-d", data]
    return [
        Command(
            [
                "eval",
                *asked,
                "--weights",
                str(folder / "run"),
                "-o",
                str(out / "r"),
                "--options",
                str(folder / "options.toml"),
            ]
        ),
        Command(["score", "--check", str(out / "r"), "-d", data], bound=True),
        Command(["eval", *asked, "--weights", str(folder / "run/last.safetensors"), "-o", str(out / "r3")]),
        Command(["eval", *asked, "--weights", str(folder / "run/state.pt"), "-o", str(out / "r4")]),
        Command(["train", *asked, "--config", str(folder / "recipe.toml"), "-o", str(out / "t"), "--device", "cpu"]),
        Command(
            [
                "train",
                *asked,
                "--config",
                str(folder / "recipe.toml"),
                "-o",
                str(folder / "run"),
                "--resume",
                "--device",
                "cpu",
            ]
        ),
        Command(["check-model", MODEL, "--options", str(folder / "options.toml")]),
        Command(["score", str(folder / "masks"), "-b", "plants", "-d", data, "-o", str(out / "m"), "--name", "other"]),
        Command(
            ["score", str(folder / "masks.jsonl"), "-b", "plants", "-d", data, "-o", str(out / "m2"), "--name", "other"]
        ),
    ]


WORLDS = {
    "coco": World(_coco, _raw("coco", "coco")),
    "voc": World(_voc, _raw("pascal", "pascal")),
    "fss": World(_fss, _raw("fss", "fss")),
    "folder": World(_own, _raw("folder", "plants")),
    "sets": World(_sets, _with_sets),
    "results": World(_results, _with_results),
    "weights": World(_weights, _with_weights),
}


def sound_world(name: str, folder: Path) -> Path:
    """The folder ``folder/name``, made once, that holds a sound world by its name and whatever it needs beside it."""
    place = folder / name
    if not place.exists():
        unfinished = folder / f"{name}-unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        WORLDS[name].make(unfinished / name)
        unfinished.rename(place)
    return place
