"""Files of weights that other libraries keep, on this machine: downloaded once, where those libraries look for them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import torch

from fssbench.base.errors import CheckpointError, ModelError, first_line
from fssbench.base.files import sha256_bytes, sha256_file
from fssbench.base.home import home_in

__all__ = [
    "SNAPSHOT",
    "WEIGHTS",
    "config_of",
    "downloaded",
    "loaded",
    "needs",
    "quiet",
    "sha256_of_weights",
    "snapshot",
    "weights_in",
]

T = TypeVar("T")

WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
"""What files of weights in a folder of transformers are called; the first kind that is there is read."""
SNAPSHOT = ("*.json", "*.txt", "*.model")
"""What else of a repository is of use."""


def needs(extra: str, package: str, load: Callable[[], T]) -> T:
    """What ``load`` imports; `ModelError` that names the extra if the package is not installed."""
    try:
        return load()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ModelError(
            f"{package} is not installed", remedy=f"pip install 'fssbench[{extra}]', or pip install {package}"
        ) from error


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """While this lasts transformers tells of errors alone, and shows no progress of its own."""
    logging = transformers.utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def downloaded(url: str, *, what: str) -> Path:
    """The local file of an address of torchvision's, downloaded if it is not there yet; `ModelError` if it cannot."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        expected = path.stem.rpartition("-")[2]  # torchvision's file names end in the start of their SHA-256
        try:
            torch.hub.download_url_to_file(url, str(path), hash_prefix=expected, progress=False)
        except (OSError, RuntimeError) as error:
            raise ModelError(
                f"{what} could not be downloaded ({error})",
                remedy=f"copy {path.name} here from a machine with a network and pass "
                "--backbone-weights PATH, or run untrained with --backbone-weights none",
            ) from error
    return path


def snapshot(name: str, *, weights: bool, remedy: str) -> Path:
    """The local folder of what ``name`` is: a folder already, or a repository of the hub.

    Args:
        weights: whether its weights are wanted, or else what says of which shape they are.
        remedy: what to do if it cannot be had.

    Raises:
        CheckpointError: it is written like a path, and there is no such folder.
        ModelError: the repository could not be downloaded.
    """
    folder = Path(home_in(name))
    if folder.is_dir():
        return folder
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise CheckpointError(f"there is no folder {name}", remedy="check the path")
    try:
        found = _downloaded(name, SNAPSHOT)
        kinds = iter(WEIGHTS if weights else ())
        while weights and not _weights_in(found):
            found = _downloaded(name, (*SNAPSHOT, next(kinds)))
        return found
    except StopIteration:
        raise CheckpointError(f"{name} has no weights ({' or '.join(WEIGHTS)})", remedy=remedy) from None
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"{name} could not be downloaded ({first_line(error)})", remedy=remedy) from error


def _downloaded(name: str, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(name, allow_patterns=list(patterns)))


def weights_in(folder: Path) -> list[Path]:
    """The files of weights of a folder; `CheckpointError` if it has none."""
    if found := _weights_in(folder):
        return found
    raise CheckpointError(
        f"{folder} has no weights ({' or '.join(WEIGHTS)})", remedy="pass a folder that save_pretrained wrote"
    )


def _weights_in(folder: Path) -> list[Path]:
    for pattern in WEIGHTS:
        if found := sorted(path for path in folder.iterdir() if path.is_file() and fnmatch(path.name, pattern)):
            return found
    return []


def sha256_of_weights(folder: Path) -> str:
    """Of its file of weights, or of a line a file where there are several."""
    files = weights_in(folder)
    if len(files) == 1:
        return sha256_file(files[0])
    return sha256_bytes("".join(f"{sha256_file(path)}  {path.name}\n" for path in files).encode())


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """What a JSON file of a folder says; `CheckpointError` if it is not there or not JSON."""
    path = folder / name
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({first_line(error)})",
            remedy="pass a folder that save_pretrained wrote, of the model and of its processor",
        ) from error
    return found


def loaded(kind: Any, folder: Path, absent: str = "-", **options: Any) -> Any:
    """What a class of transformers makes of a folder.

    Raises `CheckpointError` if it makes nothing of it, or only a part: what is missing would be random, but for what
    begins with ``absent``.
    """
    whole = hasattr(kind, "base_model_prefix")
    try:
        made = kind.from_pretrained(str(folder), **options, **({"output_loading_info": True} if whole else {}))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder} is not a model that transformers can load: {first_line(error)}",
            remedy="pass a folder that save_pretrained wrote",
        ) from error
    if not whole:
        return made
    model, told = made
    if missing := [key for key in sorted(told["missing_keys"]) if not key.startswith(absent)]:
        raise CheckpointError(
            f"{folder} does not hold the weights of a {kind.__name__}: {len(missing)} tensors are missing, the first "
            f"is {missing[0]}",
            remedy="pass a folder that save_pretrained of such a model wrote",
        )
    return model
