"""The lists a fold's episodes are drawn from: which images may serve a class, and which are asked about."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fssbench.base.errors import PoolError, UsageError

__all__ = ["FoldLists", "Pools"]

Pools = Mapping[int, Sequence[str]]
"""Image ids by class index."""


@dataclass(frozen=True, kw_only=True)
class FoldLists:
    """What a protocol draws the episodes of one fold from. Where order is part of a protocol, it is these lists'.

    Attributes:
        pools: for every class of the fold the images that may serve it.
        queries: images in the order they are asked about, each with the classes an episode of it may be of;
            empty where queries are drawn from the pools as well.
    """

    pools: Pools
    queries: Sequence[tuple[str, tuple[int, ...]]] = ()

    def without(self, classes: Collection[int]) -> FoldLists:
        """The lists less some classes, and less the queries that have no other."""
        kept = ((image, tuple(c for c in shown if c not in classes)) for image, shown in self.queries)
        return FoldLists(
            pools={c: ids for c, ids in self.pools.items() if c not in classes},
            queries=tuple((image, shown) for image, shown in kept if shown),
        )

    def in_order(self, images: Sequence[str]) -> FoldLists:
        """The lists in the order of ``images``, and without images that are not among them."""
        place = {image: n for n, image in enumerate(images)}
        queries = (query for query in self.queries if query[0] in place)
        return FoldLists(
            pools={
                c: tuple(sorted((i for i in ids if i in place), key=place.__getitem__)) for c, ids in self.pools.items()
            },
            queries=tuple(sorted(queries, key=lambda query: place[query[0]])),
        )

    def showing(self, present: Pools) -> FoldLists:
        """The lists with every query asked about all classes that ``present`` has it in, ascending."""
        shown: dict[str, list[int]] = {}
        for class_id in sorted(present):
            for image in present[class_id]:
                shown.setdefault(image, []).append(class_id)
        return FoldLists(
            pools=self.pools, queries=tuple((image, tuple(shown.get(image, ()))) for image, _ in self.queries)
        )

    def require(self, images: int, *, shot: int) -> None:
        """Check that episodes can be drawn, so that no sampler searches for what is not there.

        Raises:
            PoolError: a class has fewer than the ``images`` that its ``shot``-shot episodes take.
            UsageError: a pool names an image twice, or a query is of a class without a pool.
        """
        short = {class_id: len(pool) for class_id, pool in self.pools.items() if len(pool) < images}
        if short or not self.pools:
            listed = ", ".join(f"class {class_id} has {found}" for class_id, found in sorted(short.items()))
            raise PoolError(f"{shot}-shot episodes need {images} images of every class: {listed or 'no class is left'}")
        for class_id, pool in self.pools.items():
            if len(set(pool)) != len(pool):
                raise UsageError(f"the pool of class {class_id} names an image twice")
        if unknown := {c for _, shown in self.queries for c in shown} - self.pools.keys():
            raise UsageError(f"queries are of class {min(unknown)}, which has no pool")
