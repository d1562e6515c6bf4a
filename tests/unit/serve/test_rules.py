from datetime import UTC, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError
from support.watching import NOW, after

from pipeline.serve.episodes import Episode
from pipeline.serve.rules import Judge, Rule


def episode(label: str = "person", score: float = 0.8, seen: float = 10.0, **more: Any) -> Episode:
    return Episode(NOW, 0.0, label, 1, score=score, seen=seen, **more)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ({}, True),
        ({"labels": "car, Person"}, True),
        ({"labels": ["car"]}, False),
        ({"score": 0.8}, True),
        ({"score": 0.81}, False),
        ({"dwell": "10s"}, True),
        ({"dwell": 10.5}, False),
        ({"zone": "yard"}, True),
        ({"zone": "street"}, False),
        ({"zone": "yard", "dwell": 4}, True),
        ({"zone": "yard", "dwell": 5}, False),
        ({"line": "gate"}, True),
        ({"line": "gate", "direction": "in"}, True),
        ({"line": "gate", "direction": "out"}, False),
        ({"line": "door"}, False),
        ({"labels": "person", "score": 0.5, "zone": "yard", "line": "gate"}, True),
        ({"labels": "person", "score": 0.5, "zone": "yard", "line": "door"}, False),
    ],
)
def test_all_that_a_rule_says_has_to_hold(rule: dict[str, Any], fits: bool) -> None:
    seen = episode(dwell={"yard": 4.0}, crossed={("gate", "in")})
    assert Rule(name="a", **rule).fits(seen) is fits


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"between": "22-"}, "two times of day"),
        ({"between": "22:00"}, "two times of day"),
        ({"between": "22:00-22:00"}, "the same"),
        ({"direction": "in"}, "'direction' needs 'line'"),
        ({"dwell": "soon"}, "30s, 5m"),
        ({"cooldown": -1}, "write a duration"),
        ({"score": 1.5}, "less than or equal to 1"),
        ({"label": "person"}, "not permitted"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Rule(name="a", **rule)


def names(judge: Judge, seconds: float = 0, settled: tuple[str, ...] = (), **seen: Any) -> list[tuple[str, bool]]:
    return [(rule.name, event) for rule, event in judge(episode(**seen), settled, after(seconds))]


def test_without_rules_everything_is_an_event() -> None:
    assert names(Judge((), "yard")) == [("seen", True)]


def test_a_rule_may_be_of_some_cameras() -> None:
    rules = [Rule(name="a", cameras="yard,gate"), Rule(name="b", cameras="door"), Rule(name="c")]
    assert names(Judge(rules, "yard")) == [("a", True), ("c", True)]
    assert names(Judge([rules[1]], "yard")) == []


def test_what_is_settled_is_not_asked_again() -> None:
    rules = [Rule(name="a"), Rule(name="b")]
    assert names(Judge(rules, "yard"), settled=("a",)) == [("b", True)]


@pytest.mark.parametrize(
    ("between", "hour", "fulfilled"),
    [
        ("22:00-06:00", 21.99, False),
        ("22:00-06:00", 22, True),
        ("22:00-06:00", 3, True),
        ("22:00-06:00", 6, False),
        ("08:00 - 17:30", 8, True),
        ("08:00-17:30", 17.49, True),
        ("08:00-17:30", 17.5, False),
    ],
)
def test_the_time_of_the_day_is_that_of_the_clock_on_the_wall(between: str, hour: float, fulfilled: bool) -> None:
    zone = timezone(timedelta(hours=2))
    judge = Judge([Rule(name="a", between=between)], "yard", zone)
    midnight = NOW.astimezone(zone).replace(hour=0).astimezone(UTC)
    assert bool(judge(episode(), (), midnight + timedelta(hours=hour))) is fulfilled


def test_a_rule_rests_after_an_event() -> None:
    judge = Judge([Rule(name="a", cooldown="30s")], "yard")
    assert names(judge, 0) == [("a", True)]
    assert names(judge, 29.9) == [("a", False)]
    assert names(judge, 30) == [("a", True)]
    assert names(judge, 31) == [("a", False)]


@pytest.mark.parametrize("rule", [{"zone": "yard"}, {"line": "gate"}])
def test_zones_and_lines_need_tracks(rule: dict[str, str]) -> None:
    assert Rule(name="a", **rule).needs_tracks
    assert not Rule(name="a").needs_tracks
