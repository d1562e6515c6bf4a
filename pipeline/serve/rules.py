"""Which episodes become events."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config import Duration, Fraction01, Names
from pipeline.serve.episodes import Episode


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of the day from `start` up to `end`, over midnight where `end` is the earlier one."""

    start: time
    end: time

    def __contains__(self, moment: time) -> bool:
        if self.start < self.end:
            return self.start <= moment < self.end
        return moment >= self.start or moment < self.end


def _hours(value: Any) -> Any:
    if isinstance(value, Hours):
        return value
    try:
        start, end = (time.fromisoformat(part.strip()) for part in str(value).split("-"))
    except ValueError:
        raise ValueError("write two times of day, as in 22:00-06:00") from None
    if start == end:
        raise ValueError("both times are the same; leave it out for the whole day")
    return Hours(start, end)


class Rule(BaseModel):
    """What an episode has to be; what is left out is not asked for.

    Args:
        cameras, labels: one of these; upper and lower case of labels are alike.
        score: the best score is at least this.
        zone: it has been in this zone.
        dwell: seconds that it has been in the zone at one time or, without `zone`, in sight.
        line, direction: it has crossed this line, `in` or `out`, or either way.
        between: at this time of the day, on the clock of this machine, when all else is fulfilled: `22:00-06:00`.
        cooldown: seconds after an event of a camera for which episodes that fulfil the rule there are passed over.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    name: Annotated[str, Field(min_length=1)]
    cameras: Names = ()
    labels: Names = ()
    score: Fraction01 = 0.0
    zone: str | None = None
    dwell: Duration = 0.0
    line: str | None = None
    direction: Literal["in", "out"] | None = None
    between: Annotated[Hours, BeforeValidator(_hours)] | None = None
    cooldown: Duration = 0.0

    @model_validator(mode="after")
    def _check(self) -> Rule:
        if self.direction and not self.line:
            raise ValueError("'direction' needs 'line'")
        return self

    @property
    def needs_tracks(self) -> bool:
        """Whether it can be fulfilled only where the run tracks: zones and lines know tracks alone."""
        return bool(self.zone or self.line)

    def fits(self, episode: Episode) -> bool:
        """Whether the episode fulfils it so far; camera and time of day aside."""
        stay = episode.seen if self.zone is None else episode.dwell.get(self.zone, -1.0)
        directions = (self.direction,) if self.direction else ("in", "out")
        return (
            (not self.labels or episode.label.casefold() in {label.casefold() for label in self.labels})
            and episode.score >= self.score
            and stay >= self.dwell
            and (self.line is None or any((self.line, way) in episode.crossed for way in directions))
        )


EVERYTHING = Rule(name="seen")
"""The rule where there is none: all that the run shows."""


class Judge:
    """Applies rules to the episodes of one camera.

    Args:
        zone: the time zone of `between`; None: that of this machine.
    """

    def __init__(self, rules: Sequence[Rule], camera: str, zone: tzinfo | None = None) -> None:
        self._rules = [rule for rule in rules or (EVERYTHING,) if not rule.cameras or camera in rule.cameras]
        self._quiet_until: dict[str, datetime] = {}
        self._zone = zone

    def __call__(self, episode: Episode, settled: Collection[str], now: datetime) -> list[tuple[Rule, bool]]:
        """The rules that the episode fulfils now, without those that are `settled` by name, each with whether it makes
        an event: not while the rule rests after another one.
        """
        fulfilled = [rule for rule in self._rules if rule.name not in settled and rule.fits(episode)]
        clock = now.astimezone(self._zone).time()
        return [(rule, self._rings(rule, now)) for rule in fulfilled if rule.between is None or clock in rule.between]

    def _rings(self, rule: Rule, now: datetime) -> bool:
        if now < self._quiet_until.get(rule.name, now):
            return False
        self._quiet_until[rule.name] = now + timedelta(seconds=rule.cooldown)
        return True
