"""The families of networks that Onsight can adopt, and what belongs to each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from export import dense, heads
from export.decoding import Head
from export.facts import Facts, MisfitError
from export.graph import FOREIGN
from export.options import FamilyName
from export.preprocessing import Normalisation
from pipeline.contract import Resize
from pipeline.errors import ContractError

_IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
_LETTERBOX = Resize(rule="letterbox", antialias=False)


@dataclass(frozen=True, slots=True)
class Family:
    """How networks of a kind are fed and read.

    Args:
        expects: the shape of the outputs, for people.
        build: makes the head; raises `MisfitError`, or `ContractError` where the labels do not fit.
        nms: the host has to suppress overlapping boxes.
        open_size: the height and width not to exceed where the graph leaves them open; None: they have to be given.
    """

    expects: str
    build: Callable[[Facts], Head]
    normalisation: Normalisation
    resize: Resize
    nms: bool = False
    open_size: int | None = None


FAMILIES: dict[FamilyName, Family] = {
    "classifier": Family(
        expects="one output [B, C]",
        build=heads.classifier,
        normalisation=_IMAGENET,
        resize=Resize(rule="crop", crop_pct=0.875),
    ),
    "yolox": Family(
        expects="one output [B, N, 5 + C], a row for each grid cell",
        build=dense.yolox,
        normalisation=Normalisation(pixel_range="0-255", colour="bgr"),
        resize=Resize(rule="letterbox", antialias=False, pad="end", rounding="down"),
        nms=True,
    ),
    "yolov5": Family(
        expects="one output [B, N, 5 + C], three rows for each grid cell",
        build=dense.yolov5,
        normalisation=Normalisation(),
        resize=_LETTERBOX,
        nms=True,
        open_size=640,
    ),
    "yolov8": Family(
        expects="one output [B, 4 + C, N]",
        build=dense.yolov8,
        normalisation=Normalisation(),
        resize=_LETTERBOX,
        nms=True,
        open_size=640,
    ),
    "detr": Family(
        expects="boxes [B, Q, 4] and class scores [B, Q, C], or one output [B, Q, 6], with boxes between 0 and 1",
        build=heads.detr,
        normalisation=_IMAGENET,
        resize=Resize(rule="stretch"),
    ),
    "nms": Family(
        expects="one output [B, N, 6] or [N, 6] of x1, y1, x2, y2 in pixels, score, class",
        build=heads.nms,
        normalisation=Normalisation(),
        resize=_LETTERBOX,
        open_size=640,
    ),
}


def build_head(name: FamilyName, facts: Facts) -> Head:
    """The head of the family called `name` for what the network gave.

    Raises:
        ContractError: the outputs are not those of the family, or the labels do not fit.
    """
    try:
        return FAMILIES[name].build(facts)
    except MisfitError as error:
        shapes = ", ".join(f"{key.removeprefix(FOREIGN)} {list(value.shape)}" for key, value in facts.outputs.items())
        fitting = [other for other in FAMILIES if other != name and _fits(other, facts)]
        hint = f"; it looks like --family {' or '.join(fitting)}" if fitting else ""
        raise ContractError(
            f"this is no {name} model: {name} expects {FAMILIES[name].expects}, found {shapes} ({error}){hint}"
        ) from None


def _fits(name: FamilyName, facts: Facts) -> bool:
    try:
        FAMILIES[name].build(facts)
    except MisfitError:
        return False
    except ContractError:
        return True
    return True
