"""Where figures are logged besides files of our own."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["LogToOption"]

LogToOption = Annotated[
    list[str] | None, typer.Option("--log-to", help="Also log figures to wandb or mlflow; repeatable.")
]
