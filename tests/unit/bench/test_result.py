import json

import numpy as np
import pytest
from support.benches import clip_bench, streams_bench

from pipeline.bench.read import read_bench
from pipeline.bench.result import Percentiles, Spread
from pipeline.errors import ConfigError


def test_a_spread_keeps_every_round():
    spread = Spread.of([3, 1, 2, 10])
    assert (spread.median, spread.min, spread.max, spread.rounds) == (2.5, 1, 10, (3, 1, 2, 10))


def test_percentiles_are_those_of_the_values():
    found = Percentiles.of(np.arange(1001) / 1000)
    assert (found.p50, found.p95, found.p99, found.n) == pytest.approx((0.5, 0.95, 0.99, 1001))


@pytest.mark.parametrize(("n", "known"), [(0, ""), (1, ""), (2, "p50"), (19, "p50"), (20, "p50 p95"), (99, "p50 p95")])
def test_a_percentile_that_would_only_be_the_slowest_frame_is_not_told(n, known):
    found = Percentiles.of(np.arange(n, dtype=float))
    assert [name for name in ("p50", "p95", "p99") if getattr(found, name) is not None] == known.split()


@pytest.mark.parametrize("bench", [clip_bench(), streams_bench({1: True, 2: False})], ids=["clip", "streams"])
def test_a_benchmark_comes_back_from_its_json(bench, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(bench.model_dump_json())
    assert read_bench(path) == bench


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not what"),
        ("not JSON", "is not what"),
        ("[]", "is not what"),
        ('{"frames": 1, "fps": 2.0}', "is not what"),
        ('{"traceEvents": []}', "is not what"),
        (clip_bench().model_dump_json().replace('"version":1', '"version":2'), "has version 2, this Onsight reads 1"),
        (clip_bench().model_dump_json().replace('"fps":', '"speed":'), "is not what"),
    ],
)
def test_json_of_another_kind_is_refused(text, told, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_bench(path)


def broken(bench, **changes):
    return json.dumps({**json.loads(bench.model_dump_json()), **changes})


@pytest.mark.parametrize("rounds", ["[]", "[100, -1]", "[100, NaN]", "[100, Infinity]", "[100, null]", "[1e999]"])
def test_rounds_that_no_measurement_gives_are_refused(rounds, tmp_path):
    path = tmp_path / "bench.json"
    spread = f'{{"median": 100, "min": 100, "max": 100, "rounds": {rounds}}}'
    path.write_text(broken(clip_bench(), efficiency="SPREAD").replace('"SPREAD"', spread))
    with pytest.raises(ConfigError, match="is not what"):
        read_bench(path)


@pytest.mark.parametrize(
    "text",
    [
        broken(clip_bench(), whole=None),
        broken(streams_bench({1: True}), streams=[]),
        broken(streams_bench({1: True}), target_fps=None),
        broken(streams_bench({1: True}), whole=json.loads(clip_bench().model_dump_json())["whole"]),
    ],
    ids=["no run", "no streams", "no rate", "both"],
)
def test_a_file_of_neither_a_clip_nor_streams_is_refused(text, tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="is not what"):
        read_bench(path)


def test_rounds_of_nothing_are_read():
    assert Spread.of([0, 0, 1]).rounds == (0, 0, 1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.json cannot be read: No such file"):
        read_bench(tmp_path / "missing.json")


def test_a_quota_below_the_cores_counts():
    machine = clip_bench().machine
    assert machine.usable_cores == 2
    assert machine.model_copy(update={"cpu_quota": 1.5}).usable_cores == 1.5
    assert machine.model_copy(update={"cpu_quota": 8.0}).usable_cores == 2
