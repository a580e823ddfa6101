"""Models: the interface, the registry, and the field's models.

Importing this package is cheap; torch is loaded when a model is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fssbench.base.callable_module import make_callable
from fssbench.models.registry import ModelSpec, build_model, build_module, full_name, model_names, model_spec, register

if TYPE_CHECKING:
    from fssbench.models.checkpoints import load_checkpoint

__all__ = [
    "ModelSpec",
    "build_model",
    "build_module",
    "full_name",
    "load_checkpoint",
    "model_names",
    "model_spec",
    "models",
    "register",
]


def models() -> tuple[str, ...]:
    """The names of all models that can be built and evaluated; what ``fssbench.models()`` calls."""
    return model_names()


make_callable(__name__, models)


def __getattr__(name: str) -> object:
    if name == "load_checkpoint":
        from fssbench.models.checkpoints import load_checkpoint

        return load_checkpoint
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
