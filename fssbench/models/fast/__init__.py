"""Inference-only twins of the models: the same functions of the same weights, computed in less time."""

__all__: list[str] = []
