"""Where frames come from: one protocol, and `open_source`, which chooses by what the user wrote."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

from pipeline.errors import SourceError
from pipeline.sources.base import Source

__all__ = ["Source", "open_source"]

_LOG = logging.getLogger(__name__)
_URL = re.compile(r"(?i)(rtsps?|https?)://")
_CAMERA = "is a camera, and those are decoded on the CPU"
_IMAGES = "is made of images, which are decoded on the CPU"


def open_source(spec: str, stream: int = 0, *, decode_threads: int = 1, decoder: str = "cpu") -> Source:
    """Opens what `spec` names, the `stream`-th source of the run.

    - `0`: the webcam of that number (write `./0` for a file of that name)
    - `rtsp://…`, `rtsps://…`: a camera
    - `http://…`, `https://…`: a video, if it has a length, else a camera
    - `synthetic:1920x1080@30?frames=300`: a moving picture, see `synthetic.open_synthetic`
    - an existing path: an image by its suffix, else a video; of a folder, the images in it
    - a glob pattern, `'img/*.jpg'` or `'img/**/*.jpg'`: the images that match

    Args:
        decode_threads: for recorded video.
        decoder: where to decode recorded video: `cpu`, `nvdec` or `auto`, see `VideoFile`. Cameras and
            images are decoded on the CPU, synthetic pictures not at all: `nvdec` is refused, `auto` says so.

    Raises:
        SourceError: it cannot be opened; the message says why and what to do.
    """
    if spec.isdecimal():
        from pipeline.sources.live import Camera

        return _on_cpu(Camera(int(spec), stream), _CAMERA, decoder)
    if _URL.match(spec):
        return _open_url(spec, stream, decode_threads, decoder)
    if spec.startswith("synthetic:"):
        from pipeline.sources.synthetic import open_synthetic

        return _on_cpu(open_synthetic(spec, stream), "is painted, not decoded", decoder)
    return _open_path(spec, stream, decode_threads, decoder)


def _open_url(url: str, stream: int, decode_threads: int, decoder: str) -> Source:
    from pipeline.sources.live import Camera

    camera = Camera(url, stream)
    if not camera.recording:
        return _on_cpu(camera, _CAMERA, decoder)
    from pipeline.sources.video import VideoFile

    camera.close()
    return VideoFile(url, stream, name=camera.name, decode_threads=decode_threads, decoder=decoder)


def _on_cpu(source: Source, reason: str, decoder: str) -> Source:
    if decoder == "nvdec":
        source.close()
        raise SourceError(f"{source.name} {reason}: use --decoder cpu or auto")
    if decoder == "auto":
        _LOG.warning("%s %s", source.name, reason)
    return source


def _open_path(spec: str, stream: int, decode_threads: int, decoder: str) -> Source:
    from pipeline.sources.images import Images, image_at, images_in, images_matching, is_image

    path = Path(spec)
    if os.path.isdir(spec):
        paths = images_in(path)
    elif os.path.exists(spec):
        if not is_image(path):
            from pipeline.sources.video import VideoFile

            return VideoFile(spec, stream, decode_threads=decode_threads, decoder=decoder)
        paths = [image_at(path)]
    elif any(sign in spec for sign in "*?["):
        paths = images_matching(spec)
    else:
        raise SourceError(f"{spec} does not exist: give a video, an image, a folder, a webcam number or a URL")
    return _on_cpu(Images(paths, spec, stream), _IMAGES, decoder)
