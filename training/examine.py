"""One image file: can it be decoded, what is odd about it, and by what can it be compared with others."""

from __future__ import annotations

import hashlib
import math
import signal
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from pipeline.errors import OnsightError, SourceError
from pipeline.schedule import available_cores
from pipeline.sources.images import read_image

THUMB = 16
_FEW = 300  # files that are examined before other processes have started
_CHUNK = 64
_PLAIN = 2.0  # standard deviation in grey levels
_DEEP = ("I", "F")  # beginnings of the modes with more than 8 bits
_FORMATS = frozenset({"JPEG", "MPO", "PNG", "BMP", "WEBP", "PPM"})  # that Pillow and OpenCV decode alike
_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_LARGE = 2**26  # pixels
_LYING = range(5, 9)  # EXIF orientations that exchange width and height


@dataclass(frozen=True, slots=True)
class Facts:
    """What the file of an image holds.

    Args:
        fault: why training cannot read it, or that it is damaged; the other facts are then empty.
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
        with warnings.catch_warnings(), _any_size():
            warnings.simplefilter("ignore")
            return _decode(path, data)
    except Exception as error:  # decoders of broken files raise whatever they like
        return Facts(fault=_say(error))


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels as it is shown, from the head of the file alone; 0 and 0 if that cannot be read."""
    try:
        with warnings.catch_warnings(), _any_size(), Image.open(path) as image:
            warnings.simplefilter("ignore")
            turned = image.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
            return (image.height, image.width) if turned else image.size
    except Exception:  # decoders of broken files raise whatever they like
        return 0, 0


@contextmanager
def _any_size() -> Iterator[None]:
    """Without Pillow's limit: how large a picture may be, OpenCV decides."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _decode(path: Path, data: bytes) -> Facts:
    """Pillow says what is in the file and whether it is whole; OpenCV, by which training reads, whether it can be used.
    It is asked only where the two may disagree, for it takes as long again.
    """
    try:
        image = Image.open(BytesIO(data))
    except UnidentifiedImageError as error:
        seen = _as_trained(path, error)
        return _describe(seen, seen.mode, None, data)
    with image:
        lies = _true_format(image, path)
        if not lies and image.format in _FORMATS and image.mode in _MODES and math.prod(image.size) < _LARGE:
            image.load()
            return _describe(ImageOps.exif_transpose(image), image.mode, None, data)
        seen = _as_trained(path, ValueError(f"a {image.format} ({image.mode}) that training cannot read"))
        image.load()
        deep = image.mode.startswith(_DEEP)  # training sees its upper bits only, which may be all alike
        return _describe(ImageOps.exif_transpose(image) if deep else seen, image.mode, lies, data)


def _as_trained(path: Path, otherwise: Exception) -> Image.Image:
    try:
        return Image.fromarray(read_image(path)[..., ::-1])
    except SourceError:
        raise otherwise from None


def _describe(upright: Image.Image, mode: str, lies: str | None, data: bytes) -> Facts:
    deep = upright.mode.startswith(_DEEP)
    grey = _flatten(upright) if deep else upright.convert("L")
    pixels = upright if deep else upright.convert("RGB")
    return Facts(
        width=upright.width,
        height=upright.height,
        mode=mode,
        lies=lies,
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
    return str(error).partition("\n")[0] or type(error).__name__
