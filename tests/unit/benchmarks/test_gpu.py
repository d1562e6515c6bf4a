from types import SimpleNamespace

import gpu
import pytest


@pytest.fixture
def watch():
    return SimpleNamespace(sample=lambda: None)


def test_rounds_take_turns_after_one_that_warms_up(watch):
    calls = []
    rates = {"a": iter((1.0, 5.0, 3.0, 4.0)), "b": iter((9.0, 7.0, 7.0, 7.0))}

    def measure(name, seconds):
        calls.append((name, seconds))
        return next(rates[name])

    found = {"fps": {}, "failed": {}}
    contenders = {name: lambda seconds, name=name: measure(name, seconds) for name in rates}
    gpu.alternate(contenders, 3, 0.5, watch, found)
    assert calls == [("a", 0.1), ("b", 0.1)] + 3 * [("a", 0.5), ("b", 0.5)]
    assert found["fps"]["a"] == {"median": 4.0, "rounds": [5.0, 3.0, 4.0]}
    assert found["fps"]["b"]["median"] == 7.0


def test_a_contender_that_fails_is_told_and_not_measured_again(watch):
    calls = []

    def fail(seconds):
        calls.append(seconds)
        raise RuntimeError("no memory is left")

    found = {"fps": {}, "failed": {}}
    gpu.alternate({"bad": fail, "good": lambda seconds: 2.0}, 3, 0.5, watch, found)
    assert len(calls) == 1
    assert list(found["fps"]) == ["good"]
    assert "no memory is left" in found["failed"]["bad"]


def test_the_report_goes_on_after_a_part_that_fails_and_stops_when_time_is_up(tmp_path, monkeypatch):
    report = gpu.Report(tmp_path / "gpu.json", budget=60)
    report.part("bad", lambda: 1 / 0)
    report.part("good", lambda: 3)
    monkeypatch.setattr(report, "budget", 0)
    report.part("late", lambda: 4)
    assert report.found["good"] == 3
    assert report.found["skipped"] == ["late"]
    assert "ZeroDivisionError" in report.found["failed"]["bad"]
    assert [each.name for each in tmp_path.iterdir()] == ["gpu.json"]
