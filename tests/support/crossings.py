"""A road seen from the side whose traffic is known, what a detector might find in it, and how well it was tracked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from trackers.eval import box_iou, compute_clear_metrics, compute_hota_metrics, compute_identity_metrics

from pipeline.types import Detections, Frame, Recognised

WIDTH, HEIGHT = 1280, 720
RATE = 25.0
LOWEST = 0.125  # of the scores that the detector gives


@dataclass(frozen=True)
class Moment:
    """One frame: the objects that are there, G of them, and what was detected."""

    pts: float
    ids_G: np.ndarray
    boxes_G4: np.ndarray
    found: Detections


def crossings(*, seed: int = 0, seconds: float = 40.0, dropped: float = 0.3, jitter: float = 0.6) -> list[Moment]:
    """Vehicles on five lanes that overlap in the picture, in both directions, 80 to 320 pixels a second.

    The nearer ones hide those behind. Boxes are off by 3 % of their size, every twentieth is missed, as many have a
    low score, and every third frame has a false one.

    Args:
        dropped: the share of frames that is lost, four in a row on average.
        jitter: by how much the time to the next frame differs from 1 / RATE, at most and as a part of it.
    """
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    times = np.cumsum(random.uniform(1 - jitter, 1 + jitter, count)) / RATE
    start, speed, lane, size = _vehicles(random, seconds)
    moments = []
    for pts in times[_kept(random, count, dropped)]:
        way = speed * (pts - start)
        x = np.where(speed > 0, way, WIDTH + way)
        y = 260.0 + 55 * lane + 12 * np.sin(pts * 1.5 + start)
        there = (pts >= start) & (x > 0) & (x < WIDTH)
        ids_G = np.flatnonzero(there)
        ids_G = ids_G[np.argsort(-y[ids_G])]  # the nearest first
        corners = np.stack([x - size / 2, y - size * 0.7, x + size / 2, y], axis=1)[ids_G]
        boxes_G4 = corners.clip(0, [WIDTH, HEIGHT] * 2)
        moments.append(Moment(float(pts), ids_G, boxes_G4, _detect(random, boxes_G4)))
    return moments


def _vehicles(random: np.random.Generator, seconds: float) -> tuple[np.ndarray, ...]:
    """When each enters, its speed (negative: to the left), its lane and its width."""
    count = round(seconds * 0.9)
    lane = random.integers(0, 5, count)
    direction = np.where(lane % 2, 1, -1)
    return (
        random.uniform(0, seconds, count),
        direction * random.uniform(80, 320, count),
        lane,
        random.uniform(60, 130, count),
    )


def _kept(random: np.random.Generator, count: int, dropped: float) -> np.ndarray:
    """bool [count]: a chain of two states, of which the lossy one lasts for four frames on average."""
    leave = 0.25
    enter = leave * dropped / (1 - dropped)
    kept = np.ones(count, bool)
    for i in range(1, count):
        kept[i] = random.random() >= enter if kept[i - 1] else random.random() < leave
    return kept


def _detect(random: np.random.Generator, boxes_G4: np.ndarray) -> Detections:
    covered_G = _covered(boxes_G4)
    scores_G = random.normal(0.7, 0.1, len(boxes_G4)).clip(0.3, 0.95)
    weak_G = (random.random(len(boxes_G4)) < 0.05) | (covered_G > 0.35)
    scores_G[weak_G] = random.uniform(LOWEST, 0.25, int(weak_G.sum()))
    seen_G = (random.random(len(boxes_G4)) >= 0.05) & (covered_G < 0.6)
    extent_G4 = np.tile(boxes_G4[:, 2:] - boxes_G4[:, :2], 2)
    noisy_G4 = boxes_G4 + random.normal(0, 0.03, boxes_G4.shape) * extent_G4

    false = random.poisson(0.33)
    corner_F2 = random.uniform(0, [WIDTH - 100, HEIGHT - 70], (false, 2))
    boxes_N4 = np.concatenate((noisy_G4[seen_G], np.hstack((corner_F2, corner_F2 + np.array([100, 70])))))
    scores_N = np.concatenate((scores_G[seen_G], random.uniform(LOWEST, 0.5, false)))
    best = np.argsort(-scores_N)
    labels_N = random.choice(2, len(best), p=[0.8, 0.2])
    return Detections(boxes_N4[best].astype(np.float32), labels_N, scores_N[best].astype(np.float32), ("car", "truck"))


def _covered(boxes_G4: np.ndarray) -> np.ndarray:
    """How much of each box the one before it that hides most of it covers."""
    first = np.maximum(boxes_G4[:, None, :2], boxes_G4[None, :, :2])
    last = np.minimum(boxes_G4[:, None, 2:], boxes_G4[None, :, 2:])
    shared_GG = (last - first).clip(0).prod(axis=2)
    area_G = (boxes_G4[:, 2:] - boxes_G4[:, :2]).prod(axis=1)
    return np.tril(shared_GG / area_G[:, None], -1).max(axis=1, initial=0)


def measure(
    moments: Sequence[Moment], track: Callable[[Recognised], Recognised], times: Sequence[float] | None = None
) -> dict[str, float]:
    """Tracks the detections and holds the tracks against the truth.

    Args:
        times: what the tracker is told instead of the true times.

    Returns: HOTA, MOTA and IDF1 (0 to 1, MOTA maybe below), IDSW, the switches of identity, and the numbers of tracks
        and of objects.
    """
    image = np.zeros((1, 1, 3), np.uint8)
    truth, tracks, overlaps = [], [], []
    for index, moment in enumerate(moments):
        frame = Frame(image, "", index, moment.pts if times is None else times[index])
        found = track(Recognised(frame, moment.found)).results
        found = found.where(found.tracks_N > 0)
        truth.append(moment.ids_G)
        tracks.append(found.tracks_N)
        overlaps.append(box_iou(moment.boxes_G4, found.boxes_N4.astype(float)))
    seen = (truth, tracks, overlaps)
    scores = compute_hota_metrics(*seen) | compute_clear_metrics(*seen) | compute_identity_metrics(*seen)
    return {name: scores[name] for name in ("HOTA", "MOTA", "IDF1", "IDSW")} | {
        "tracks": len(set(np.concatenate(tracks).tolist())),
        "objects": len(set(np.concatenate(truth).tolist())),
    }
