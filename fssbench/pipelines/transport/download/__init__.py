"""Downloads: published data from its publishers' addresses to the folders that sources read."""

from __future__ import annotations

from fssbench.pipelines.transport.attempts import Patience
from fssbench.pipelines.transport.download.catalogue import Catalogue, RemoteFile, read_catalogue
from fssbench.pipelines.transport.download.holdings import Holding, obtain, require_by_hand, require_space

__all__ = [
    "Catalogue",
    "Holding",
    "Patience",
    "RemoteFile",
    "obtain",
    "read_catalogue",
    "require_by_hand",
    "require_space",
]
