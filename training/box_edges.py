"""Boxes and the edge of their picture: training and evaluation know no more of an object than what can be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.box_listing import SLACK, BoxEntry
from training.findings import plural


def cut_at_edge(entry: BoxEntry) -> tuple[BoxEntry, int]:
    """The boxes as far as they lie in the picture; what has no area there is left out.

    The area of an object is cut by the same share as its box.

    Returns:
        The entry, and how many of its boxes reached out by more than `SLACK` pixels, which is no rounding.
    """
    whole_4 = np.array([*entry.size, *entry.size], np.float64)
    inside_N4 = entry.boxes_N4.clip(0, whole_4)
    before_N, after_N = ((each[:, 2:] - each[:, :2]).prod(1) for each in (entry.boxes_N4, inside_N4))
    share_N = np.divide(after_N, before_N, out=np.zeros_like(after_N), where=before_N > 0)
    cut = replace(entry, boxes_N4=inside_N4, area_N=entry.area_N * share_N)
    kept_N = cut.solid
    reached_N = np.abs(entry.boxes_N4 - inside_N4).max(1, initial=0) > SLACK
    seen = replace(
        cut,
        labels=tuple(label for label, kept in zip(entry.labels, kept_N, strict=True) if kept),
        boxes_N4=inside_N4[kept_N],
        crowd_N=entry.crowd_N[kept_N],
        area_N=cut.area_N[kept_N],
    )
    return seen, int((kept_N & reached_N).sum())


def tell_cut(cut: int, dropped: int) -> str | None:
    """A line on the boxes that are not as the data set has them; None if there are none.

    Args:
        cut: how many were cut at the edge of their picture.
        dropped: how many were left out, since they have no area in it.
    """
    told = [f"{plural(cut, 'box', 'boxes')} cut at the edge of the picture"] if cut else []
    told += [f"{plural(dropped, 'box', 'boxes')} without area in the picture left out"] if dropped else []
    return f"{', '.join(told)}: onsight data check names them" if told else None
