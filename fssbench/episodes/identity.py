"""What two results must share before their figures may stand side by side: the episodes, and the truth under them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Identity"]


class Identity(NamedTuple):
    """What was asked.

    Attributes:
        episodes: `fssbench.episodes.episodes.Track.digest`: which images, in which order.
        truth: the truth digest of `fssbench.pipelines.formats.truth`: which masks and pixels; ``None`` if nobody says.
    """

    episodes: str
    truth: str | None

    def unlike(self, other: Identity) -> str:
        """What the two were asked, where that is not the same, to follow "they are of"; empty if it is.

        Two that both say nothing of their truth count as the same.
        """
        if self.episodes != other.episodes:
            return f"other episodes (digests {_short(self.episodes)} and {_short(other.episodes)})"
        if self.truth == other.truth:
            return ""
        told = f"(truth digests {_short(self.truth)} and {_short(other.truth)})"
        if None in (self.truth, other.truth):
            return f"the same episodes, and one does not say on which masks and images {told}"
        return f"the same episodes on other masks or images {told}"


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:12]}…"
