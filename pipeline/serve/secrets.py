"""Secrets of a configuration: written in it, or better, in an environment variable or a file of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, SecretStr


def _fetch(value: Any) -> Any:
    """`{env: NAME}` and `{file: PATH}` are where the secret stands; anything else is the secret."""
    if not isinstance(value, dict):
        return value
    if value.keys() == {"env"}:
        found = os.environ.get(str(value["env"]))
        if not found:
            raise ValueError(f"the environment variable {value['env']!r} is not set or empty")
        return found
    if value.keys() == {"file"}:
        try:
            found = Path(str(value["file"])).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"the secret's file cannot be read: {error}") from None
        if not found:
            raise ValueError(f"the secret's file {str(value['file'])!r} is empty")
        return found
    raise ValueError("write the secret as text, as {env: NAME}, or as {file: PATH}")


Secret = Annotated[SecretStr, BeforeValidator(_fetch)]
"""A text that is not shown: given itself, or as `{env: NAME}` or `{file: PATH}`, where it stands."""
