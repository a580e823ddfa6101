"""The models by name: ours, those of installed packages, and a class in a user's file."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fssbench.base.errors import ModelError, UsageError
from fssbench.base.suggest import did_you_mean, known_are
from fssbench.models.blame import blamed, described
from fssbench.models.options import to_wanted, wanted_by
from fssbench.models.user_file import UserCode, load_file

if TYPE_CHECKING:
    from torch import nn

    from fssbench.models.interface import FewShotSegmenter

__all__ = [
    "PARTS",
    "ModelSpec",
    "build_model",
    "build_module",
    "full_name",
    "model_names",
    "model_spec",
    "recorded_name",
    "register",
    "user_code",
]

ENTRY_POINTS = "fssbench.models"

F = TypeVar("F", bound=Callable[..., Any])

# Where our own models live, so that naming them loads no torch.
BUILTIN = {
    "all-foreground": "fssbench.models.baselines:AllForeground",
    "copy-support": "fssbench.models.baselines:CopySupport",
    "prototype": "fssbench.models.prototype:Prototype",
    "hsnet": "fssbench.models.hsnet:HSNet",
    "hmfs": "fssbench.models.hmfs:HMFS",
    "hdmnet": "fssbench.models.hdmnet:HDMNet",
    "dino-prototype": "fssbench.models.foundation.dino_prototype:DinoPrototype",
    "seggpt": "fssbench.models.foundation.seggpt:SegGPT",
    "clipseg": "fssbench.models.foundation.clipseg:CLIPSeg",
    "sam-matcher": "fssbench.models.foundation.sam_matcher:SAMMatcher",
}

# Those that answer no episodes, but are trained to become a part of a model that does.
PARTS = {
    "pspnet": "fssbench.models.pspnet:PSPNet",
}

_registered: dict[str, Callable[..., FewShotSegmenter]] = {}


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model that can be built. Its name alone loads no torch; whatever else is asked of it does."""

    name: str
    find: Callable[[], Callable[..., nn.Module]]

    @cached_property
    def factory(self) -> Callable[..., nn.Module]:
        """What builds it.

        Raises:
            UsageError: where it should be, there is nothing that builds a model.
            ModelError: a package that offers it cannot be loaded.
        """
        return self.find()

    @cached_property
    def options(self) -> dict[str, Any]:
        """The options its factory takes, with their defaults."""
        parameters = inspect.signature(self.factory).parameters.values()
        keyword = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return {p.name: p.default for p in parameters if p.kind in keyword}

    @cached_property
    def wanted(self) -> dict[str, Any]:
        """What kind of value each option is to be; see `fssbench.models.options`."""
        return wanted_by(self.factory)

    @property
    def takes_any(self) -> bool:
        """Whether it takes options that it does not name, as ``**options``."""
        return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(self.factory).parameters.values())

    @property
    def has_backbone(self) -> bool:
        """Whether ``backbone`` means anything to it."""
        return "backbone" in self.options

    @property
    def fills_backbone(self) -> bool:
        """Whether ``backbone_weights`` says what its backbone is filled with, as with the models of fssbench."""
        filled = self.options.get("backbone_weights", "")
        return self.has_backbone and filled in ("none", "imagenet", inspect.Parameter.empty)

    def usual_weights(self, options: Mapping[str, Any]) -> str:
        """What its backbone is filled with where nobody says: what a library keeps of its own, else ImageNet's."""
        backbone = options.get("backbone", self.options.get("backbone"))
        return "pretrained" if isinstance(backbone, str) and ":" in backbone else "imagenet"

    @property
    def names_weights(self) -> bool:
        """Whether its option ``weights`` says what it is filled with, as with our foundation models."""
        return self.name in BUILTIN and "weights" in self.options

    @property
    def needs_training(self) -> bool:
        """Whether it means nothing before weights were loaded into it."""
        return bool(getattr(self.factory, "needs_training", False))

    @property
    def base_learner(self) -> str | None:
        """The model whose trained weights it is built around, as its ``backbone_weights``; or ``None``."""
        found: str | None = getattr(self.factory, "base_learner", None)
        return found


def register(name: str) -> Callable[[F], F]:
    """Register the decorated class or function as model ``name``; `UsageError` if the name is taken."""

    def remember(factory: F) -> F:
        if name in BUILTIN or name in PARTS or _registered.get(name, factory) is not factory:
            raise UsageError(f"a model called '{name}' is registered already", remedy="choose another name")
        _registered[name] = factory
        return factory

    return remember


def model_names() -> tuple[str, ...]:
    """Names of all models that answer episodes here, ours first."""
    installed = sorted(point.name for point in entry_points(group=ENTRY_POINTS))
    return tuple(dict.fromkeys((*BUILTIN, *_registered, *installed)))


def model_spec(name: str, *, parts: bool = False) -> ModelSpec:
    """Find a model by name, or as ``path/to/file.py:Name``.

    Args:
        name: of the model.
        parts: whether it may be one of `PARTS`.

    Raises:
        UsageError: there is none, or it answers no episodes.
    """
    if name in PARTS and not parts:
        raise UsageError(
            f"{name} is trained to become a part of another model, and answers no episodes",
            remedy=f"train it with fssbench train --model {name}, and name the model it is for here",
        )
    return ModelSpec(name=name, find=_finder(name))


def full_name(name: str) -> str:
    """The name with the class of a user's file: ``mine.py`` is ``mine.py:Net`` if that is its only model.

    Raises `UsageError` if the file has no class of a model, or several.
    """
    if not name.endswith(".py"):
        return name
    from fssbench.models.interface import FewShotSegmenter

    module = load_file(str(Path(name).resolve())).module
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    found = [c.__name__ for c in own if inspect.isclass(c) and issubclass(c, FewShotSegmenter)]
    if len(found) != 1:
        listed = f"{len(found)}: {', '.join(found)}" if found else "none"
        raise UsageError(
            f"{name} should define one class derived from FewShotSegmenter, found {listed}",
            remedy=f"say which class or function builds the model, as {name}:{found[0] if found else 'Name'}",
        )
    return f"{name}:{found[0]}"


def recorded_name(name: str) -> str:
    """What results call a model: of ``path/to/mine.py:Net`` it is ``mine.py:Net``, wherever the file lies."""
    return Path(name).name if _user_file(name) else name


def user_code(name: str) -> UserCode | None:
    """The code of a model in a user's file; ``None`` of any other."""
    path = _user_file(name)
    return None if path is None else load_file(str(Path(path).resolve()))


def _user_file(name: str) -> str | None:
    path, separator, _ = name.rpartition(":")
    return path if separator and path.endswith(".py") and name not in _registered else None


def _finder(name: str) -> Callable[[], Callable[..., nn.Module]]:
    """How the factory of a model is had; `UsageError` if there is no such model."""
    if name in _registered:
        return partial(_registered.__getitem__, name)
    if ours := (BUILTIN | PARTS).get(name):
        return partial(_ours, *ours.split(":"))
    for point in entry_points(group=ENTRY_POINTS, name=name):
        return partial(_installed, point)
    if path := _user_file(name):
        return partial(_in_file, path, name.rpartition(":")[2])
    remedy = f"{known_are(name, model_names())}, or pass path/to/file.py:Name"
    raise UsageError(f"there is no model '{name}'", remedy=remedy)


def _ours(module: str, attribute: str) -> Callable[..., nn.Module]:
    return _attribute(importlib.import_module(module), attribute, where=module)


def _in_file(path: str, attribute: str) -> Callable[..., nn.Module]:
    found = _attribute(load_file(str(Path(path).resolve())).module, attribute, where=path)
    from fssbench.models.functions import FunctionSegmenter, answers_episodes

    return (lambda: FunctionSegmenter(found)) if answers_episodes(found) else found


def _installed(point: EntryPoint) -> Callable[..., nn.Module]:
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"model '{point.name}' of entry point {point.value} cannot be loaded: {described(error)}",
            remedy="repair or remove the package that offers it",
        ) from error
    return _callable(found, where=f"entry point {point.value}")


def _attribute(module: object, attribute: str, *, where: str) -> Callable[..., FewShotSegmenter]:
    found = getattr(module, attribute, None)
    if found is None:
        raise UsageError(f"{where} defines no '{attribute}'", remedy="name a class or function that it defines")
    return _callable(found, where=f"{where}:{attribute}")


def _callable(found: object, *, where: str) -> Callable[..., FewShotSegmenter]:
    if not callable(found):
        raise UsageError(f"{where} is {type(found).__name__}, expected a class or function that builds a model")
    return found


def build_model(name: str, **options: Any) -> FewShotSegmenter:
    """Build a model, ready for evaluation: in eval mode and needing no gradients of its backbone.

    Args:
        name: a name from `model_names`, or ``path/to/file.py:Name``.
        options: keyword arguments of the model's class, such as ``backbone="resnet50"``.

    Raises:
        UsageError: no such model, an option it does not take, or a value of another kind than the option's.
        ModelError: what was built is no `FewShotSegmenter`, or its own code failed.
    """
    from fssbench.models.interface import FewShotSegmenter

    spec = model_spec(name)
    model = _build(spec, options)
    if not isinstance(model, FewShotSegmenter):
        raise ModelError(
            f"'{name}' built a {type(model).__name__}, expected a fssbench.models.interface.FewShotSegmenter",
            remedy="derive the class from it and implement predict",
        )
    with blamed(model, doing="to be built"):
        model.eval()  # whatever it returns: many override train, and forget to return self
    return model


def build_module(name: str, **options: Any) -> nn.Module:
    """As `build_model`, but also one of `PARTS`, and in the mode it was built in."""
    return _build(model_spec(name, parts=True), options)


def _build(spec: ModelSpec, options: dict[str, Any]) -> nn.Module:
    name, made = spec.name, dict[str, Any]()
    if (unknown := sorted(set(options) - set(spec.options))) and not spec.takes_any:
        meant = did_you_mean(unknown[0], spec.options)
        taken = f"it takes {', '.join(spec.options) or 'no options'}"
        remedy = f"{meant} {taken}" if meant else taken
        raise UsageError(f"model '{name}' has no option '{unknown[0]}'", remedy=remedy)
    for key, value in options.items():
        default = spec.options.get(key, inspect.Parameter.empty)
        made[key] = to_wanted(value, spec.wanted.get(key, Any), option=key, model=name, default=default)
    absent = [key for key, default in spec.options.items() if default is inspect.Parameter.empty and key not in options]
    if absent:
        raise UsageError(f"model '{name}' needs the option '{absent[0]}'", remedy=f"pass --option {absent[0]}=VALUE")
    with blamed(spec.factory, doing="to be built"):
        return spec.factory(**made)
