"""A window that shows the frames while they come."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import cv2

from pipeline.errors import SinkError, StopStream
from pipeline.types import Annotated, Image

_LARGEST = (1280, 720)
_STOP_KEYS = frozenset({ord("q"), ord("Q"), 27})
_PROBE = "cv2.namedWindow('probe', cv2.WINDOW_NORMAL); cv2.destroyAllWindows()"
_PROBE_SECONDS = 10


class WindowSink:
    """Shows every frame; `q`, Esc or closing the window ends the run.

    `write` and `close` must be called from one thread; on macOS that is the main thread.

    Args:
        title: of the window.

    Raises:
        SinkError: there is no display to open a window on.
    """

    draws = True

    def __init__(self, title: str) -> None:
        _check_display()
        self._title = title
        self._open = False

    def write(self, item: Annotated) -> None:
        try:
            if not self._open:
                self._make_window(item.image)
            elif not self._is_visible():
                raise StopStream
            cv2.imshow(self._title, item.image)
            if cv2.waitKey(1) & 0xFF in _STOP_KEYS:
                raise StopStream
        except cv2.error as error:
            raise SinkError(f"cannot show the window: {error.err}") from error

    def close(self, whole: bool = True) -> None:
        if self._open:
            self._open = False
            with suppress(cv2.error):
                cv2.destroyWindow(self._title)
                cv2.waitKey(1)

    def _is_visible(self) -> bool:
        try:
            return cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # the last window of the process is gone
            return False

    def _make_window(self, image: Image) -> None:
        os.environ.setdefault("QT_LOGGING_RULES", "default.warning=false")  # or Qt tells the terminal of missing fonts
        height, width = image.shape[:2]
        scale = min(1.0, _LARGEST[0] / width, _LARGEST[1] / height)
        cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        cv2.resizeWindow(self._title, max(1, round(width * scale)), max(1, round(height * scale)))
        self._open = True


def _check_display() -> None:
    if not sys.platform.startswith("linux"):
        return
    advice = "run on a desktop (or with ssh -X), or write to a file with --output"
    if not any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")):
        raise SinkError(f"there is no display to show a window on: {advice}")
    # Where the display cannot be reached, Qt ends the whole process, and it waits for ever if PyAV, which brings X11
    # libraries of its own, was loaded before OpenCV: a process of its own tries it first.
    order = [name for name in sys.modules if name in ("av", "cv2")]
    probe = [sys.executable, "-c", f"import {', '.join(order)}; {_PROBE}"]
    try:
        done = subprocess.run(probe, capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        cause = "import cv2 before av" if order[0] == "av" else advice
        raise SinkError(f"no window opens within {_PROBE_SECONDS} seconds: {cause}") from None
    if done.returncode:
        raise SinkError(f"no window can be opened on display {os.environ.get('DISPLAY', '')!r}: {advice}")
