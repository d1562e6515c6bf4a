import pytest
import throughput

CONTENDERS = {"onsight": "a", "plain loop": "b", "supervision": "c"}


@pytest.mark.parametrize(
    ("number", "order"), [(0, ["a", "b", "c"]), (1, ["b", "c", "a"]), (2, ["c", "a", "b"]), (3, ["a", "b", "c"])]
)
def test_another_contender_begins_each_round_and_the_results_keep_their_places(number, order, monkeypatch):
    asked = []

    def measure(contender, clip):
        asked.append((contender, clip))
        return {"frames": 30, "seconds": len(asked)}

    monkeypatch.setattr(throughput, "measure", measure)
    results = throughput.take_turns(CONTENDERS, "clip.mp4", number)
    assert asked == [(contender, "clip.mp4") for contender in order]
    assert list(results) == list(CONTENDERS)
    for name, contender in CONTENDERS.items():
        assert results[name]["seconds"] == order.index(contender) + 1


def test_contenders_that_read_another_number_of_frames_end_it(monkeypatch):
    monkeypatch.setattr(throughput, "measure", lambda contender, clip: {"frames": 31 if contender == "b" else 30})
    with pytest.raises(SystemExit, match=r"not all have read the same number of frames: .*'plain loop': 31"):
        throughput.take_turns(CONTENDERS, "clip.mp4", 0)
