"""Says which detections are the same object, frame after frame: ByteTrack, as the library `trackers` has it.

A Kalman filter moves each object's box to the time of the frame. Boxes are then matched with it by their overlap: the
good ones first, and those of low score with the objects that are left over (Zhang et al. 2022, arXiv:2110.06864).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipeline.extras import needing
from pipeline.types import Detections, Recognised

LOST_AFTER = 1.0
"""Seconds without a box after which an object that comes back is a new one."""

_STEP_RATE = 30.0  # the library counts its buffer in frames of 1/30 s, and its noise fits steps of that length
_SAME_OBJECT = 0.8  # intersection over union: boxes of two classes that overlap more are one object with two names


class Tracker:
    """Numbers the objects of each source. A stage of the journey: give it every frame of a source, in order.

    Objects are matched by boxes and times alone, never by class: a detector that takes a car for a truck now and then
    does not lose it. The class of a track is the one with the highest sum of scores so far, and its detections are
    labelled with it. Boxes of two classes on one object make one track; the worse box stays without.

    Args:
        threshold: the lowest score that is shown, and with which a track may begin; float32 [C]: that of each class.
            A detection below it stays only if it continues a track.
        classes: the label ids that are shown, asked of the track where there is one; None: all.
        hide: the label ids that the run hides: a box is hidden, too, when its track is of such a class and the model
            took it for another in this frame.

    Raises:
        ConfigError: the packages of the extra `track` are not installed.
    """

    def __init__(
        self,
        threshold: float | NDArray[np.float32],
        classes: frozenset[int] | None = None,
        hide: frozenset[int] = frozenset(),
    ) -> None:
        with needing("track"):
            import supervision  # noqa: F401
            import trackers  # noqa: F401
        self._classes = None if classes is None else sorted(classes)
        self._hide = sorted(hide)
        self._sources: defaultdict[int, _SourceTracker] = defaultdict(lambda: _SourceTracker(threshold))

    def __call__(self, recognised: Recognised) -> Recognised:
        """The same frame with `results.tracks_N`, the order kept; `hide_N4` may grow.

        Raises:
            ValueError: the frame has no time, or its results are not of a detector.
        """
        frame, found = recognised.frame, recognised.results
        if frame.pts is None or not isinstance(found, Detections):
            raise ValueError("only detections at a known time can be tracked")
        tracked, hide_N4 = self._sources[frame.stream](found, frame.pts), recognised.hide_N4
        if hide_N4 is not None and self._hide:
            hide_N4 = np.concatenate((hide_N4, tracked.boxes_N4[np.isin(tracked.labels_N, self._hide)]))
        if self._classes is not None:  # only now: what is hidden has to be hidden, shown or not
            tracked = tracked.where(np.isin(tracked.labels_N, self._classes))
        return replace(recognised, results=tracked, hide_N4=hide_N4)


class _SourceTracker:
    """The objects of one source."""

    def __init__(self, threshold: float | NDArray[np.float32]) -> None:
        from trackers import ByteTrackTracker

        self._tracker = ByteTrackTracker(
            lost_track_buffer=round(LOST_AFTER * _STEP_RATE),
            frame_rate=_STEP_RATE,
            track_activation_threshold=0.0,  # of what a score is above the threshold of its class
            high_conf_det_threshold=0.0,
        )
        self._thresholds = np.asarray(threshold, np.float32)
        self._votes: dict[int, defaultdict[int, float]] = {}

    def __call__(self, found: Detections, pts: float) -> Detections:
        from supervision import Detections as Boxes

        above_N = found.scores_N - np.broadcast_to(self._thresholds, len(found.names))[found.labels_N]
        boxes = Boxes(found.boxes_N4, confidence=above_N, data={"row": np.arange(len(found))})
        matched = self._tracker.update(boxes.with_nms(_SAME_OBJECT, class_agnostic=True), timestamp=pts)
        tracks_N = np.zeros(len(found), np.int64)
        if matched.tracker_id is not None and len(matched):  # the library's ids count from 0, -1 is none yet
            tracks_N[matched.data["row"]] = matched.tracker_id + 1
        tracked = replace(found, labels_N=self._vote(found, tracks_N), tracks_N=tracks_N)
        return tracked.where((above_N >= 0) | (tracks_N > 0))

    def _vote(self, found: Detections, tracks_N: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64 [N]: the labels of `found`, those of tracks by the votes of all their frames."""
        alive = {track.tracker_id + 1 for track in self._tracker.tracks}
        self._votes = {track: self._votes.get(track, defaultdict(float)) for track in alive}
        labels_N = found.labels_N.copy()
        for row in np.flatnonzero(tracks_N).tolist():
            votes = self._votes[int(tracks_N[row])]
            votes[int(found.labels_N[row])] += float(found.scores_N[row])
            labels_N[row] = max(votes, key=votes.__getitem__)
        return labels_N
