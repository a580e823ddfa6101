"""Output that goes into a paper."""

from __future__ import annotations

from typing import Annotated

import typer

from fssbench.base.errors import UsageError
from fssbench.base.suggest import known_are

__all__ = ["FormatOption", "require_form"]

FORMS = ("latex", "csv", "markdown", "bibtex")

FormatOption = Annotated[
    str | None,
    typer.Option("--format", help="Print it for a paper: latex, csv, markdown, or bibtex of what it cites."),
]


def require_form(form: str | None, *, as_json: bool) -> None:
    """Refuse what is none of `FORMS`, or is asked for beside JSON."""
    if form is None:
        return
    if form not in FORMS:
        raise UsageError(f"there is no format '{form}'", remedy=known_are(form, FORMS))
    if as_json:
        raise UsageError("--format and --json contradict each other", remedy="pass one of them")
