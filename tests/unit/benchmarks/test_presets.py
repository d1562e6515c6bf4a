import sys

import numpy as np
import presets
import pytest

MACHINE = {"cpu": "a CPU", "versions": {"av": "18", "libavcodec": "62"}}


def test_each_preset_is_timed_in_each_round_and_its_packets_are_what_a_player_can_show():
    flat = [np.full((48, 64, 3), grey, np.uint8) for grey in (60, 90, 120)]
    told = presets.measure(flat, rounds=2)
    assert told["frames"] == 3
    assert tuple(told["presets"]) == presets.PRESETS
    for each in told["presets"].values():
        assert len(each["cpu_ms"]) == 2
        assert each["bytes"] > 0
        assert each["psnr"] > 35


def test_the_page_holds_the_presets_and_what_the_slow_ones_bring():
    found = {preset: {"cpu_ms": [2.0, 1.0, 4.0], "bytes": 1000.0, "psnr": 40.0} for preset in presets.PRESETS}
    found["faster"] = {"cpu_ms": [3.0, 2.0, 4.0], "bytes": 1250.0, "psnr": 40.5}
    told = {"made": "2026-01-01", "machine": MACHINE, "rounds": 3}
    text = presets.to_markdown(told | {"clips": {"clip.mp4": {"frames": 9, "presets": found}}})
    assert text.startswith("2026-01-01, a CPU; av 18.\nThe first frames, 9 of `clip.mp4`; 3 rounds: ")
    assert "| clip.mp4 | ultrafast | 2.0 (1.0 – 4.0) | 1000 | 40.0 |" in text
    assert "| clip.mp4 | faster | 1.50 × (1.00 – 2.00) | +25% | +0.5 dB |" in text
    assert "| clip.mp4 | medium | 1.00 × (1.00 – 1.00) | +0% | +0.0 dB |" in text
    assert text.count("| clip.mp4 |") == len(presets.PRESETS) + 3


@pytest.mark.parametrize("words", [[], ["clip.mp4", "--read", "presets.json"]])
def test_either_clips_are_measured_or_a_file_is_read(monkeypatch, capsys, words):
    monkeypatch.setattr(sys, "argv", ["presets.py", *words])
    with pytest.raises(SystemExit):
        presets.main()
    assert "give clips, or --read" in capsys.readouterr().err
