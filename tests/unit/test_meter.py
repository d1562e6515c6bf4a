from types import SimpleNamespace

import numpy as np
import pytest

from pipeline import meter
from pipeline.meter import Meter
from pipeline.types import Frame


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(meter, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    return clock


def frame(born: float) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), "a", 0, None, born=born)


def run(meter: Meter, clock: Clock, frames: int, rate: float, age: float = 0.02) -> str:
    for _ in range(frames):
        clock.now += 1 / rate
        line = meter.tick(frame(clock.now - age))
    return line


def test_the_first_frame_has_an_age_and_no_rate(clock: Clock) -> None:
    assert Meter().tick(frame(clock.now - 0.0421)) == "0 fps  42 ms"


@pytest.mark.parametrize("rate", [4, 25, 240])
def test_a_steady_rate_is_told(clock: Clock, rate: int) -> None:
    assert run(Meter(), clock, 3 * rate, rate) == f"{rate} fps  20 ms"


def test_only_the_last_second_counts(clock: Clock) -> None:
    meter = Meter(window=1.0)
    assert run(meter, clock, 100, 100).startswith("100 fps")
    assert run(meter, clock, 25, 20, age=0.005) == "20 fps  5 ms"


def test_after_a_pause_the_rate_is_low_but_told(clock: Clock) -> None:
    meter = Meter()
    run(meter, clock, 50, 25)
    assert run(meter, clock, 1, 1 / 30).startswith("0 fps")
    assert run(meter, clock, 60, 30).startswith("30 fps")


def test_memory_does_not_grow(clock: Clock) -> None:
    meter = Meter(window=0.5)
    run(meter, clock, 1000, 20)
    assert len(meter._times) <= 12
