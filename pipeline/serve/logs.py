"""The log of `onsight serve` on standard error, as text or as JSON, without passwords."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

from pipeline.sources.live import hide_all_credentials

LogFormat = Literal["text", "json"]


class Text(logging.Formatter):
    """A line for each record, with its traceback below; URLs without their credentials, in both."""

    def __init__(self, layout: str = "%(asctime)s %(levelname)s %(message)s") -> None:
        super().__init__(layout)

    def format(self, record: logging.LogRecord) -> str:
        return hide_all_credentials(super().format(record))


class Json(Text):
    """An object in a line for each record: `time` (UTC), `level`, `logger`, and `message` with its traceback."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": super().format(record),
        }
        return json.dumps(entry, ensure_ascii=False)


def set_up(wanted: LogFormat) -> None:
    """Onsight tells from INFO on, the libraries that it uses from WARNING on: some tell whole URLs below."""
    handler = logging.StreamHandler()
    handler.setFormatter(Json() if wanted == "json" else Text())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("pipeline").setLevel(logging.INFO)
    logging.captureWarnings(True)
