"""Where annotated frames go. `base.py` says what a sink is; every other module holds one kind."""

import cv2 as _cv2  # noqa: F401 - loaded before PyAV, which brings X11 libraries that OpenCV's windows hang with
