"""Every command and every Python block of README and docs is executed; schemas are up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import jsonschema
import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- test: exit (?P<code>\d)(?:, (?P<error>[^>]*?))? -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(page.read_text()))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, toy_raw: Path) -> Path:
    """A folder to work in, where the demo has run, and a home with COCO in it: small, but all 80 classes."""
    sys.path.insert(0, str(ROOT / "tests" / "pipelines"))
    from raw_coco import content, write_coco

    folder = tmp_path_factory.mktemp("desk")
    data = content(tuple(range(80)))
    for image in data["images"]:
        image |= {"width": 64, "height": 56}
    for annotation in data["annotations"]:
        annotation["segmentation"] = [[4, 2, 60, 2, 60, 52, 4, 52]]
    home = folder / ".cache" / "fssbench"
    write_coco(home / "raw" / "coco", data)
    (home / "raw" / "toy").symlink_to(toy_raw)
    ran = shell("fssbench demo", folder)
    assert ran.returncode == 0, ran.stderr
    return folder


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a user would, in ``folder``, which is also the user's own."""
    scripts = sysconfig.get_path("scripts")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("FSSBENCH_")}
    # Two threads on two shared cores mostly wait for each other.
    environment |= {"HOME": str(folder), "OMP_NUM_THREADS": "1", "PATH": f"{scripts}{os.pathsep}{environment['PATH']}"}
    return subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_demo_leaves_what_it_promises(desk: Path) -> None:
    made = desk / "fssbench-demo"
    board = json.loads((made / "leaderboard.json").read_text())
    schema = json.loads((ROOT / "docs/schemas/leaderboard.schema.json").read_text())
    jsonschema.validate(board, schema)
    assert {entry["model"]["name"] for entry in board["entries"]} == {
        "all-foreground",
        "copy-support",
        "prototype",
        "hsnet",
    }
    assert all(not entry["official"] for entry in board["entries"])
    assert (made / "training" / "best.safetensors").is_file()
    assert (made / "episodes.png").stat().st_size > 50_000


def test_what_the_demo_trained_beats_what_it_was_before_by_more_than_chance(desk: Path) -> None:
    """On two hundred episodes of classes that it has not seen, by the paired interval."""
    names = {}
    for path in (desk / "fssbench-demo/results").rglob("*seed0.json"):
        result = json.loads(path.read_text())
        names[result["model"]["name"], result["model"]["training"]] = path
        assert result["episodes"]["n_episodes"] == 200
        trained = result["model"]["trained"]
        assert trained is None or not {*trained["classes"], *trained["held_out"]} & {*range(0, 80, 4)}
    after, before = names["hsnet", "trained"], names["hsnet", "untrained"]
    ran = shell(f"fssbench compare {after} {before} --json", desk)
    gain = json.loads(ran.stdout)["miou"]
    assert gain["between"]["episodes"]["low"] > 0.5
    copied = json.loads(names["copy-support", "not needed"].read_text())["policies"][0]["miou"]["value"]
    assert json.loads(after.read_text())["policies"][0]["miou"]["value"] > copied


def test_a_second_demo_is_as_good_as_the_first(desk: Path) -> None:
    """Same episodes, same masks, same figures."""

    def figures() -> list[object]:
        board = json.loads((desk / "fssbench-demo/leaderboard.json").read_text())
        return [(e["label"], e["miou"], e["fb_iou"], e["episodes_digest"]) for e in board["entries"]]

    before = figures()
    assert shell("fssbench demo", desk).returncode == 0
    assert figures() == before


def test_what_make_runs_is_what_is_tested_here() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "demo: install\n\t$(BIN)/fssbench demo\n" in makefile
    assert "test: lint types\n\t$(BIN)/pytest\n" in makefile


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_code_do_what_the_page_says(page: Path, desk: Path) -> None:
    assert blocks(page) or page.name == "strict-protocol.md"
    for block in blocks(page):
        body = block["body"]
        if block["kind"] == "python":
            run_python(body, desk)
        elif block["kind"] == "console":
            for line in body.splitlines():
                assert line.startswith("$ "), f"{page.name}: '{line}' is no command"
                ran = shell(line.removeprefix("$ "), desk)
                assert ran.returncode == int(block["code"] or 0), f"{line}\n{ran.stdout}\n{ran.stderr}"
                assert (block["error"] or "") in ran.stderr


def run_python(body: str, desk: Path) -> None:
    """Run a block, or store it as the file it names in its first line."""
    named = re.match(r"# (\w+\.py)\n", body)
    if named:
        (desk / named[1]).write_text(body)
        return
    ran = subprocess.run(
        [sys.executable, "-c", body], cwd=desk, capture_output=True, text=True, env={**os.environ, "HOME": str(desk)}
    )
    assert ran.returncode == 0, ran.stderr


def test_every_command_of_the_readme_exists() -> None:
    from fssbench.cli import app

    named = set(re.findall(r"`fssbench ([a-z-]+)", (ROOT / "README.md").read_text()))
    there = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert named == there


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_schemas_in_docs_are_those_of_the_code() -> None:
    """``make docs`` writes them anew."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, model in generate.SCHEMAS.items():
        stored = (ROOT / "docs" / "schemas" / f"{name}.schema.json").read_text()
        assert stored == generate.schema_text(model), f"run make docs: {name} has changed"


def test_the_readme_does_not_name_what_is_not_in_the_repository() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert "../shared" not in text
    for placeholder in ("DEMO\n", "TESTLINE"):
        assert placeholder not in text
