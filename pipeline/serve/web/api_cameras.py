"""Cameras: their state, and for admins adding, changing and removing them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Path

from pipeline.serve.web.parts import Its, Who
from pipeline.serve.web.wire import CameraOut, CameraSettings, NewCamera, Problem, Text

router = APIRouter(prefix="/api/cameras", tags=["cameras"])

CameraName = Annotated[Text, Path(description="of a camera")]
MISSING: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is none of that name"}}


@router.get("")
def list_cameras(its: Its) -> list[CameraOut]:
    """Every camera as it is now."""
    return [CameraOut.of(status) for status in its.cameras.status()]


@router.post("", status_code=204)
def add_camera(camera: NewCamera, its: Its, who: Who) -> None:
    """Watches one more camera. For admins."""
    its.cameras.add(camera.name, camera.spec)
    its.journal.did(who, "add camera", camera.name)


@router.get("/{name}/settings", responses=MISSING)
def get_settings(name: CameraName, its: Its) -> CameraSettings:
    """The settings of a camera, without what is secret in its source. For admins."""
    try:
        return CameraSettings.model_validate(its.cameras.settings(name))
    except KeyError:
        raise HTTPException(404, "there is no such camera") from None


@router.put("/{name}", status_code=204, responses=MISSING)
def change_camera(name: CameraName, spec: Annotated[dict[str, Any], Body()], its: Its, who: Who) -> None:
    """Gives a camera other settings; it keeps its `source`, `masks` and `zones` if left out. For admins."""
    try:
        its.cameras.change(name, spec)
    except KeyError:
        raise HTTPException(404, "there is no such camera") from None
    its.journal.did(who, "change camera", name)


@router.delete("/{name}", status_code=204, responses=MISSING)
def remove_camera(name: CameraName, its: Its, who: Who) -> None:
    """Watches a camera no more; its events stay. For admins."""
    try:
        its.cameras.remove(name)
    except KeyError:
        raise HTTPException(404, "there is no such camera") from None
    its.journal.did(who, "remove camera", name)
