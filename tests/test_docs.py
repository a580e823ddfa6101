"""Every command and every Python block of README and docs is executed; schemas are up to date."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest
from command import Command, Ran

from fssbench.api import train
from fssbench.cli import demo, main
from fssbench.episodes.benchmarks import TOY_20I
from fssbench.training import recipe

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?:<!-- test: exit (?P<code>\d)(?:, (?P<error>[^>]*?))? -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)```", re.DOTALL
)
PLAIN = re.compile(r"fssbench [\w\s./:=,\"'{}-]+")
"""Commands in which a shell finds nothing to do but take off quotes."""
LONG = {"looking.md", "models.md", "scale-out.md", "scores.md", "speed.md", "start.md", "training.md"}
"""Pages whose commands take long; those of the others, README's among them, are run by ``make test``."""
MADE = ROOT / "docs" / "reference" / "commands.md"
PAGES = [ROOT / "README.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {MADE})]
TOLD = {"index.md", "strict-protocol.md"}
"""Pages with nothing to run."""


def blocks(page: Path) -> list[re.Match[str]]:
    return list(BLOCK.finditer(page.read_text()))


@contextmanager
def seated(folder: Path) -> Iterator[None]:
    """At work in ``folder``, which is also the user's own, with fssbench on the path and nothing set for it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("FSSBENCH_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("PATH", f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}")
        patch.chdir(folder)
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, toy_raw: Path) -> Path:
    """A folder to work in, where a small demo has run, and a home with COCO in it: small, but all 80 classes."""
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
    shutil.copytree(toy_raw, home / "raw" / "toy")  # not a link: images to train on are drawn beside it
    run_small_demo(folder)
    return folder


def run_small_demo(folder: Path) -> None:
    """``fssbench demo`` with fewer episodes and a shorter training."""
    shorter = recipe.overridden(recipe.find_recipe("hsnet", TOY_20I), {"run.epochs": 1, "run.episodes": 80})
    with seated(folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "EPISODES", 40)
        patch.setattr(train, "find_recipe", lambda *asked: shorter)
        with pytest.raises(SystemExit) as left:
            main(["demo"])
        assert left.value.code == 0


def test_the_demo_leaves_what_it_promises(desk: Path) -> None:
    made = desk / "fssbench-demo"
    board = json.loads((made / "leaderboard.json").read_text())
    schema = json.loads((ROOT / "docs/reference/schemas/leaderboard.schema.json").read_text())
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


def test_a_second_demo_trains_no_more_and_gives_the_same_figures(desk: Path) -> None:
    made = desk / "fssbench-demo"

    def figures() -> list[object]:
        board = json.loads((made / "leaderboard.json").read_text())
        return [(e["label"], e["miou"], e["fb_iou"], e["episodes_digest"]) for e in board["entries"]]

    before, learned = figures(), (made / "training/best.safetensors").read_bytes()
    run_small_demo(desk)
    assert figures() == before
    assert (made / "training/best.safetensors").read_bytes() == learned


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow if page.name in LONG else ()) for page in PAGES],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_commands_and_code_do_what_the_page_says(page: Path, desk: Path, fssbench: Command) -> None:
    """What a shell must read is given to one, and at least one command a page; the others run in this process."""
    assert blocks(page) or page.name in TOLD or page.parent.name == "reference"
    asked = [command for block in blocks(page) for command in commands(block)]
    shelled = {command for command in asked if not PLAIN.fullmatch(command)} or set(asked[:1])
    with seated(desk):
        for block in blocks(page):
            if block["kind"] == "python":
                run_python(block["body"])
            for command in commands(block):
                ran = run_in_shell(command) if command in shelled else fssbench(*shlex.split(command)[1:])
                assert ran.code == int(block["code"] or 0), f"{command}\n{ran.out}\n{ran.err}"
                assert (block["error"] or "") in ran.err


def commands(block: re.Match[str]) -> list[str]:
    """The lines of a block that is a session in a console."""
    lines = block["body"].splitlines() if block["kind"] == "console" else []
    assert all(line.startswith("$ ") for line in lines), f"not all are commands: {lines}"
    return [line.removeprefix("$ ") for line in lines]


def run_in_shell(command: str) -> Ran:
    ran = subprocess.run(command, shell=True, capture_output=True, text=True)
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def run_python(body: str) -> None:
    """Run a block, or store it as the file it names in its first line."""
    named = re.match(r"# (\w+\.py)\n", body)
    if named:
        Path(named[1]).write_text(body)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("default")  # a reader's Python makes no errors of them
        exec(compile(body, "a block of Python", "exec"), {"__name__": "__main__"})


def test_every_command_named_on_a_page_exists() -> None:
    from fssbench.cli import app

    pages = [page for page in PAGES if page.parent.name != "background"]
    named = {name for page in pages for name in re.findall(r"`fssbench ([a-z][a-z-]*)", page.read_text())}
    there = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert named <= there


def test_the_readme_is_short() -> None:
    """It says what fssbench is and where to go on; all else has its page."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


@pytest.mark.slow
def test_the_site_builds_and_every_link_in_it_leads_somewhere(tmp_path: Path) -> None:
    """In a copy, since the reference of commands is written beside the other pages."""
    pytest.importorskip("sphinx")
    left = shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__")
    shutil.copytree(ROOT, tmp_path, ignore=left, symlinks=True, dirs_exist_ok=True)
    typer = ["typer", "fssbench.cli", "utils", "docs", "--name", "fssbench", "--title", "Commands"]
    made = tmp_path / MADE.relative_to(ROOT)
    subprocess.run([sys.executable, "-m", *typer, "--output", made], check=True, capture_output=True)
    build = ["sphinx", "--quiet", "--fail-on-warning", "-c", "docs", ".", "site"]
    ran = subprocess.run([sys.executable, "-m", *build], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert 'id="fssbench-eval"' in (tmp_path / "site/docs/reference/commands.html").read_text()


def test_every_schema_is_on_the_page_of_stored_files() -> None:
    page = (ROOT / "docs/reference/formats.md").read_text()
    schemas = {path.name for path in (ROOT / "docs/reference/schemas").iterdir()}
    assert set(re.findall(r"schemas/([\w.-]+)\)", page)) == schemas


def test_sentences_have_their_subject_with_them() -> None:
    """None goes on from a heading or a block of code."""
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]:
        found = re.findall(r"(?m)(?:^#+ .*|^```)\n\n((?!fssbench )[a-z].*)", page.read_text())
        assert not found, f"{page.name}: {found[0]}"


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
        stored = (ROOT / "docs" / "reference" / "schemas" / f"{name}.schema.json").read_text()
        assert stored == generate.schema_text(model), f"run make docs: {name} has changed"


def test_the_readme_does_not_name_what_is_not_in_the_repository() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert "../shared" not in text
    for placeholder in ("DEMO\n", "TESTLINE"):
        assert placeholder not in text
