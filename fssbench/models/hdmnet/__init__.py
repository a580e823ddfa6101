"""HDMNet, the Hierarchically Decoupled Matching Network (Peng et al., CVPR 2023)."""

from __future__ import annotations

from fssbench.models.hdmnet.model import HDMNet
from fssbench.models.hdmnet.outputs import Outputs

__all__ = ["HDMNet", "Outputs"]
