"""The figures of all sections: a JSON file that is whole at any moment, and a table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from fssbench.base.files import write_atomic
from fssbench.results.environment import describe_environment, describe_machine

__all__ = ["Report", "print_table"]


class Report:
    """Keeps what sections tell, and writes it down every time."""

    def __init__(self, path: Path, *, command: Sequence[str]) -> None:
        self.path = path
        self.content: dict[str, Any] = {
            "command": list(command),
            "machine": describe_machine(),
            "environment": describe_environment().model_dump(mode="json"),
            "sections": {},
        }
        self._write()

    def add(self, section: str, figure: Mapping[str, Any]) -> None:
        """Keep a figure, in place of an earlier one of the same name and case."""
        figures = self._section(section)["figures"]
        same = (figure["what"], figure["case"])
        figures[:] = [one for one in figures if (one["what"], one["case"]) != same] + [dict(figure)]
        self._write()

    def end(self, section: str, how: str, *, seconds: float) -> None:
        """Note how a section ended."""
        self._section(section).update(ended=how, seconds=round(seconds, 1))
        self._write()

    def ended(self, section: str) -> str:
        """How a section ended."""
        return str(self._section(section)["ended"])

    def note(self, name: str, value: object) -> None:
        """Keep a fact on the whole run."""
        self.content[name] = value
        self._write()

    def _section(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.content["sections"].setdefault(name, {"ended": "cut", "seconds": 0, "figures": []})
        return found

    def _write(self) -> None:
        write_atomic(self.path, json.dumps(self.content, indent=1, ensure_ascii=False) + "\n")


def print_table(content: Mapping[str, Any]) -> None:
    """A row a figure of a section; its cases stand beside one another."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("section", "figure", "value", "unit"):
        table.add_column(name, overflow="fold")
    for section, found in content["sections"].items():
        rows: dict[tuple[str, str], list[str]] = {}
        for one in found["figures"]:
            rows.setdefault((one["what"], one["unit"]), []).append(f"{one['case']} {_text(one['value'])}".strip())
        for (what, unit), values in rows.items():
            table.add_row(section, what, " · ".join(values), unit)
        table.add_row(section, "", f"{found['ended']}, {found['seconds']} s", end_section=True)
    Console(width=140).print(table)


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
