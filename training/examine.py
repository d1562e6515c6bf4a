"""One image file: can it be decoded, what is odd about it, and by what can it be compared with others."""

from __future__ import annotations

import hashlib
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import OnsightError
from pipeline.schedule import available_cores

THUMB = 16
_FEW = 300  # files that are examined before other processes have started
_CHUNK = 64
_PLAIN = 2.0  # standard deviation in grey levels
_DEEP = ("I", "F")  # beginnings of the modes with more than 8 bits


@dataclass(frozen=True, slots=True)
class Facts:
    """What the file of an image holds.

    Args:
        fault: why it cannot be decoded; the other facts are then empty.
        mode: Pillow's name of the pixel format, as RGB or CMYK.
        lies: what the file really is, where its suffix says something else.
        same_bytes, same_pixels: digests; pixels are compared upright, as RGB.
        looks: perceptual hash, 64 bits.
        thumb_TT: uint8 [16, 16], the picture in grey.
    """

    fault: str | None = None
    width: int = 0
    height: int = 0
    mode: str = ""
    lies: str | None = None
    same_bytes: bytes = b""
    same_pixels: bytes = b""
    looks: int = 0
    thumb_TT: NDArray[np.uint8] | None = None

    @property
    def plain(self) -> bool:
        """Whether the picture has one colour only; its perceptual hash is then noise."""
        return self.thumb_TT is not None and bool(self.thumb_TT.std() < _PLAIN)


def examine_all(paths: Sequence[Path]) -> Iterator[Facts]:
    """Examines images on all cores, and yields in their order.

    Raises:
        OnsightError: a process was killed.
    """
    if len(paths) <= _FEW:
        yield from map(examine, paths)
        return
    with ProcessPoolExecutor(available_cores(), get_context("spawn"), _leave_ctrl_c_to_parent) as pool:
        try:
            yield from pool.map(examine, paths, chunksize=_CHUNK)
        except BrokenProcessPool:
            raise OnsightError("a process that examined images was killed, perhaps for its memory: free some") from None


def _leave_ctrl_c_to_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def examine(path: Path) -> Facts:
    """Decodes the whole image. Never raises because of what the file holds."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return Facts(fault=error.strerror or "cannot be read")
    if not data:
        return Facts(fault="empty file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(BytesIO(data)) as image:
                image.load()
                return _describe(image, path, data)
    except Exception as error:  # decoders of broken files raise whatever they like
        return Facts(fault=_say(error))


def _describe(image: Image.Image, path: Path, data: bytes) -> Facts:
    upright = ImageOps.exif_transpose(image)
    deep = upright.mode.startswith(_DEEP)
    grey = _flatten(upright) if deep else upright.convert("L")
    pixels = upright if deep else upright.convert("RGB")
    return Facts(
        width=upright.width,
        height=upright.height,
        mode=image.mode,
        lies=_true_format(image, path),
        same_bytes=_digest(data),
        same_pixels=_digest(f"{pixels.mode} {pixels.size}".encode(), pixels.tobytes()),
        looks=int.from_bytes(np.packbits(imagehash.phash(grey).hash).tobytes(), "big"),
        thumb_TT=np.asarray(grey.resize((THUMB, THUMB), Image.Resampling.BOX)),
    )


def _flatten(image: Image.Image) -> Image.Image:
    """Grey, 8 bits, of an image with more: its darkest and brightest pixel become 0 and 255."""
    values = np.asarray(image, np.float64)
    low, high = values.min(), values.max()
    return Image.fromarray(((values - low) * (255 / (high - low or 1))).astype(np.uint8))


def _true_format(image: Image.Image, path: Path) -> str | None:
    """The format found, if it is not that of the suffix. Phones call several JPEG pictures in one file .jpg, too."""
    found = "JPEG" if image.format == "MPO" else image.format
    return None if found == Image.registered_extensions().get(path.suffix.lower(), found) else found


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.digest()


def _say(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "no image"
    if "truncated" in str(error).lower():
        return "truncated"
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    return str(error).partition("\n")[0] or type(error).__name__
