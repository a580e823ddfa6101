"""What Python's own readers of archives raise when one is damaged."""

from __future__ import annotations

import tarfile

__all__ = ["DAMAGED_TAR"]

DAMAGED_TAR = (tarfile.TarError, ValueError, OverflowError, EOFError)
"""`tarfile` takes the numbers and texts in headers for sound, and fails on others as ``int`` and ``decode`` do."""
