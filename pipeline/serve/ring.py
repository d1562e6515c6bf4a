"""The last seconds of a stream, as packets in memory."""

from __future__ import annotations

from collections import deque
from typing import Any

from av.packet import Packet

_MOST_BYTES = 64 * 2**20


class PacketRing:
    """The last packets of a stream, from a key frame on, as groups that each begin with one."""

    def __init__(self, seconds: float, most_bytes: int = _MOST_BYTES) -> None:
        self._seconds = seconds
        self._most_bytes = most_bytes
        self._groups: deque[list[tuple[float, Packet[Any]]]] = deque()
        self._bytes = 0

    def add(self, packet: Packet[Any], at: float) -> None:
        """Takes the next packet, which came at the time `at`, in seconds."""
        if packet.is_keyframe:
            self._groups.append([])
        if not self._groups:
            return  # nothing can be seen before a key frame
        self._groups[-1].append((at, packet))
        self._bytes += packet.size
        while self._groups and (self._bytes > self._most_bytes or self._old(at)):
            self._bytes -= sum(packet.size for _, packet in self._groups.popleft())

    def clear(self) -> None:
        self._groups.clear()
        self._bytes = 0

    @property
    def packets(self) -> list[tuple[float, Packet[Any]]]:
        return [each for group in self._groups for each in group]

    def _old(self, at: float) -> bool:
        """Whether the second group, too, begins early enough."""
        return len(self._groups) > 1 and self._groups[1][0][0] <= at - self._seconds
