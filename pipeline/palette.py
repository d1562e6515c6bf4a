"""The colour of a class, and the ink that can be read on it."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import TypeAlias

Colour: TypeAlias = tuple[int, int, int]
"""Blue, green and red, 0 to 255."""

BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

# Twelve hues, evenly spaced to the eye, each in a light and a dark tone; red, green, blue.
_TONES = """
    FFB0A9 FF4044  FFB481 DB7206  F9BD01 B88A06  C5D401 909C07  07F045 07B031  06E7C2 03AA8E
    13E1F2 05A5B3  85D2FE 009EDB  ADC7FF 5B8BFF  CBBCFF 9E71FE  FAA2FF E702F6  FFAACB FF1D9A
"""
PALETTE: tuple[Colour, ...] = tuple(
    (int(tone[4:], 16), int(tone[2:4], 16), int(tone[:2], 16)) for tone in _TONES.split()
)

# Start value of the hash, searched for: it keeps the classes of a street scene (person, car, bus, dog, …) far apart.
_SEED = 4986


@lru_cache(maxsize=4096)
def colour_of(name: str) -> Colour:
    """The colour of the class called `name`: the same in every run and for every model."""
    return PALETTE[zlib.crc32(name.encode(errors="replace"), _SEED) % len(PALETTE)]


@lru_cache(maxsize=256)
def ink_on(paper: Colour) -> Colour:
    """Black or white, whichever stands out more on `paper`: a contrast of at least 4.5 to 1 on any colour."""
    return BLACK if contrast(BLACK, paper) >= contrast(WHITE, paper) else WHITE


def contrast(a: Colour, b: Colour) -> float:
    """The contrast ratio of two colours as WCAG 2 defines it, 1 to 21."""
    dark, light = sorted((_luminance(a), _luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    blue, green, red = (c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
