"""The README's first command: a real model on a real clip."""

import json
import os
import subprocess
import sys
from collections import Counter

import av
import pytest

from export.demo import find_clip
from pipeline import cli


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """Runs the demo, its folder and its model not made yet. Returns the folder and what was printed."""
    folder = tmp_path_factory.mktemp("demo") / "made" / "for it"
    command = [sys.executable, "-c", "import sys; from pipeline.cli import main; sys.exit(main())", "demo"]
    command += ["--output", str(folder), "--device", "cpu"]
    cache = {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    done = subprocess.run(command, env={**os.environ, **cache}, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_demo_leaves_a_video_and_its_records(demo):
    folder, _ = demo
    assert sorted(path.name for path in folder.iterdir()) == ["bikes.jsonl", "bikes.mp4"]


def test_the_video_has_the_frames_and_times_of_the_clip(demo):
    folder, _ = demo
    times = []
    for path in (find_clip(), folder / "bikes.mp4"):
        with av.open(str(path)) as container:
            times.append([frame.time for frame in container.decode(video=0)])
            assert container.duration == 10 * av.time_base
    assert times[0] == times[1]
    assert len(times[0]) == 250


@pytest.mark.parametrize(("start", "end", "label"), [(1.1, 1.5, "suit"), (9.2, 10.0, "mountain bike")])
def test_the_labels_are_right(demo, start, end, label):
    """As seen by a person: first a man in a suit, at the end a bicycle that lies on the pavement."""
    folder, _ = demo
    records = [json.loads(line) for line in (folder / "bikes.jsonl").read_text().splitlines()]
    assert [len(record["results"]) for record in records] == [5] * 250
    best = Counter(record["results"][0]["label"] for record in records if start <= record["pts"] < end)
    assert best.most_common(1)[0][0] == label


def test_the_demo_says_what_was_seen_and_what_to_try(demo):
    folder, told = demo
    assert "mountain bike" in told
    assert str(folder / "bikes.mp4") in told
    assert "onsight run YOUR.mp4 --model" in told


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the cache folder has another name")
def test_a_cache_folder_that_cannot_be_made_is_told_in_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cli.main(["demo", "--output", str(tmp_path / "out"), "--device", "cpu"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"onsight: the cache folder {tmp_path / 'file' / 'onsight'} cannot be made: ")
    assert line.endswith("; set XDG_CACHE_HOME")
    assert list((tmp_path / "out").iterdir()) == []
