import json

from pipeline.errors import SourceError
from pipeline.tally import Summary, Tally


def test_the_summary_adds_up_its_sources() -> None:
    error = SourceError("b.mp4 ended early")
    tallies = [
        Tally("a.mp4", frames=30, looked=10, dropped=2, decoder="nvdec", encoder="x264", preset="fast"),
        Tally("b.mp4", 20, 20, dropped=1, withheld=4, error=error),
    ]
    summary = Summary(2.0004, "cpu", ["CPUExecutionProvider"], tallies, "throughput", 2)
    assert (summary.frames, summary.looked, summary.dropped, summary.withheld) == (50, 30, 3, 4)
    assert summary.errors == [error]
    assert summary.to_json() == {
        "frames": 50,
        "looked": 30,
        "seconds": 2.0,
        "fps": 25.0,
        "dropped": 3,
        "device": "cpu",
        "providers": ["CPUExecutionProvider"],
        "mode": "throughput",
        "workers": 2,
        "sources": [
            {
                "source": "a.mp4",
                "frames": 30,
                "looked": 10,
                "dropped": 2,
                "withheld": 0,
                "decoder": "nvdec",
                "encoder": "x264",
                "preset": "fast",
            },
            {"source": "b.mp4", "frames": 20, "looked": 20, "dropped": 1, "withheld": 4, "error": "b.mp4 ended early"},
        ],
    }


def test_the_summary_is_json_even_of_a_run_that_did_nothing() -> None:
    facts = json.loads(json.dumps(Summary(0.0, "cpu", [], [], "latency", 1).to_json()))
    assert (facts["frames"], facts["seconds"], facts["fps"], facts["sources"]) == (0, 0.0, 0.0, [])
