"""Print pyproject.toml's lower bounds as constraints for pip: ``torch>=2.6`` becomes ``torch==2.6``."""

from __future__ import annotations

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
for requirements in (project["dependencies"], *project["optional-dependencies"].values()):
    for requirement in requirements:
        print(requirement.replace(">=", "=="))
