"""What a command needs beyond the core: the optional extras of the distribution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import ConfigError

_OURS = frozenset({"pipeline", "training", "export"})


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Around imports that need the packages of `extra`.

    Raises:
        ConfigError: one of them is not installed. A module of Onsight that is missing stays the fault that it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in _OURS:
            raise
        raise ConfigError(f"this needs the package {error.name}: pip install 'onsight[{extra}]'") from None
