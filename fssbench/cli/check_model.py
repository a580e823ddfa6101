"""``fssbench check-model``: does this model do what a model must?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from fssbench.cli import complete
from fssbench.cli.console import JsonFlag, aside, print_json
from fssbench.cli.model_options import (
    BackboneOption,
    BackboneWeightsOption,
    OptionsFileOption,
    PairsOption,
    given_options,
    resolve_options,
)

__all__ = ["check_model"]


def check_model(
    model: Annotated[
        str,
        typer.Argument(
            help="A model's name, path/to/file.py, or path/to/file.py:Name.", autocompletion=complete.models
        ),
    ],
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    option: PairsOption = None,
    options_file: OptionsFileOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Ask a model a few drawn episodes and list what is wrong with its answers.

    It looks at shapes, dtypes, devices, values and sizes of masks, determinism, dependence on the batch, inputs
    changed in place, training mode, and whether kept features give the same masks. Backbones have random weights
    unless others are named, so nothing is downloaded.
    """
    from fssbench.base.errors import ModelError
    from fssbench.models import build_model, full_name, model_spec
    from fssbench.results.environment import pick_device

    with aside():
        model = full_name(model)
        spec = model_spec(model)
        given = given_options(spec, option, options_file)

        from fssbench.engine.model_check import check_model as check

        options = resolve_options(
            spec,
            given,
            backbone=backbone,
            backbone_weights=backbone_weights,
            default_weights="none",
        )
        findings = check(lambda: build_model(model, **options), device=pick_device(device))
    if as_json:
        print_json({"model": model, "sound": not findings, "findings": [asdict(finding) for finding in findings]})
    elif findings:
        print("\n".join(str(finding) for finding in findings))
    else:
        print(f"sound {model}")
    if findings:
        things = "thing is" if len(findings) == 1 else "things are"
        raise ModelError(f"{len(findings)} {things} wrong with {model}", remedy="fix what is listed and check again")
