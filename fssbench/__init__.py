"""fssbench: few-shot segmentation episodes that are files with a hash, and scores anyone can recompute."""

__version__ = "0.1.0"
__all__ = ["__version__"]
