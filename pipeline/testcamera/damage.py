"""Damages data as a bad line does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

_LOST = 0.02  # of the packets
_DAMAGED = 0.1
_MOST_BYTES = 4


def damage_packets(packets: Iterable[bytes], chance: Random, header: int) -> Iterator[bytes]:
    """Leaves some of `packets` out and damages others behind their `header` bytes."""
    for packet in packets:
        luck = chance.random()
        if luck >= _LOST:
            yield packet if luck >= _LOST + _DAMAGED else damage(packet, chance, header)


def damage(data: bytes, chance: Random, header: int) -> bytes:
    """Flips a bit in up to four bytes behind the first `header` ones."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, _MOST_BYTES) if len(data) > header else 0):
        damaged[chance.randrange(header, len(data))] ^= 1 << chance.randrange(8)
    return bytes(damaged)
