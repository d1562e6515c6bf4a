"""What is told about an event."""

from __future__ import annotations

from typing import Any, Literal

from pipeline.serve.types import Event

Moment = Literal["started", "ended"]


def to_message(moment: Moment, event: Event) -> dict[str, Any]:
    """The object that webhooks and MQTT carry; times are ISO 8601 in UTC, places fractions of the frame."""
    return {
        "type": f"event.{moment}",
        "timestamp": (event.end or event.start).isoformat(),
        "data": {
            "id": event.id,
            "camera": event.camera,
            "rule": event.rule,
            "label": event.label,
            "score": round(event.score, 4),
            "start": event.start.isoformat(),
            "best": event.best.isoformat(),
            "end": event.end.isoformat() if event.end else None,
            "box": event.box,
            "track": event.track,
            "zones": list(event.zones),
            "thumbnail": event.thumbnail,
            "clip": event.clip,
        },
    }
