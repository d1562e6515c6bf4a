"""Decoders that fail on the way, for a reason other than damage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
import pytest

from pipeline.sources import pyav
from pipeline.sources.probe import demux


class _Faulty:
    """A packet at which the decoder fails."""

    def __init__(self, packet: av.Packet[Any], error: av.FFmpegError) -> None:
        self._packet, self._error = packet, error

    def decode(self) -> list[av.VideoFrame]:
        self._packet.decode()
        raise self._error


def fail_at(number: int, error: av.FFmpegError, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has PyAV fail at that packet of the first video that it decodes, and at none of a later one."""
    faults = [number]

    def faulty(container: av.container.InputContainer, *streams: av.VideoStream) -> Iterator[Any]:
        fault = faults.pop() if faults else None
        for index, packet in enumerate(demux(container, *streams)):
            yield _Faulty(packet, error) if index == fault else packet

    monkeypatch.setattr(pyav, "demux", faulty)
