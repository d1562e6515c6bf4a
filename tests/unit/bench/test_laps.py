from types import SimpleNamespace

import pytest

from pipeline.bench import laps as module


def test_what_an_encoder_s_threads_still_do_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """They work for 20 ms after the last frame has been given to them, on two cores."""
    clock = SimpleNamespace(now=0.0, cpu=0.0)

    def sleep(seconds: float) -> None:
        clock.cpu += 2 * min(seconds, max(0.0, 0.02 - clock.now))
        clock.now += seconds

    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(module, "process_time", lambda: clock.cpu)
    monkeypatch.setattr(module, "sleep", sleep)
    laps = module.Laps()
    laps.settle("encode")
    clock.cpu += 0.25
    laps.end("records")
    assert dict(laps.cpu) == pytest.approx({"encode": 0.04, "records": 0.25})
    assert laps.wall["encode"] == 0
    monkeypatch.setattr(module, "sleep", lambda seconds: setattr(clock, "cpu", clock.cpu + 1))
    laps.settle("encode")  # what else works in the process is not waited for for ever
    assert laps.cpu["encode"] > 1
