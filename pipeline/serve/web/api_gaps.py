"""Gaps: the times in which a camera gave no pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from pipeline.serve.web.parts import Its
from pipeline.serve.web.wire import GapOut, GapPage, Moment, Text

router = APIRouter(prefix="/api/gaps", tags=["gaps"])


@router.get("")
def search_gaps(
    its: Its,
    camera: Annotated[list[Text], Query(max_length=100, description="any of these")] = [],  # noqa: B006
    since: Moment | None = None,
    until: Moment | None = None,
    before: Annotated[Text | None, Query(description="an id: only older ones")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> GapPage:
    """When a camera gave no pictures, newest first; gaps that lasted at some time between `since` and `until`."""
    found = its.events.gaps(cameras=camera, since=since, until=until, before=before, limit=limit + 1)
    shown = [GapOut.of(gap) for gap in found[:limit]]
    return GapPage(gaps=shown, next=shown[-1].id if len(found) > limit else None)
