"""How Home Assistant finds the cameras: one device each, by MQTT discovery.

Topics and keys: https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery (device discovery).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

ON, OFF = "ON", "OFF"
ONLINE, OFFLINE = "online", "offline"


def slug(name: str) -> str:
    """`name` as one level of a topic: letters, digits, `-` and `_`; different names stay different."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    return plain if plain == name else f"{plain}_{zlib.crc32(name.encode()):08x}"


class Topics:
    """The topics below `prefix`."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.status = f"{prefix}/status"
        self.events = f"{prefix}/events"

    def camera(self, camera: str) -> str:
        return f"{self._prefix}/{slug(camera)}/state"

    def happened(self, camera: str) -> str:
        return f"{self._prefix}/{slug(camera)}/event"

    def thumbnail(self, camera: str) -> str:
        return f"{self._prefix}/{slug(camera)}/thumbnail"

    def rule(self, camera: str, rule: str) -> str:
        return f"{self._prefix}/{slug(camera)}/rules/{slug(rule)}"


def device(camera: str, rules: Sequence[str], topics: Topics, node: str) -> dict[str, Any]:
    """The discovery message of a camera with these rules; `node` tells several installations apart."""
    key = f"{node}_{slug(camera)}"
    components: dict[str, dict[str, Any]] = {
        "connection": {
            "platform": "binary_sensor",
            "name": "Connection",
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "state_topic": topics.camera(camera),
            "value_template": "{{ 'ON' if value_json.state == 'live' else 'OFF' }}",
        },
        "fps": {
            "platform": "sensor",
            "name": "Frame rate",
            "unit_of_measurement": "fps",
            "state_class": "measurement",
            "entity_category": "diagnostic",
            "state_topic": topics.camera(camera),
            "value_template": "{{ value_json.fps }}",
        },
        "event": {
            "platform": "event",
            "name": "Event",
            "event_types": ["started", "ended"],
            "state_topic": topics.happened(camera),
        },
        "thumbnail": {
            "platform": "image",
            "name": "Latest event",
            "content_type": "image/jpeg",
            "image_topic": topics.thumbnail(camera),
        },
    }
    for rule in rules:
        components[f"rule_{slug(rule)}"] = {
            "platform": "binary_sensor",
            "name": rule,
            "device_class": "occupancy",
            "state_topic": topics.rule(camera, rule),
            "payload_on": ON,
            "payload_off": OFF,
        }
    for name, component in components.items():
        component["unique_id"] = f"{key}_{name}"
    return {
        "device": {"identifiers": [key], "name": camera, "manufacturer": "Onsight"},
        "origin": {"name": "Onsight", "sw_version": version("onsight")},
        "availability_topic": topics.status,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "components": components,
    }
