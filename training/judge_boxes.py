"""From boxes and the facts about their pictures to findings: what is an error, what a warning, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.box_listing import SLACK, BoxEntry
from training.examine import Facts
from training.findings import Finding, error, note, plural, shorten, warning
from training.judge import FEW, IMBALANCE

SMALL = 2.0
SAME = 0.95

Mask = NDArray[np.bool_]


class Scene(NamedTuple):
    """A picture of the data set with its boxes, and what its file holds: it can be read."""

    name: str
    entry: BoxEntry
    facts: Facts


def judge_boxes(scenes: Sequence[Scene]) -> Iterator[Finding]:
    """What is wrong or odd with single boxes, and with pictures as the place of boxes."""
    yield from _judge_sizes(scenes)
    for tell, kind, has, what in _KINDS:
        masks = [(scene, has(scene.entry)) for scene in scenes]
        found = [(scene, mask_N) for scene, mask_N in masks if mask_N.any()]
        if found:
            number = sum(int(mask_N.sum()) for _, mask_N in found)
            named = shorten([_point(scene, int(mask_N.argmax())) for scene, mask_N in found])
            where = f"{plural(number, 'box', 'boxes')} in {plural(len(found), 'image')}"
            yield tell(kind, f"{where} {what} ({named})", [(scene.name,) for scene, _ in found])
    empty = [(scene.name,) for scene in scenes if not scene.entry.labels]
    if empty and len(empty) == len(scenes):
        yield error("no_boxes", "no image has any box: there is nothing to learn", empty)
    elif empty:
        yield note("no_boxes", f"{plural(len(empty), 'image')} without any box: they teach what is none", empty)


def judge_classes(counts: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Classes by their number of boxes in each split, `all` where nothing is split."""
    there = {split for numbers in counts.values() for split in numbers}
    base = next((split for split in ("all", "train") if split in there), None)
    if base is None:
        return
    empty = [label for label, numbers in counts.items() if not numbers]
    if empty:
        what = f"{plural(len(empty), 'class has', 'classes have')} no boxes ({shorten(empty)})"
        yield error("empty_class", f"{what}: draw some, or take them out of the data set")
    for split in (split for split in ("val", "test") if split in there):
        unknown = [label for label, numbers in counts.items() if split in numbers and base not in numbers]
        if unknown:
            yield error("unknown_class", f"{split} has boxes of classes that train has not: {shorten(unknown)}")
        missing = [label for label, numbers in counts.items() if base in numbers and split not in numbers]
        if missing:
            yield warning("missing_class", f"{split} has no boxes of {shorten(missing)}, which train has")
    yield from _judge_balance({label: numbers[base] for label, numbers in counts.items() if base in numbers})


def _judge_balance(sizes: Mapping[str, int]) -> Iterator[Finding]:
    few = [f"{label} ({size})" for label, size in sizes.items() if size < FEW]
    if few:
        what = f"{plural(len(few), 'class has', 'classes have')} fewer than {FEW} boxes to train on"
        yield warning("small_class", f"{what}: {shorten(few)}")
    largest, smallest = max(sizes, key=lambda label: sizes[label]), min(sizes, key=lambda label: sizes[label])
    if sizes[largest] > IMBALANCE * sizes[smallest]:
        what = f"{largest!r} has {sizes[largest]:,} boxes to train on, {smallest!r} {sizes[smallest]:,}"
        yield warning("imbalance", f"{what}: collect more of the rare ones")


def _judge_sizes(scenes: Sequence[Scene]) -> Iterator[Finding]:
    found = [scene for scene in scenes if scene.entry.size != (scene.facts.width, scene.facts.height)]
    if found:
        named = shorten([_compare_sizes(scene) for scene in found])
        what = f"{plural(len(found), 'image has', 'images have')} another size than the annotation says ({named})"
        yield error(
            "other_size", f"{what}: their boxes fit nothing; annotate them as they are", [(s.name,) for s in found]
        )


def _compare_sizes(scene: Scene) -> str:
    width, height = scene.entry.size
    return f"{scene.name}: {scene.facts.width} x {scene.facts.height}, not {width} x {height}"


def _point(scene: Scene, index: int) -> str:
    x, y = scene.entry.boxes_N4[index, :2]
    return f"{scene.name}: {scene.entry.labels[index]} at {x:.0f}, {y:.0f}"


def _outside(entry: BoxEntry) -> Mask:
    """Solid boxes of which nothing lies in the picture."""
    last, first = entry.boxes_N4[:, :2] >= entry.size, entry.boxes_N4[:, 2:] <= 0
    return np.asarray(entry.solid & (last | first).any(1))


def _reaching_out(entry: BoxEntry) -> Mask:
    far = (entry.boxes_N4[:, :2] < -SLACK) | (entry.boxes_N4[:, 2:] > np.add(entry.size, SLACK))
    return np.asarray(entry.solid & far.any(1) & ~_outside(entry))


def _small(entry: BoxEntry) -> Mask:
    sides_N2 = entry.boxes_N4[:, 2:] - entry.boxes_N4[:, :2]
    return np.asarray(entry.solid & (sides_N2 < SMALL).any(1))


def _repeated(entry: BoxEntry) -> Mask:
    """Boxes that nearly are an earlier one of their class."""
    names_N = np.array(entry.labels)
    same_NN = (names_N[:, None] == names_N) & (_ious(entry.boxes_N4) > SAME)
    return np.asarray(np.tril(same_NN, -1).any(1) & entry.solid)


def _ious(boxes_N4: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each box with each, float64 [N, N]; 0 of boxes without area."""
    first_NN2 = np.maximum(boxes_N4[:, None, :2], boxes_N4[:, :2])
    last_NN2 = np.minimum(boxes_N4[:, None, 2:], boxes_N4[:, 2:])
    common_NN = (last_NN2 - first_NN2).clip(0).prod(2)
    area_N = (boxes_N4[:, 2:] - boxes_N4[:, :2]).prod(1)
    union_NN = area_N[:, None] + area_N - common_NN
    return np.divide(common_NN, union_NN, out=np.zeros_like(common_NN), where=union_NN > 0)


_KINDS: tuple[tuple[Callable[..., Finding], str, Callable[[BoxEntry], Mask], str], ...] = (
    (error, "outside_box", _outside, "lying outside it: of another picture, or of another size? draw them again"),
    (
        warning,
        "cut_box",
        _reaching_out,
        f"reaching out of it by more than {SLACK:g} pixel: training cuts them at its edge",
    ),
    (warning, "empty_box", lambda entry: ~entry.solid, "without width or height: they are left out"),
    (warning, "tiny_box", _small, f"with a side of less than {SMALL:g} pixels: nothing can be learnt from them"),
    (warning, "repeated_box", _repeated, f"repeating one of the same class, IoU above {SAME:g}: keep one of each"),
)
