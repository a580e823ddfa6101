"""HMFS for inference: its supports' masked images are black but for an object, and computed where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from typing import cast

import torch
from torch import Tensor

from fssbench.models.center_pivot import CenterPivotConv4d
from fssbench.models.fast.black import OnBlack
from fssbench.models.fast.center_pivot import SupportLevel
from fssbench.models.fast.compact import Compact
from fssbench.models.fast.elsewhere import Elsewhere
from fssbench.models.fast.held import window_of_all, windows_of
from fssbench.models.fast.hsnet import FastHSNet, last
from fssbench.models.fast.squeeze import SqueezeBlock
from fssbench.models.fast.windows import Span, Window, bounding_box
from fssbench.models.hmfs import HMFS, hybrid
from fssbench.models.hsnet import EPSILON
from fssbench.models.interface import Size
from fssbench.models.pyramids import resnet_maps

__all__ = ["FastHMFS"]

WORTH = 0.8
"""Of a level's positions the most that are compared in two parts."""


class FastHMFS(FastHSNet):
    """HMFS whose supports pass the backbone a second time, under their masks: ``hm`` and ``im``."""

    keeps_supports = True
    reads_images = True

    def __init__(self, original: HMFS) -> None:
        super().__init__(original)
        self.replaced = original.replaced
        self.on_black = OnBlack(self.backbone) if original.all_maps is resnet_maps else None
        self.kept_maps = original.kept_maps
        self.reads_features = self.masking == "hm"

    def condition_held(self, features: list[Tensor], images: Tensor, masks: Tensor, held: Tensor) -> list[Tensor]:
        """The unit rows (N, h·w, C) of the masked image's maps or, with ``hm``, of both kinds of map together.

        Where most of the finest level is as of a black image, `_elsewhere` too.
        """
        masked = (images * masks[:, None]).to(self._dtype).contiguous(memory_format=torch.channels_last)
        # On other devices many small kernels would not pay; and in a batch no result may depend on its neighbours.
        box = window_of_all(torch.stack(bounding_box(held), dim=1))
        on_black = self.on_black if images.device.type == "cpu" and len(images) == 1 else None
        if on_black is None:
            inner, elsewhere = self._maps(masked), []
        else:
            maps = on_black.maps(masked, box)
            inner = last([maps[index] for index in self.kept_maps])
            elsewhere = self._elsewhere(on_black, masked, box)
        if self.masking == "hm":
            remaining = iter(zip(inner, features, strict=False))
            for lengths in features[len(inner) :]:
                self._fill(list(islice(remaining, lengths.shape[1])), lengths, masks, held)
        return [*self._unit(inner)[: len(inner)], *elsewhere]

    def _elsewhere(self, on_black: OnBlack, image: Tensor, box: Window) -> list[Tensor]:
        """What the finest level is where an image (1, 3, H, W) that is black outside of a box is black, if that pays.

        The unit rows (1, r·c, C) of the positions of a black image that are kept, and on the CPU (1, 3, 4): the window
        that sees the box, and the `Compact` rows and columns.
        """
        coarsest, (h, w) = self.kept_maps[self.levels[0] - 1], (image.shape[-2], image.shape[-1])
        corners = (Window(Span(0, 1), Span(0, 1)), Window(Span(h - 1, h), Span(w - 1, w)))
        window, start, stop = (on_black.windows(one, (h, w))[coarsest] for one in (box, *corners))
        maps = [on_black.black(image)[index] for index in self.kept_maps[: self.levels[0]]]
        first = cast(CenterPivotConv4d, cast(SqueezeBlock, self.hpn_learner.blocks[0]).layers[0])
        down, across = (  # where no end of the image is seen, all is the same
            Compact.of(one.stop, other.start, size=n, kernel=first.conv2.kernel_size[0], stride=first.support_stride)
            for one, other, n in zip(start.spans, stop.spans, maps[0].shape[-2:], strict=True)
        )
        if window.area + len(down.positions) * len(across.positions) > WORTH * maps[0][0, 0].numel():
            return []
        kept = [one[..., down.positions, :][..., across.positions].permute(0, 2, 3, 1) for one in maps]  # (1, r, c, C)
        lengths = [torch.linalg.vector_norm(one, dim=-1, keepdim=True) for one in kept]
        rows = [(one / (length + EPSILON)).flatten(1, 2) for one, length in zip(kept, lengths, strict=True)]
        return [*rows, torch.tensor([[window.bounds, down.facts, across.facts]])]

    def _fill(self, maps: Sequence[tuple[Tensor, Tensor]], lengths: Tensor, masks: Tensor, held: Tensor) -> None:
        """Write into one level's maps (N, h, w, C) of the masked image what feature masking keeps of its own rows."""
        window = window_of_all(windows_of(held, [(lengths.shape[-2], lengths.shape[-1])])[:, 0])
        rows_in, columns_in = window.rows.slice, window.columns.slice  # there is nothing to keep elsewhere
        shares = self._share(masks, lengths) * (lengths + EPSILON)  # (N, L, h, w)
        for number, (inner, rows) in enumerate(maps):
            inside = inner[:, rows_in, columns_in]
            share = shares[:, number, rows_in, columns_in, None].to(rows.dtype)
            own = rows.view(inner.shape)[:, rows_in, columns_in] * share
            inside.copy_(hybrid([own], [inside], replaced=self.replaced)[0])

    def _shown(self, parts: Sequence[Tensor], sizes: Sequence[Size]) -> list[SupportLevel]:
        n = sum(self.levels)
        finest, *others = super()._shown(parts[:n], sizes)
        if len(parts) == n:
            return [finest, *others]
        *rows, facts = (one[0] for one in parts[n:])
        (top, bottom, left, right), vertical, horizontal = facts.tolist()
        elsewhere = Elsewhere(rows, Compact(*vertical), Compact(*horizontal))
        window = Window(Span(top, bottom), Span(left, right))
        return [replace(finest, window=window, elsewhere=elsewhere), *others]
