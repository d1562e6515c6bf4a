"""Whether NVENC, the encoder on an NVIDIA GPU, can be used here."""

from __future__ import annotations

import ctypes
import logging
import sys

import av
from av.codec.codec import UnknownCodecError

from pipeline.errors import SinkError
from pipeline.sinks.encoder import CODECS, NVENC_PRESET, trial_encoder
from pipeline.sinks.picture import Picture

_LIBRARY = "nvEncodeAPI64.dll" if sys.platform == "win32" else "libnvidia-encode.so.1"
_SIDE = 256  # pixels; there are smaller pictures that it does not take

_LOG = logging.getLogger(__name__)


def choose_encoder(wanted: str, preset: str = "auto") -> str:
    """`x264` or `nvenc` for `x264`, `nvenc` or `auto`, which is NVENC where that can be used; else why not is logged.

    Args:
        preset: that asked for of x264; that NVENC has its own is logged.

    Raises:
        SinkError: `nvenc` is wanted, and cannot be used.
    """
    if wanted == "x264":
        return "x264"
    if (reason := why_no_nvenc()) is None:
        if preset != "auto":
            _LOG.warning("videos are encoded by NVENC with its own preset %s: %s is one of x264", NVENC_PRESET, preset)
        return "nvenc"
    if wanted == "nvenc":
        raise SinkError(f"nvenc cannot be used: {reason}; use --encoder x264, or run: onsight doctor")
    _LOG.warning("videos are encoded on the CPU, with x264: %s", reason)
    return "x264"


def why_no_nvenc() -> str | None:
    """Why NVENC cannot be used; None if it has encoded a picture."""
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return f"{_LIBRARY}, a part of the NVIDIA driver, cannot be loaded"
    picture = Picture(_SIDE, _SIDE)
    try:
        context = trial_encoder("nvenc", NVENC_PRESET, picture)
        picture.frame.pts, picture.frame.time_base = 0, context.time_base
        context.encode(picture.frame)
        context.encode(None)
    except UnknownCodecError:
        return f"PyAV {av.__version__} was built without {CODECS['nvenc']}, which its wheel has"
    except av.FFmpegError as error:
        return f"it does not open ({error.strerror}): the GPU has none, or the driver is too old"
    return None
