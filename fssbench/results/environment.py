"""The software and hardware a result was made with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from pathlib import Path

from fssbench.base.errors import UsageError
from fssbench.base.version import __version__
from fssbench.schemas.result import Environment

__all__ = ["describe_environment", "describe_machine", "device_name", "installed_requirements", "pick_device"]

PACKAGES = ("torch", "torchvision", "numpy", "pillow", "pycocotools", "webdataset", "datasets", "pyarrow")


def describe_environment(modules: Iterable[str] = ()) -> Environment:
    """Versions of what a score can depend on, and the revision of fssbench if it runs from a checkout.

    Args:
        modules: top names of what a model is made of besides, such as ``timm``.
    """
    revision = _git("rev-parse", "HEAD")
    status = None if revision is None else _git("status", "--porcelain", "--untracked-files=no")
    return Environment(
        fssbench=__version__,
        python=platform.python_version(),
        packages={name: found for name in (*PACKAGES, *_distributions(modules)) if (found := _version(name))},
        git_revision=revision,
        git_dirty=None if status is None else bool(status),
    )


def _distributions(modules: Iterable[str]) -> list[str]:
    """The packages that modules were installed with, but for fssbench and those that are named anyway."""
    wanted = set(modules) - {"fssbench", *PACKAGES}
    if not wanted:
        return []
    by_module = packages_distributions()  # reads the metadata of all that is installed
    found = {distribution.lower() for module in wanted for distribution in by_module.get(module, ())}
    return sorted(found - {"fssbench", *PACKAGES})


def installed_requirements() -> dict[str, str | None]:
    """What fssbench needs and can use, by name: the version that is installed, or ``None``."""
    wanted = [line for line in requires("fssbench") or () if 'extra == "dev"' not in line]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted]
    return {name: _version(name) for name in names}


def describe_machine() -> dict[str, str]:
    """What a figure or a failure may depend on besides versions: the system, the processor as torch uses it, CUDA."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "platform": platform.platform(),
        "cpu": f"{os.cpu_count()} cores, {capability}, {torch.get_num_threads()} threads",
        "torch": f"{torch.__version__}, CUDA {torch.version.cuda or 'not built in'}",
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Git's answer about fssbench's own checkout, or ``None`` if it was installed in another way."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        asked = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def pick_device(name: str, *, local: int = 0) -> str:
    """``auto`` → a GPU if there is one; anything else must be a device torch can use here (`UsageError`).

    ``cuda`` is a GPU as ``auto`` would choose it, since what several processes share needs its number.

    ``local`` is this process's number on its machine: of several, each takes its own GPU.
    """
    import torch

    if name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{local % torch.cuda.device_count()}"
    if name == "auto":
        return "cpu"
    try:
        torch.zeros(1, device=name).item()  # on some devices tensors have no values
    except (RuntimeError, AssertionError, ImportError, ValueError) as error:
        reason = (str(error).splitlines() or ["torch refuses it"])[0]
        raise UsageError(f"device '{name}' cannot be used: {reason}", remedy="pass --device cpu or auto") from error
    return name


def device_name(device: str) -> str:
    """A device in words, with the number of threads for a CPU."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    n = torch.get_num_threads()
    return f"{platform.processor() or platform.machine()}, {n} thread{'' if n == 1 else 's'}"
