"""The files that a contributor meets name what exists, and the version stands once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_house import ROOMS

import fssbench

ROOT = Path(__file__).parents[1]
YAML = [
    ROOT / "CITATION.cff",
    ROOT / ".pre-commit-config.yaml",
    *sorted((ROOT / ".github").rglob("*.yml")),
]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text()


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_every_yaml_file_can_be_read(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text()), dict)


def test_the_citation_names_the_version_and_the_licence_of_the_package() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == fssbench.__version__
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]


def test_the_version_stands_once() -> None:
    assert "version" not in PROJECT
    assert PROJECT["dynamic"] == ["version"]


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".github/workflows/test.yml"])
def test_make_has_every_target_that_is_named(page: str) -> None:
    named = set(re.findall(r"(?:^|`|run: )make ([a-z]+)", read(page), re.MULTILINE))
    assert named
    assert named <= targets()


def test_make_alone_names_every_target() -> None:
    named = set(re.findall(r"^#: make ([a-z]+)", read("Makefile"), re.MULTILINE))
    assert named == targets() - {"help"}


def test_contributing_names_files_that_exist() -> None:
    named = re.findall(r"\b(?:fssbench|docs|tests)/[\w./-]*\w|\b[\w-]+\.(?:md|cff|txt)\b", read("CONTRIBUTING.md"))
    assert len(named) > 15
    assert [name for name in named if not re.search("NAME|BENCHMARK", name) and not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", page.read_text())
    assert [target for target in named if not (ROOT / target).exists()] == []


def test_contributing_draws_the_rooms_in_their_order() -> None:
    drawn = re.findall(r"^  ([a-z]+)/ ", read("CONTRIBUTING.md"), re.MULTILINE)
    assert drawn == [*dict.fromkeys(room.split(".")[0] for room in ROOMS)]


def test_hooks_call_the_tools_of_the_environment_that_make_installs() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert repository["repo"] == "local"
    tools = {hook["entry"].split()[0] for hook in repository["hooks"]}
    assert tools == {".venv/bin/ruff", ".venv/bin/mypy"}


def test_templates_ask_for_what_a_maintainer_needs() -> None:
    for template in (".github/ISSUE_TEMPLATE/bug.yml", ".github/PULL_REQUEST_TEMPLATE.md", "SECURITY.md"):
        assert "fssbench info --json" in read(template)


def test_the_lower_bounds_are_those_of_the_project() -> None:
    """Every requirement has one lower bound and nothing else, and `make oldest` installs exactly that version."""
    ran = subprocess.run(
        [sys.executable, ROOT / "tools" / "lower_bounds.py"], capture_output=True, text=True, check=True
    )
    requirements = [
        *PROJECT["dependencies"],
        *(r for extra in PROJECT["optional-dependencies"].values() for r in extra),
    ]
    bounds = [re.fullmatch(r"([\w-]+)>=([\d.]+)", requirement) for requirement in requirements]
    assert ran.stdout.splitlines() == [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]
    assert all(bounds)


def test_the_wheel_holds_every_file_of_the_package_and_no_other_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fssbench", source / "fssbench", ignore=skip)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for link in (path for path in ROOT.iterdir() if path.is_symlink()):
        (source / link.name).symlink_to(link.readlink())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(source),
    ]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith(f"fssbench-{fssbench.__version__}-py3-none-any")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = (path for path in (source / "fssbench").rglob("*") if path.is_file())
    assert packed == {path.relative_to(source).as_posix() for path in files}
