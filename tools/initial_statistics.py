"""Hold the weights HDMNet begins with against the rules of the released modules, layer by layer.

    python tools/initial_statistics.py [--all]

Layers of one rule and one deviation share a row; ``--all`` gives every tensor a row of its own. The rules:

- PyTorch's own, of every convolution and linear layer that is built directly: uniform within 1/√(fan in), the bias too.
  The released pyramid has a method with SegFormer's rules (truncated normal for linear layers), which nothing calls.
- Kaiming normal by fan-out with a ReLU's gain, of what the released code builds as mmcv's ``ConvModule``: the
  convolutions that merge matching with the priors.
- One and zero, of every normalisation. The ensemble's two weighted sums begin as their first map.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from torch import nn

from fssbench.models.hdmnet import HDMNet


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """What one tensor begins with, and what its rule says.

    Attributes:
        name: of the parameter.
        rule: in words.
        count: of its numbers.
        expected: mean and standard deviation by the rule.
        found: those of the numbers.
        furthest: the greatest distance from 0 that the rule allows; infinite for a normal distribution.
        reached: the greatest that was found.
    """

    name: str
    rule: str
    count: int
    expected: tuple[float, float]
    found: tuple[float, float]
    furthest: float
    reached: float


def statistics(model: HDMNet) -> Iterator[Statistics]:
    """Of every tensor that learns, in the model's order."""
    learned = {id(parameter) for group in model.groups() for parameter in group.parameters}
    for path, module in model.named_modules():
        for kind, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in learned:
                continue
            rule, mean, deviation, furthest = rule_of(path, kind, module)
            values = parameter.detach()
            yield Statistics(
                name=f"{path}.{kind}",
                rule=rule,
                count=values.numel(),
                expected=(mean, deviation),
                found=(float(values.mean()), float(values.std(correction=0))),
                furthest=furthest,
                reached=float(values.abs().max()),
            )


def rule_of(path: str, kind: str, module: nn.Module) -> tuple[str, float, float, float]:
    """The rule of a module's weight or bias: in words, its mean, its standard deviation, its furthest value."""
    if isinstance(module, nn.LayerNorm | nn.BatchNorm2d):
        value = float(kind == "weight")
        return f"{value:.0f}", value, 0.0, value
    if path in ("gram_merge", "cls_merge"):
        return "(1, 0)", 0.5, 0.5, 1.0
    assert isinstance(module, nn.Linear | nn.Conv2d)
    outputs, inputs, *sides = module.weight.shape
    area = sides[0] * sides[1] if sides else 1
    if ".match_layers." in path and path.endswith(".conv"):
        return "Kaiming normal, fan-out", 0.0, (2 / (outputs * area)) ** 0.5, float("inf")
    bound = (inputs * area) ** -0.5
    return "uniform, 1/√(fan in)", 0.0, bound / 3**0.5, bound


def main(*, every: bool) -> None:
    """Print a Markdown table."""
    rows = list(statistics(HDMNet()))
    if not every:
        rows.sort(key=alike)
    print("| tensors | rule | mean, std by the rule | found |\n|---|---|---|---|")
    for _, group in groupby(rows, key=(lambda one: one.name) if every else alike):
        members = list(group)
        first, means, stds = members[0], *zip(*(one.found for one in members), strict=True)
        what = first.name if every else f"{len(members)} of {sum(one.count for one in members):,} numbers"
        expected = f"{first.expected[0]:.4f}, {first.expected[1]:.4f}"
        print(f"| {what} | {first.rule} | {expected} | {span(means)}, {span(stds)} |")


def alike(one: Statistics) -> tuple[str, str]:
    """What tensors of one row share."""
    return one.rule, f"{one.expected[1]:.4f}"


def span(values: tuple[float, ...]) -> str:
    """The least and the greatest, or the one value."""
    low, high = f"{min(values):.4f}", f"{max(values):.4f}"
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main(every="--all" in sys.argv[1:])
