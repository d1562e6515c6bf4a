"""A frame that is to be shown, and the picture that is made of it once somebody wants it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass

import anyio.to_thread
import cv2
import numpy as np

from pipeline.types import Image


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A shown frame as viewers get it.

    Args:
        message: two bytes, the length of the header (big-endian); the header, JSON in UTF-8 with `camera`, `number`,
            `time`, `width` and `height`; a JPEG.
        jpeg: the JPEG alone.
    """

    camera: str
    message: bytes
    jpeg: memoryview


class Shot:
    """One frame.

    Args:
        number: grows from frame to frame.
        time: when it was decoded, in seconds since 1970.
        image: uint8 [H, W, 3], BGR; nobody changes it any more.
    """

    def __init__(self, camera: str, number: int, time: float, image: Image) -> None:
        self.camera = camera
        self.number = number
        self.time = time
        self._image = image
        self._picture: Picture | None = None
        self._encoding = asyncio.Lock()

    async def develop(self, width: int, quality: int) -> Picture:
        """The picture, at most `width` pixels wide, encoded with the first call and shared by all."""
        async with self._encoding:
            if self._picture is None:
                self._picture = await anyio.to_thread.run_sync(self._encode, width, quality)
            return self._picture

    def _encode(self, width: int, quality: int) -> Picture:
        image = _shrink(self._image, width)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        header = {"camera": self.camera, "number": self.number, "time": round(self.time, 3)}
        head = json.dumps({**header, "width": image.shape[1], "height": image.shape[0]}).encode()
        message = len(head).to_bytes(2, "big") + head + jpeg.tobytes()
        return Picture(self.camera, message, memoryview(message)[2 + len(head) :])


def _shrink(image: Image, width: int) -> Image:
    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
