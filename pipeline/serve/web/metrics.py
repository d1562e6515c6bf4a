"""The figures of the cameras in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from pipeline.serve.types import CameraState, CameraStatus

__all__ = ["CONTENT_TYPE", "render_metrics"]

_COUNTERS = {
    "frames": "Frames shown.",
    "dropped": "Frames that gave way to newer ones.",
    "withheld": "Frames that could not be redacted and were not shown.",
    "gaps": "Times that no picture came.",
    "gap_seconds": "Seconds without a picture.",
}


class _Figures(Collector):
    def __init__(self, cameras: Sequence[CameraStatus], watching: Mapping[str, int]) -> None:
        self._cameras = cameras
        self._watching = watching

    def collect(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("onsight_camera_state", "1 for the state a camera is in.", labels=["camera", "state"])
        fps = GaugeMetricFamily("onsight_camera_fps", "Frames shown a second.", labels=["camera"])
        latency = GaugeMetricFamily(
            "onsight_camera_latency_p99_seconds", "From the decoded to the shown frame.", labels=["camera"]
        )
        viewers = GaugeMetricFamily("onsight_camera_viewers", "Who watch it live.", labels=["camera"])
        for camera in self._cameras:
            for each in get_args(CameraState):
                state.add_metric([camera.name, each], camera.state == each)
            fps.add_metric([camera.name], camera.fps)
            if camera.latency is not None:
                latency.add_metric([camera.name], camera.latency)
            viewers.add_metric([camera.name], self._watching.get(camera.name, 0))
        yield from (state, fps, latency, viewers)
        for name, words in _COUNTERS.items():
            counter = CounterMetricFamily(f"onsight_camera_{name}", words, labels=["camera"])
            for camera in self._cameras:
                counter.add_metric([camera.name], getattr(camera, name))
            yield counter


def render_metrics(cameras: Sequence[CameraStatus], watching: Mapping[str, int]) -> bytes:
    """All figures, with those of this process.

    Args:
        watching: how many watch each camera.
    """
    registry = CollectorRegistry()
    registry.register(_Figures(cameras, watching))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
