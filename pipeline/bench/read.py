"""Reads the JSON of a benchmark."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from pipeline.bench.result import VERSION, Bench
from pipeline.errors import ConfigError


def read_bench(path: Path) -> Bench:
    """Reads what `onsight bench --output` wrote.

    Raises:
        ConfigError: it cannot be read, or is something else.
    """
    try:
        return Bench.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        if first["loc"] == ("version",):
            raise ConfigError(
                f"{path} has version {first['input']!r}, this Onsight reads {VERSION}: measure again"
            ) from None
        raise ConfigError(f"{path} is not what `onsight bench --output` writes: measure again") from None
