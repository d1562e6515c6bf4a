"""The picture that a video encoder is given: BGR frames of any size become one yuv420p frame of an even size."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.plane import VideoPlane
from numpy.typing import NDArray

from pipeline.types import Image

BT601 = 6  # smpte170m, in FFmpeg's numbers of matrices, primaries and transfer curves alike
LIMITED = 1


class Picture:
    """One reused yuv420p frame, BT.601 with limited range, in the size of the first image made even.

    An odd width or height is filled with a copy of the last column or row. An image of another size is scaled
    into the picture with its aspect ratio kept, on black.

    Args:
        height, width: of the first image, in pixels.

    Attributes:
        frame: what to encode; its planes are overwritten by `fill`.
    """

    def __init__(self, height: int, width: int) -> None:
        self._size = (height, width)
        self.height, self.width = height + height % 2, width + width % 2
        self._padded = np.zeros((self.height, self.width, 3), np.uint8)
        self._i420 = np.empty((self.height * 3 // 2, self.width), np.uint8)
        self.frame = av.VideoFrame(self.width, self.height, "yuv420p")
        self.frame.colorspace = self.frame.color_primaries = self.frame.color_trc = BT601
        self.frame.color_range = LIMITED
        self._planes = [_view(plane) for plane in self.frame.planes]

    def fill(self, image: Image) -> None:
        """Puts `image` (uint8 [H, W, 3], BGR, any size) into `frame`."""
        if image.shape[:2] != self._size:
            image = self._letterbox(image)
        elif self._size != (self.height, self.width):
            bottom, right = self.height - self._size[0], self.width - self._size[1]
            cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE, dst=self._padded)
            image = self._padded
        cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420, dst=self._i420)
        flat, start = self._i420.reshape(-1), 0
        for plane in self._planes:
            plane[:] = flat[start : start + plane.size].reshape(plane.shape)
            start += plane.size

    def _letterbox(self, image: Image) -> Image:
        height, width = image.shape[:2]
        scale = min(self.height / height, self.width / width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (self.height - new_height) // 2, (self.width - new_width) // 2
        self._padded[:] = 0
        inside = self._padded[top : top + new_height, left : left + new_width]
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        inside[:] = cv2.resize(image, (new_width, new_height), interpolation=method)
        return self._padded


def _view(plane: VideoPlane) -> NDArray[np.uint8]:
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]
