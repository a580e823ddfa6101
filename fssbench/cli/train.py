"""``fssbench train``: teach a model a fold's base classes, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fssbench.base.errors import UsageError
from fssbench.cli import complete
from fssbench.cli.console import TERMINAL, DataOption, warn
from fssbench.cli.log_options import LogToOption
from fssbench.cli.model_options import BackboneOption, BackboneWeightsOption, ModelOption, PairsOption, parse_pairs

__all__ = ["train"]

SIGNALLED = 128
"""Added to a signal's number, as shells have it, it is the exit code of a run that was told to stop."""


def train(
    model: ModelOption,
    benchmark: Annotated[
        str, typer.Option("--benchmark", "-b", help="The benchmark to learn from.", autocompletion=complete.benchmarks)
    ] = "coco",
    fold: Annotated[
        int | None,
        typer.Option(
            "--fold",
            "-f",
            min=0,
            help="The fold whose base classes are learned. [default: the only one]",
            autocompletion=complete.folds,
        ),
    ] = None,
    shot: Annotated[int | None, typer.Option("--shot", "-k", min=1, help="Number of supports in an episode.")] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A recipe of your own. [default: the paper's]")
    ] = None,
    data: DataOption = None,
    image_list: Annotated[
        Path | None,
        typer.Option(
            "--list",
            help="A file of the images to learn from, or the folder of HSNet's or HDMNet's lists. [default: all]",
        ),
    ] = None,
    backbone: BackboneOption = None,
    backbone_weights: BackboneWeightsOption = None,
    option: PairsOption = None,
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Episodes per step, over all processes.")] = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(
            "--micro-batch", min=1, help="Episodes that a process computes at a time. [default: all of its share]"
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Number of passes through the data.")] = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", min=1, help="Stop after this many steps, if the epochs have as many.")
    ] = None,
    rate: Annotated[float | None, typer.Option("--rate", help="Learning rate.")] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32, bf16 or fp16.")] = None,
    select_on: Annotated[
        str | None,
        typer.Option(
            "--select-on",
            help="Which weights to keep: last; base-val, the best on held-out base classes; or test-fold, the best on "
            "the fold that is tested, as publications do and every result then says.",
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            "--protocol",
            "-p",
            help="The protocol of the test fold's episodes, if weights are chosen by them.",
            autocompletion=complete.protocols,
        ),
    ] = "strict",
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="The seed of everything that is random.")] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any setting of the recipe, as schedule.name=poly; repeatable."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, …")] = "auto",
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Decoding threads.")] = 4,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The run's folder. [default: in the home, where eval looks]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start over; discard the run in the folder.")] = False,
    log_to: LogToOption = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Say what would be learned from, how, in what time and memory; train nothing."),
    ] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the resolved recipe; train nothing.")
    ] = False,
) -> None:
    """Train a model on a fold's base classes by its recipe. Options given here win over the recipe.

    Ctrl-C and SIGTERM finish the current step and save; --resume continues to the same weights. Under torchrun the
    processes share every batch.
    """
    from fssbench.api.places import benchmark_and_root
    from fssbench.api.train import changed_recipe, plan_training, with_defaults
    from fssbench.api.train import train as train_by_recipe
    from fssbench.engine.ranks import speaks
    from fssbench.models import full_name, model_spec
    from fssbench.models.registry import PARTS
    from fssbench.training.recipe import to_toml

    flags = {
        "run.batch": batch,
        "run.micro_batch": micro_batch,
        "run.epochs": epochs,
        "run.max_steps": max_steps,
        "run.precision": precision,
        "run.select_on": select_on,
        "run.seed": seed,
        "optimizer.rate": rate,
        "options.backbone": backbone,
        "options.backbone_weights": backbone_weights,
    }
    changes = _settings(change or []) | {name: value for name, value in flags.items() if value is not None}
    options = parse_pairs(option or [], model_spec(full_name(model), parts=True))
    asked: dict[str, Any] = {"shot": shot, "config": config, "changes": changes, "options": options}
    if print_config:
        found, _ = benchmark_and_root(benchmark, data)
        recipe = changed_recipe(full_name(model), found.training, **asked)
        print(to_toml(with_defaults(full_name(model), recipe)), end="")
        return
    asked |= {"fold": fold, "data": data, "image_list": image_list, "protocol": protocol}
    asked |= {"device": device, "workers": workers, "output": output}
    if dry_run:
        lines = plan_training(model, benchmark, **asked).lines()
        if speaks():
            print("\n".join(lines))
        return
    asked |= {"resume": resume, "overwrite": overwrite, "log_to": log_to or ()}
    trained = train_by_recipe(model, benchmark, report=TERMINAL, **asked)
    if speaks():
        done = trained.progress.step
        if trained.signal:
            warn(f"stopped after {done:,} of {trained.planned:,} steps and saved; go on with --resume")
        if trained.settled:
            print(f"ended before the planned {trained.planned:,} steps: {trained.settled}")
        print(f"{done:,} steps; {'to build on' if model in PARTS else 'to evaluate'}: {trained.weights}")
        print(f"learning curve: {trained.folder.curve}")
    if trained.signal:
        raise typer.Exit(SIGNALLED + trained.signal)


def _settings(pairs: list[str]) -> dict[str, Any]:
    """``schedule.name=poly`` and the like; `UsageError` if one is not of that form."""
    for pair in pairs:
        name, separator, _ = pair.partition("=")
        if not separator or "." not in name:
            raise UsageError(f"--set must be heading.name=value, got '{pair}'", remedy="as in --set schedule.name=poly")
    parted = [pair.partition("=") for pair in pairs]
    return {name: parse_pairs([f"value={value}"])["value"] for name, _, value in parted}
