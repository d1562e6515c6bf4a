"""Says which detections are the same object, frame after frame: ByteTrack, as the library `trackers` has it.

A Kalman filter moves each object's box to the time of the frame. Boxes are then matched with it by their overlap: the
good ones first, and those of low score with the objects that are left over (Zhang et al. 2022, arXiv:2110.06864).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.extras import needing
from pipeline.types import Detections, Frame, Recognised

if TYPE_CHECKING:
    from trackers.utils.state_representations import BaseStateEstimator

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

        At a frame at which the model did not look, its results are not asked: those of the last look stay where nothing
        has moved since, and otherwise go on with their tracks.

        Raises:
            ValueError: the frame has no time, or its results are not of a detector.
        """
        frame, found = recognised.frame, recognised.results
        if frame.pts is None or not isinstance(found, Detections):
            raise ValueError("only detections at a known time can be tracked")
        tracked, hide_N4 = self._track(frame, found, frame.pts), recognised.hide_N4
        if hide_N4 is not None and self._hide:
            hide_N4 = np.concatenate((hide_N4, tracked.boxes_N4[np.isin(tracked.labels_N, self._hide)]))
        if self._classes is not None:  # only now: what is hidden has to be hidden, shown or not
            tracked = tracked.where(np.isin(tracked.labels_N, self._classes))
        return replace(recognised, results=tracked, hide_N4=hide_N4)

    def _track(self, frame: Frame, found: Detections, pts: float) -> Detections:
        source = self._sources[frame.stream]
        if frame.look == "ahead":
            return source.predict(frame, pts)
        return source.again(frame, pts) if frame.look == "same" else source(found, frame, pts)


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
        self._found: Detections | None = None  # by the last look
        self._tracked: Detections | None = None
        self._pts = 0.0
        self._size: tuple[int, int] | None = None  # of the first frame: boxes are matched as if all had it

    def __call__(self, found: Detections, frame: Frame, pts: float) -> Detections:
        self._found, self._tracked, self._pts = found, self._update(found, frame, pts), pts
        return self._tracked

    def again(self, frame: Frame, pts: float) -> Detections:
        """As if the model had found once more what it found by the last look, at a frame of the same size."""
        assert self._found is not None
        return self(self._found, frame, pts)

    def predict(self, frame: Frame, pts: float) -> Detections:
        """What was last tracked, each box where its track leads; not those that this leads out of the frame."""
        assert self._tracked is not None
        assert self._tracked.tracks_N is not None
        boxes_N4, steps = self._tracked.boxes_N4.copy(), (pts - self._pts) * _STEP_RATE
        for track in self._tracker.tracks:
            rows = np.flatnonzero(self._tracked.tracks_N == track.tracker_id + 1)
            if track.tracker_id >= 0 and len(rows):
                boxes_N4[rows] += _way(track.state_estimator, steps) / self._scale_4(frame)
        boxes_N4 = boxes_N4.clip(0, (frame.width, frame.height) * 2)
        inside_N2 = boxes_N4[:, 2:] > boxes_N4[:, :2]
        return replace(self._tracked, boxes_N4=boxes_N4).where(inside_N2[:, 0] & inside_N2[:, 1])

    def _update(self, found: Detections, frame: Frame, pts: float) -> Detections:
        from supervision import Detections as Boxes

        above_N = found.scores_N - np.broadcast_to(self._thresholds, len(found.names))[found.labels_N]
        boxes_N4 = found.boxes_N4 * self._scale_4(frame)
        boxes = Boxes(boxes_N4, confidence=above_N, data={"row": np.arange(len(found))})
        matched = self._tracker.update(boxes.with_nms(_SAME_OBJECT, class_agnostic=True), timestamp=pts)
        tracks_N = np.zeros(len(found), np.int64)
        if matched.tracker_id is not None and len(matched):  # the library's ids count from 0, -1 is none yet
            tracks_N[matched.data["row"]] = matched.tracker_id + 1
        tracked = replace(found, labels_N=self._vote(found, tracks_N), tracks_N=tracks_N)
        return tracked.where((above_N >= 0) | (tracks_N > 0))

    def _scale_4(self, frame: Frame) -> NDArray[np.float32]:
        self._size = self._size or (frame.width, frame.height)
        return np.array((self._size[0] / frame.width, self._size[1] / frame.height) * 2, np.float32)

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


def _way(estimator: BaseStateEstimator, steps: float) -> NDArray[np.float64]:
    """float64 [4]: how far a Kalman filter expects each side of its box to move in `steps`; it stays as it is."""
    before = estimator.get_state()
    start_4 = estimator.state_to_bbox()
    estimator.predict(steps, _STEP_RATE)
    way_4: NDArray[np.float64] = estimator.state_to_bbox() - start_4
    estimator.set_state(before)
    return way_4
