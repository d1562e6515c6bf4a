"""The MQTT broker, as the configuration has it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pipeline.serve.secrets import Secret

Level = Annotated[str, Field(min_length=1, pattern=r"^[^+#\s]+$")]


class MqttConfig(BaseModel):
    """The broker, and below which topics to publish."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Annotated[str, Field(min_length=1)]
    port: Annotated[int, Field(gt=0, lt=65536)] | None = None
    username: str | None = None
    password: Secret | None = None
    tls: bool = False
    ca: Path | None = None
    prefix: Level = "onsight"
    discovery: Level | None = "homeassistant"
    node: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] = "onsight"
