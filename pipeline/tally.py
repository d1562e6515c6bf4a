"""What a run counts: per source while it goes on, and in sum when it is over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.errors import OnsightError
from pipeline.types import Counts


@dataclass(slots=True)
class Tally:
    """What became of the frames of one source: shown (`looked`: how many of them the model looked at), dropped because
    a newer one was there, withheld by redaction.

    `counts` are those of its zones and lines after the latest frame; None: it has none. `decoder` is what decoded it,
    `cpu` or `nvdec`; None: it is no video. `encoder` and `preset` are those of its labelled video; None: there is none.
    """

    source: str
    frames: int = 0
    looked: int = 0
    dropped: int = 0
    withheld: int = 0
    error: OnsightError | None = None
    counts: Counts | None = None
    decoder: str | None = None
    encoder: str | None = None
    preset: str | None = None

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {"source": self.source, "frames": self.frames, "looked": self.looked}
        told |= {"dropped": self.dropped, "withheld": self.withheld}
        if self.counts is not None:
            told |= {place: value for place, value in self.counts.to_json().items() if place != "events"}
        told |= {key: value for key in ("decoder", "encoder", "preset") if (value := getattr(self, key)) is not None}
        return told if self.error is None else {**told, "error": str(self.error)}


@dataclass(frozen=True, slots=True)
class Summary:
    """A run that is over. `seconds` runs from the first frame asked for to the last sink closed."""

    seconds: float
    device: str
    providers: list[str]
    sources: list[Tally]
    mode: str
    workers: int

    @property
    def frames(self) -> int:
        return sum(tally.frames for tally in self.sources)

    @property
    def looked(self) -> int:
        return sum(tally.looked for tally in self.sources)

    @property
    def dropped(self) -> int:
        return sum(tally.dropped for tally in self.sources)

    @property
    def withheld(self) -> int:
        return sum(tally.withheld for tally in self.sources)

    @property
    def fps(self) -> float:
        return self.frames / self.seconds if self.seconds > 0 else 0.0

    @property
    def errors(self) -> list[OnsightError]:
        return [tally.error for tally in self.sources if tally.error is not None]

    def to_json(self) -> dict[str, Any]:
        """The object that `onsight run --json` prints."""
        return {
            "frames": self.frames,
            "looked": self.looked,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "dropped": self.dropped,
            "device": self.device,
            "providers": self.providers,
            "mode": self.mode,
            "workers": self.workers,
            "sources": [tally.to_json() for tally in self.sources],
        }
