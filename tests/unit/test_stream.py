"""The frame's journey with all its parts, in this process."""

import json
import sys
import threading
import traceback
from contextlib import nullcontext
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support.clips import VARIABLE, number_in, picture, write_clip, write_growing_clip
from support.models import constant_detector, tiny_classifier, tiny_detector

from pipeline import open_model, recognise, redact, run
from pipeline.channel import Channel
from pipeline.config import build_config
from pipeline.errors import ConfigError, OnsightError, SinkError, SourceError, StopStream
from pipeline.model import OnnxModel
from pipeline.overlay import Overlay
from pipeline.schedule import available_cores
from pipeline.sinks.encoder import PRESETS
from pipeline.sinks.memory import MemorySink
from pipeline.sources.video import VideoFile
from pipeline.stream import execute


@pytest.fixture
def clip(tmp_path):
    return write_clip(tmp_path / "clip.mp4", sound=True)


@pytest.fixture
def cut_clip(tmp_path):
    """A clip of 20 frames whose index promises more than the file holds."""
    whole = write_clip(tmp_path / "whole.mp4", options={"movflags": "faststart"}).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    return path


def records_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def no_thread_is_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("onsight ")]


def test_a_file_loses_no_frame(clip, tmp_path, detector_path):
    summary = run(
        str(clip), detector_path, output=str(tmp_path / "out.mp4"), records=str(tmp_path / "out.jsonl"), draw=False
    )
    assert (summary.frames, summary.dropped, summary.device) == (20, 0, "cpu")
    assert [number_in(image) for image in frames_of(tmp_path / "out.mp4")] == list(range(20))
    records = records_of(tmp_path / "out.jsonl")
    assert [record["frame"] for record in records] == list(range(20))
    assert [record["pts"] for record in records] == pytest.approx([n / 25 for n in range(20)])
    assert no_thread_is_left()


# Modes


@pytest.mark.parametrize(
    ("options", "mode", "workers"),
    [
        ({}, "throughput", min(available_cores(), 16)),
        ({"mode": "throughput", "workers": 3}, "throughput", 3),
        ({"workers": 1}, "throughput", 1),
        ({"mode": "latency"}, "latency", 2),
        ({"mode": "latency", "workers": 1, "batch": 4}, "latency", 1),
        ({"mode": "latency", "workers": 3}, "latency", 3),
    ],
)
def test_a_file_loses_no_frame_and_keeps_its_order_in_either_mode(
    clip, tmp_path, classifier_path, options, mode, workers
):
    summary = run(clip, classifier_path, records=tmp_path / "out.jsonl", **options)
    assert (summary.mode, summary.workers, summary.dropped) == (mode, workers, 0)
    assert [record["frame"] for record in records_of(tmp_path / "out.jsonl")] == list(range(20))


@pytest.mark.parametrize(("options", "mode"), [({}, "latency"), ({"mode": "throughput", "workers": 3}, "throughput")])
def test_a_live_source_never_shows_the_past_in_either_mode(tmp_path, classifier_path, options, mode):
    live = "synthetic:64x64@200?live=1&frames=60"
    summary = run(live, classifier_path, records=tmp_path / "out.jsonl", **options)
    shown = [record["frame"] for record in records_of(tmp_path / "out.jsonl")]
    assert summary.mode == mode
    assert shown == sorted(set(shown))
    assert len(shown) + summary.dropped == 60


def test_frames_of_cameras_that_wait_for_each_other_share_an_inference(classifier_path):
    batches = []

    def watch(stage, call):
        def recognise(frames):
            batches.append([frame.stream for frame in frames])
            return call(frames)

        return recognise if stage == "recognise" else call

    cameras = [f"synthetic:64x64@50?live=1&frames=20&seed={seed}" for seed in range(2)]
    asked = {"sources": cameras, "model": str(classifier_path), "batch": 2, "batch_wait": "1s"}
    summary = execute(build_config(asked), watch=watch)
    assert sum(map(len, batches)) + summary.dropped == 40
    assert any(sorted(batch) == [0, 1] for batch in batches)
    assert all(len(set(batch)) == len(batch) for batch in batches)


@pytest.mark.parametrize("workers", [None, 1, 3])
def test_where_latency_counts_there_are_two_workers_or_as_many_as_asked_for(tmp_path, classifier_path, workers):
    summary = run(
        "synthetic:64x64@50?live=1&frames=20", classifier_path, workers=workers, records=tmp_path / "out.jsonl"
    )
    assert (summary.mode, summary.workers) == ("latency", workers or min(2, available_cores()))
    frames = [json.loads(line)["frame"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert frames == sorted(frames)
    assert len(frames) + summary.dropped == 20


@pytest.mark.parametrize(("threads", "alone"), [(0, available_cores() > 1), (1, False), (2, True)])
def test_inferences_of_a_camera_have_their_turns_where_the_model_that_is_open_shares_cores(
    monkeypatch, classifier_path, threads, alone
):
    told, process = [], Channel.process

    def spy(*args, **options):
        told.append((options["fresh"], options["alone"]))
        return process(*args, **options)

    monkeypatch.setattr(Channel, "process", spy)
    list(recognise("synthetic:64x64@50?live=1&frames=3", open_model(classifier_path, threads=threads)))
    assert told == [(True, alone)]


def test_the_preset_of_a_video_is_told(clip, tmp_path, classifier_path):
    summary = run(clip, classifier_path, output=tmp_path / "out.mp4", preset="veryfast")
    assert summary.to_json()["sources"][0]["preset"] == "veryfast"
    assert run(clip, classifier_path, output=tmp_path / "out.mp4").sources[0].preset in PRESETS
    assert run(clip, classifier_path, records=tmp_path / "out.jsonl").sources[0].preset is None


# Sources and stages


def test_time_stamps_of_a_variable_rate_are_kept(tmp_path, classifier_path):
    clip = write_clip(tmp_path / "clip.mp4", VARIABLE)
    run(str(clip), classifier_path, output=str(tmp_path / "out.mp4"), records=str(tmp_path / "out.jsonl"))
    assert [record["pts"] for record in records_of(tmp_path / "out.jsonl")] == pytest.approx(VARIABLE, abs=1e-5)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert [float(frame.time) for frame in container.decode(video=0)] == pytest.approx(VARIABLE, abs=1e-5)


def test_recognise_yields_every_frame_with_its_results(clip, detector_path):
    items = list(recognise(str(clip), open_model(detector_path, "cpu"), threshold=0.5))
    assert [item.frame.index for item in items] == list(range(20))
    found = items[0].results
    assert {found.names[i] for i in found.labels_N} == {"green", "red"}
    left_half = found.boxes_N4[[found.names[i] for i in found.labels_N].index("red")]
    assert left_half == pytest.approx([0, 30, 80, 120], abs=5)


@pytest.mark.parametrize("end", ["whole", "other source", "model", "output"])
def test_every_source_is_closed_whatever_ends_the_run(clip, tmp_path, classifier_path, monkeypatch, end):
    closed = []
    monkeypatch.setattr(VideoFile, "close", lambda self: closed.append(self.stream))
    sources = [clip, tmp_path / "missing.mp4"] if end == "other source" else [clip, clip]
    model = tmp_path / "missing.onnx" if end == "model" else classifier_path
    with nullcontext() if end == "whole" else pytest.raises(OnsightError):
        run(sources, model, output=tmp_path / ("out.mp4" if end == "output" else "out"))
    assert sorted(closed) == ([0] if end == "other source" else [0, 1])


def test_leaving_recognise_early_joins_every_thread(clip, classifier_path):
    for _ in recognise(str(clip), classifier_path):
        break
    assert no_thread_is_left()


def test_several_files_come_one_after_the_other_and_get_a_file_each(tmp_path, classifier_path):
    clips = [write_clip(tmp_path / name / "clip.mp4") for name in "ab" if not (tmp_path / name).mkdir()]
    summary = run([str(clip) for clip in clips], classifier_path, output=str(tmp_path / "out"))
    assert summary.frames == 40
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip-1.mp4", "clip.mp4"]


def test_a_source_that_fails_fails_alone(clip, cut_clip, tmp_path, classifier_path):
    with pytest.raises(SourceError, match=r"cut\.mp4 ended after"):
        run([str(cut_clip), str(clip)], classifier_path, output=str(tmp_path / "out"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.mp4", "cut.partial.mp4"]
    assert len(frames_of(tmp_path / "out" / "clip.mp4")) == 20
    assert len(frames_of(tmp_path / "out" / "cut.partial.mp4")) > 3


def test_a_fault_in_a_stage_arrives_with_its_traceback_and_leaves_playable_files(
    clip, tmp_path, classifier_path, monkeypatch
):
    seen = []

    def break_at_the_tenth(self, redacted, status=None):
        seen.append(redacted)
        if len(seen) == 10:
            raise RuntimeError("a fault of ours")
        return original(self, redacted, status)

    original = Overlay.__call__
    monkeypatch.setattr(Overlay, "__call__", break_at_the_tenth)
    with pytest.raises(RuntimeError, match="a fault of ours") as caught:
        run(str(clip), classifier_path, output=str(tmp_path / "out.mp4"), records=str(tmp_path / "out.jsonl"))
    assert "break_at_the_tenth" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert no_thread_is_left()
    assert not (tmp_path / "out.mp4").exists()
    assert not (tmp_path / "out.jsonl").exists()
    assert len(frames_of(tmp_path / "out.partial.mp4")) == 9
    assert len(records_of(tmp_path / "out.partial.jsonl")) == 9


@pytest.mark.parametrize(("key", "value"), [("device", "cpu"), ("cuda_graph", True), ("nhwc", True)])
def test_what_is_chosen_when_a_model_is_opened_cannot_be_chosen_again(classifier_path, key, value):
    with pytest.raises(ConfigError, match=f"^'{key}' is chosen when a model is opened; give it to open_model"):
        run("synthetic:32x32@25?frames=1", open_model(classifier_path, "cpu"), **{key: value})


def test_a_model_that_records_cuda_graphs_is_not_run_beside_video_on_the_gpu(classifier_path):
    model = open_model(classifier_path, "cpu")
    model.cuda_graph = True  # as one on CUDA has it
    with pytest.raises(ConfigError, match=r"^'cuda_graph' does not go with the decoder nvdec"):
        run("clip.mp4", model, decoder="nvdec")


def test_a_batch_that_the_graph_cannot_take_is_refused(tmp_path):
    path = tiny_classifier(tmp_path / "m.onnx", batch=1)
    with pytest.raises(ConfigError, match=r"^'batch' cannot be 8: .*m.onnx takes one frame at a time; leave it out"):
        run("synthetic:32x32@25?frames=1", path, batch=8)
    assert run("synthetic:32x32@25?frames=3", path, batch=1).frames == 3


@pytest.mark.parametrize("options", [{"batch_wait": "50ms"}, {"batch_wait": "50ms", "batch": 2}, {}])
def test_a_wait_for_nobody_is_told(classifier_path, options, caplog):
    run("synthetic:32x32@25?frames=1", classifier_path, **options)
    told = "goes on without 'batch_wait': each frame has an inference of its own"
    assert caplog.messages.count(told) == ("batch_wait" in options and "batch" not in options)


def test_a_fault_in_the_model_arrives(clip, classifier_path, monkeypatch):
    model = open_model(classifier_path, "cpu")
    monkeypatch.setattr(type(model), "infer", lambda self, frames: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(str(clip), model)
    assert no_thread_is_left()


@pytest.fixture(params=["out.mp4", "out.jsonl", "out.csv", "folder", "memory"])
def kept(request, tmp_path):
    """Runs the picture of a red and a green thing; returns the summary and what the sink has kept."""

    def go(source, model, **options):
        memory = MemorySink()
        name = request.param
        if name == "folder":
            options["output"] = str(tmp_path / "folder")
        elif name != "memory":
            options["output" if name.endswith("mp4") else "records"] = str(tmp_path / name)
        config = build_config({"sources": [str(source)], "model": str(model), **options})
        summary = execute(config, extra_sinks=lambda sources, model: [memory] if name == "memory" else [])
        path = tmp_path / name
        if name == "memory":
            return summary, len(memory.items)
        if name == "folder":
            path = path / source.name
        if not path.exists():
            return summary, 0
        return summary, len(frames_of(path)) if path.suffix == ".mp4" else path.read_text().count(str(source))

    return go


def test_a_frame_whose_redaction_fails_reaches_no_sink(kept, clip, detector_path, monkeypatch):
    monkeypatch.setattr(redact, "_obscure", lambda area, style: 1 / 0)
    summary, count = kept(clip, detector_path, redact="red")
    assert count == 0
    assert (summary.frames, summary.withheld) == (0, 20)
    assert summary.to_json()["sources"][0]["withheld"] == 20


def test_a_frame_whose_redaction_works_reaches_every_sink(kept, clip, detector_path):
    summary, count = kept(clip, detector_path, redact="red")
    assert count >= 20
    assert (summary.frames, summary.withheld) == (20, 0)


def test_what_is_redacted_need_not_be_shown(clip, detector_path):
    items = list(recognise(str(clip), detector_path, redact="RED", redact_style="fill", classes="green", draw=False))
    assert all({item.results.names[i] for i in item.results.labels_N} == {"green"} for item in items)
    assert all(item.image[60:110, 10:70].max() == 0 for item in items)
    assert items[0].image[60:110, 100:150, 1].min() > 100


# Tracking


def test_objects_are_followed_from_source_to_records_and_each_source_counts_its_own(tmp_path, detector_path):
    clips = [str(write_clip(tmp_path / f"{name}.mp4")) for name in "ab"]
    run(clips, detector_path, track=True, output=tmp_path / "out", records=tmp_path / "out.jsonl")
    records = records_of(tmp_path / "out.jsonl")
    for clip in clips:
        first, *others = [record["results"] for record in records if record["source"] == clip]
        assert {each["track"] for each in first} == {None}
        seen = {(each["track"], each["label"]) for results in others for each in results if each["track"]}
        assert {(1, "red"), (2, "green")} <= seen
        assert len(dict(seen)) == len(seen)


@pytest.mark.parametrize("track", [False, True])
def test_what_is_followed_is_shown_by_its_class(clip, detector_path, track):
    items = list(recognise(str(clip), detector_path, track=track, classes="green", draw=False))
    assert [[item.results.names[label] for label in item.results.labels_N] for item in items] == [["green"]] * 20
    if track:
        assert [item.results.tracks_N.tolist() for item in items[1:]] == [[2]] * 19, "red is number 1"


def test_a_run_that_does_not_track_says_nothing_of_tracks(clip, tmp_path, detector_path):
    run(str(clip), detector_path, records=tmp_path / "out.jsonl")
    assert not [each for record in records_of(tmp_path / "out.jsonl") for each in record["results"] if "track" in each]


def test_what_is_hidden_is_followed_too_but_leaves_no_trail(clip, detector_path):
    hidden = {"redact": "red", "redact_style": "fill", "classes": "red", "track": True}
    drawn = list(recognise(str(clip), detector_path, **hidden))
    assert drawn[-1].results.tracks_N.tolist() == [1]
    assert drawn[-1].results.boxes_N4[0, 3] == 120  # the trail would run along the lower edge
    plain = list(recognise(str(clip), detector_path, **{**hidden, "track": False}))
    assert (drawn[-1].image[90:] == plain[-1].image[90:]).all()


def test_images_are_not_tracked(tmp_path, detector_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"'track' needs videos or cameras; the images of .*in have no time$"):
        run(str(tmp_path / "in"), detector_path, track=True, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_classifier_is_not_asked_to_track(clip, tmp_path, classifier_path):
    with pytest.raises(ConfigError, match=r"'track' needs the boxes of a detector, but this model is a classifier"):
        run(str(clip), classifier_path, track=True, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_tracker_is_told_before_anything_is_written(clip, tmp_path, detector_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(ConfigError, match=r"pip install 'onsight\[track\]'"):
        run(str(clip), detector_path, track=True, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Frames at which the model does not look


def write_still_clip(path, moving=(), count=40):
    """Red on the left, green on the right; in the frames `moving` a white thing goes through the upper quarter."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv444p"
        for number in range(count):
            image = picture(0)
            if number in moving:
                image[4:24, 3 * number : 3 * number + 20] = 255
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format="yuv444p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Counting(OnnxModel):
    """A model that counts the frames that it is given."""

    frames = 0

    def infer(self, frames_BHW3):
        self.frames += len(frames_BHW3)
        return super().infer(frames_BHW3)


@pytest.mark.parametrize("track", [False, True])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("every", [1, 2, 3, 7, 100])
def test_no_frame_is_lost_or_moved_however_seldom_the_model_looks(clip, tmp_path, detector_path, every, batch, track):
    model = Counting(detector_path, "cpu")
    output, records = tmp_path / "out.mp4", tmp_path / "out.jsonl"
    options = {"every": every, "batch": batch, "track": track, "draw": False}
    summary = run(str(clip), model, output=output, records=records, **options)
    looked = [n for n in range(20) if n % min(every, 10 if track else 100) == 0]  # with tracks, every 0.4 s
    assert (summary.frames, summary.looked, model.frames) == (20, len(looked), len(looked))
    assert [number_in(image) for image in frames_of(output)] == list(range(20))
    told = records_of(records)
    assert [record["frame"] for record in told] == list(range(20))
    assert [record["pts"] for record in told] == pytest.approx([n / 25 for n in range(20)])
    if every > 1:
        assert [n for n, record in enumerate(told) if record["look"] == "anew"] == looked
    assert all(record["results"] for record in told)


def test_without_tracks_the_results_of_the_last_look_stay(clip, tmp_path, classifier_path):
    run(str(clip), classifier_path, records=tmp_path / "all.jsonl")
    run(str(clip), classifier_path, every=4, records=tmp_path / "fourth.jsonl")
    every, fourth = records_of(tmp_path / "all.jsonl"), records_of(tmp_path / "fourth.jsonl")
    assert [record["results"] for record in fourth] == [every[n - n % 4]["results"] for n in range(20)]


def test_files_that_follow_each_other_each_begin_with_a_look(tmp_path, detector_path):
    clips = [str(write_clip(tmp_path / f"{name}.mp4", times=[n / 25 for n in range(5)])) for name in "abc"]
    items = list(recognise(clips, detector_path, every=3, track=True))
    assert [item.frame.look for item in items] == ["anew", "ahead", "ahead", "anew", "ahead"] * 3


def test_where_nothing_moves_the_model_looks_now_and_then_and_no_track_is_lost(tmp_path, detector_path):
    clip = write_still_clip(tmp_path / "clip.mkv", moving=range(20, 30))
    items = list(recognise(str(clip), detector_path, motion_gate=True, track=True, classes="red,green"))
    kinds = [item.frame.look for item in items]
    assert kinds == ["anew"] + ["same"] * 9 + ["anew"] + ["same"] * 9 + ["anew"] * 11 + ["same"] * 9
    assert all(item.results.tracks_N.tolist() == [1, 2] for item in items[1:])


@pytest.mark.parametrize("track", [False, True])
def test_a_still_scene_costs_no_recall(tmp_path, detector_path, track):
    clip = write_still_clip(tmp_path / "clip.mkv")
    every = list(recognise(str(clip), detector_path, track=track))
    gated = list(recognise(str(clip), detector_path, track=track, motion_gate=True))
    for one, other in zip(every, gated, strict=True):
        np.testing.assert_array_equal(one.results.boxes_N4, other.results.boxes_N4)
        np.testing.assert_array_equal(one.results.labels_N, other.results.labels_N)


@pytest.mark.parametrize("track", [False, True])
def test_a_second_model_answers_in_every_frame(clip, tmp_path, detector_path, track):
    second = Counting(tiny_classifier(tmp_path / "second.onnx"), "cpu")
    options = {"classes": "red,green", "then": str(second.path), "every": 4, "track": track}
    for item in recognise(str(clip), detector_path, **options):
        known = item.results.tracks_N > 0 if track else np.ones(len(item.results), bool)
        assert known.all() or item.frame.index < 4
        for label, then, due in zip(item.results.labels_N, item.results.then_N, known, strict=True):
            assert (then.names[then.labels_K[0]] == item.results.names[label]) if due else then is None


def test_zones_count_predicted_objects_as_any_other(clip, tmp_path, detector_path):
    zones = tmp_path / "zones.yaml"
    zones.write_text("zones: {left: {points: [[0, 0.5], [0.5, 0.5], [0.5, 1], [0, 1]]}}\n")
    for item in recognise(str(clip), detector_path, track=True, every=3, zones=zones, classes="red"):
        (zone,) = item.counts.zones
        assert sum(zone.inside.values()) == (item.frame.index >= 3)
        assert (1 in zone.dwell) == (item.frame.index >= 3)


def test_a_camera_that_is_too_fast_is_still_looked_at(detector_path, monkeypatch):
    """Every third frame that is not dropped is looked at."""
    slow, infer = threading.Event(), OnnxModel.infer
    monkeypatch.setattr(OnnxModel, "infer", lambda self, frames: slow.wait(0.05) or infer(self, frames))
    items = list(recognise("synthetic:64x48@200?frames=60&live=1", detector_path, every=3))
    assert [item.frame.look for item in items] == ["ahead" if n % 3 else "anew" for n in range(len(items))]


@pytest.mark.parametrize(("key", "value"), [("every", 2), ("motion_gate", True)])
def test_images_do_not_follow_from_each_other(tmp_path, detector_path, key, value):
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match=rf"'{key}' needs videos or cameras; the images of .*1\.png have no time$"):
        run(str(tmp_path / "1.png"), detector_path, records=tmp_path / "out.jsonl", **{key: value})
    assert not (tmp_path / "out.jsonl").exists()


def test_the_gate_is_a_stage_that_can_be_watched(clip, detector_path):
    seen = {}

    def watch(stage, call):
        def watched(*arguments):
            seen[stage] = seen.get(stage, 0) + 1
            return call(*arguments)

        return watched

    for options in ({"every": 2}, {}):
        seen.clear()
        execute(build_config({"sources": str(clip), "model": str(detector_path), **options}), watch=watch)
        assert (seen.get("gate"), seen.get("repeat")) == ((20, 20) if options else (None, None))


# Redaction: whatever the model says, nothing that it may mean is seen

NAN, INFINITE = float("nan"), float("inf")
PERSON, CAR = 0, 1
BODY = (20.0, 20.0, 80.0, 100.0)


@pytest.fixture
def street(tmp_path):
    """A picture without a black pixel."""
    image = np.random.default_rng(3).integers(1, 256, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "street.png"), image)
    return tmp_path / "street.png"


def seen_of(street, rows, **options):
    """The summary, and the picture that left (None: none did) when a detector finds `rows` and people are hidden."""
    model = constant_detector(street.with_name("m.onnx"), rows)
    output = street.with_name("out.png")
    summary = run(street, model, output=output, redact="person", redact_style="fill", draw=False, **options)
    return summary, cv2.imread(str(output)) if output.exists() else None


def shows_body(image, box=BODY):
    x1, y1, x2, y2 = map(int, box)
    return image is not None and bool(image[y1:y2, x1:x2].any())


@pytest.mark.parametrize(
    "box",
    [
        (NAN,) * 4,
        (20, 20, NAN, 100),
        (20, 20, INFINITE, 100),
        (-INFINITE, 20, 80, 100),
        (INFINITE,) * 4,
        (-INFINITE,) * 4,
        (INFINITE, INFINITE, -INFINITE, -INFINITE),
        (-INFINITE, -INFINITE, INFINITE, INFINITE),
    ],
)
@pytest.mark.parametrize("others", [[], [((100, 10, 150, 60), 0.9, PERSON)], [((100, 10, 150, 60), 0.9, CAR)]])
def test_a_person_whose_place_is_not_known_is_not_seen(street, box, others):
    summary, image = seen_of(street, [(box, 0.8, PERSON), *others])
    assert not shows_body(image)
    assert (summary.frames, summary.withheld) == (0, 1)


@pytest.mark.parametrize("score", [NAN, INFINITE, 1e30])
def test_a_person_whose_score_is_no_score_is_hidden(street, score):
    summary, image = seen_of(street, [(BODY, score, PERSON)])
    assert summary.frames == 1
    assert not shows_body(image)
    assert shows_body(image, (100, 10, 150, 60))


@pytest.mark.parametrize("options", [{}, {"iou": 0.0}, {"classes": "car"}, {"threshold": 0.99}])
@pytest.mark.parametrize(
    "box", [(NAN,) * 4, (INFINITE,) * 4, (0, 0, INFINITE, INFINITE), (-1e30, -1e30, 1e30, 1e30), (0, 0, 160, 120)]
)
def test_a_thing_of_another_class_brings_no_person_to_light(street, box, options):
    rows = [(box, 0.95, CAR), (BODY, 0.9, PERSON), ((100, 10, 150, 60), 0.8, PERSON)]
    summary, image = seen_of(street, rows, **options)
    assert summary.frames == 1
    assert not shows_body(image)
    assert not shows_body(image, (100, 10, 150, 60))
    assert image[:, 90:95].all()


@pytest.mark.parametrize("iou", [None, 0.0, 1.0])
@pytest.mark.parametrize("second", [(30.0, 24.0, 92.0, 110.0), (70.0, 90.0, 150.0, 115.0)])
def test_two_people_who_overlap_are_both_wholly_hidden(street, second, iou):
    summary, image = seen_of(street, [(BODY, 0.9, PERSON), (second, 0.8, PERSON)], iou=iou)
    assert summary.frames == 1
    assert not shows_body(image)
    assert not shows_body(image, second)
    assert image[:10].all()


@pytest.mark.parametrize(
    ("box", "score"), [((NAN,) * 4, 0.9), ((0, 0, INFINITE, 9), 0.9), (BODY, NAN), (BODY, INFINITE)]
)
def test_a_row_that_is_not_finite_is_left_out_of_the_records(street, tmp_path, box, score):
    model = constant_detector(tmp_path / "m.onnx", [(box, score, CAR), (BODY, 0.75, PERSON)])
    run(street, model, output=tmp_path / "out.png", records=tmp_path / "out.jsonl")

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    (line,) = (tmp_path / "out.jsonl").read_text().splitlines()
    results = json.loads(line, parse_constant=refuse)["results"]
    assert results == [{"label": "person", "label_id": PERSON, "score": 0.75, "box": list(BODY)}]


# The end that the user wants


def test_a_sink_can_end_the_run_with_whole_files(clip, tmp_path, classifier_path):
    class Enough(MemorySink):
        def write(self, item):
            super().write(item)
            if len(self.items) == 5:
                raise StopStream

    config = build_config({"sources": str(clip), "model": str(classifier_path), "output": str(tmp_path / "out.mp4")})
    stop = threading.Event()
    execute(config, extra_sinks=lambda sources, model: [Enough()], stop=stop)
    assert len(frames_of(tmp_path / "out.mp4")) == 5
    assert not stop.is_set()


class StopAt(MemorySink):
    """Sets its event with the frame of this number, counted from 1."""

    def __init__(self, number):
        super().__init__()
        self.number, self.stop = number, threading.Event()

    def write(self, item):
        super().write(item)
        if len(self.items) == self.number:
            self.stop.set()


def test_stop_ends_a_live_source_and_leaves_whole_files(tmp_path, classifier_path):
    records = tmp_path / "seen.jsonl"
    options = {"sources": "synthetic:320x240@60?live=1", "model": classifier_path, "records": records}
    seen = []
    for _ in range(2):
        sink = StopAt(10)
        summary = execute(build_config(options), extra_sinks=lambda sources, model, sink=sink: [sink], stop=sink.stop)
        assert 10 <= summary.frames == len(sink.items) < 30
        seen += [item.frame.index for item in sink.items]
        assert [record["frame"] for record in records_of(records)] == seen, "records of a live source are appended"
    assert no_thread_is_left()


def test_a_run_that_ends_by_itself_leaves_the_event_of_the_caller_alone(clip, tmp_path, classifier_path):
    stop = threading.Event()
    for name in ("first", "second"):
        summary = run(clip, classifier_path, records=tmp_path / f"{name}.jsonl", stop=stop)
        assert not stop.is_set()
        assert summary.frames == len(records_of(tmp_path / f"{name}.jsonl")) == 20


def test_a_fault_leaves_the_event_of_the_caller_alone(clip, classifier_path, monkeypatch):
    stop, model = threading.Event(), open_model(classifier_path, "cpu")
    monkeypatch.setattr(type(model), "infer", lambda self, frames: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(clip, model, stop=stop)
    assert not stop.is_set()


def test_an_event_that_was_set_ends_the_next_run_that_gets_it(clip, tmp_path, classifier_path):
    sink = StopAt(3)
    config = build_config({"sources": clip, "model": classifier_path, "output": tmp_path / "first.mp4"})
    summary = execute(config, extra_sinks=lambda sources, model: [sink], stop=sink.stop)
    assert 3 <= summary.frames == len(frames_of(tmp_path / "first.mp4")) < 20
    assert run(clip, classifier_path, output=tmp_path / "second.mp4", stop=sink.stop).frames == 0
    assert not (tmp_path / "second.mp4").exists()


@pytest.mark.parametrize("source", ["clip.mp4", "synthetic:64x64", "synthetic:64x64?live=1", "in"])
@pytest.mark.parametrize("output", ["out.mp4", "folder"])
def test_what_an_earlier_run_has_written_is_not_replaced_by_nothing(
    clip, tmp_path, classifier_path, monkeypatch, source, output
):
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "folder"):
        (tmp_path / folder).mkdir()
    cv2.imwrite("in/x.png", np.zeros((20, 20, 3), np.uint8))
    kept = dict.fromkeys(("out.jsonl", "out.mp4", "folder/clip.mp4", "folder/x.png"), b"of an earlier run")
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    stop = threading.Event()
    stop.set()
    output = "folder" if source == "in" else output
    assert run(source, classifier_path, output=output, records="out.jsonl", stop=stop).frames == 0
    assert {name: (tmp_path / name).read_bytes() for name in kept} == kept
    assert sorted(tmp_path.rglob("*")) == before


def test_paths_may_be_paths(tmp_path, classifier_path):
    clips = [write_clip(tmp_path / f"{name}.mp4") for name in "ab"]
    run(clips[0], classifier_path, output=tmp_path / "out.mp4", records=tmp_path / "one.jsonl")
    run(clips, classifier_path, output=tmp_path / "out", records=tmp_path / "two.jsonl")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.mp4"]
    assert len(frames_of(tmp_path / "out.mp4")) == 20
    assert [len(records_of(tmp_path / name)) for name in ("one.jsonl", "two.jsonl")] == [20, 40]
    assert {item.frame.source for item in recognise(clips, classifier_path)} == {str(clip) for clip in clips}


def test_two_live_sources_and_a_file_run_together(clip, tmp_path, classifier_path):
    sources = ["synthetic:64x64@50?live=1&frames=20", str(clip), "synthetic:80x64@50?live=1&frames=20"]
    summary = run(sources, classifier_path, records=str(tmp_path / "all.jsonl"))
    records = records_of(tmp_path / "all.jsonl")
    assert [tally.source for tally in summary.sources] == sources
    assert [tally.frames + tally.dropped for tally in summary.sources] == [20, 20, 20]
    for source in sources:
        indices = [record["frame"] for record in records if record["source"] == source]
        assert indices == sorted(indices)


def test_a_source_may_change_its_size(tmp_path, detector_path):
    clip = write_growing_clip(tmp_path / "clip.ts")
    run(str(clip), detector_path, output=str(tmp_path / "out.mp4"), records=str(tmp_path / "out.jsonl"))
    assert [record["width"] for record in records_of(tmp_path / "out.jsonl")] == [160] * 10 + [320] * 10
    assert {image.shape for image in frames_of(tmp_path / "out.mp4")} == {(120, 160, 3)}


def test_a_video_of_odd_width_is_recognised(tmp_path, detector_path):
    clip = tmp_path / "odd.mkv"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 51, 33, "yuv444p"
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(np.zeros((33, 51, 3), np.uint8), format="bgr24")
            container.mux(stream.encode(picture.reformat(format="yuv444p")))
        container.mux(stream.encode())
    run(str(clip), detector_path, output=str(tmp_path / "out.mp4"), records=str(tmp_path / "out.jsonl"))
    assert {(record["width"], record["height"]) for record in records_of(tmp_path / "out.jsonl")} == {(51, 33)}
    assert {image.shape for image in frames_of(tmp_path / "out.mp4")} == {(34, 52, 3)}


def test_a_folder_of_images_gives_labelled_images(tmp_path, detector_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, size in enumerate(((1, 1), (40, 60), (300, 200))):
        cv2.imwrite(str(folder / f"img{number}.png"), np.full((*size, 3), 200, np.uint8))
    run(str(folder), detector_path, output=str(tmp_path / "out"), records=str(tmp_path / "out.jsonl"))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["img0.png", "img1.png", "img2.png"]
    records = records_of(tmp_path / "out.jsonl")
    assert [(record["source"], record["frame"], record["pts"]) for record in records] == [
        (str(folder / f"img{number}.png"), 0, None) for number in range(3)
    ]


def test_a_source_is_never_overwritten(clip, classifier_path):
    before = clip.read_bytes()
    with pytest.raises(SinkError, match="is a source"):
        run(str(clip), classifier_path, output=str(clip))
    with pytest.raises(SinkError, match="is a source"):
        run(str(clip), classifier_path, output=str(clip.parent))
    assert clip.read_bytes() == before


def test_a_source_is_not_overwritten_by_a_partial_file(clip, classifier_path):
    source = clip.rename(clip.with_name("labelled.partial.mp4"))
    before = source.read_bytes()
    with pytest.raises(SinkError, match=r"labelled\.partial\.mp4 is a source"):
        run(source, classifier_path, output=source.with_name("labelled.mp4"))
    assert source.read_bytes() == before
    assert list(source.parent.iterdir()) == [source]


@pytest.mark.parametrize("order", [1, -1])
def test_a_source_called_like_a_partial_file_gets_a_file_of_its_own(tmp_path, classifier_path, order):
    clips = [write_clip(tmp_path / "a.partial.mp4"), write_clip(tmp_path / "a.mp4")][::order]
    run(clips, classifier_path, output=tmp_path / "out", draw=False)
    made = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in made] == (
        ["a-1.mp4", "a.partial.mp4"] if order == 1 else ["a.mp4", "a.partial-1.mp4"]
    )
    assert [len(frames_of(path)) for path in made] == [20, 20]


def test_an_output_folder_that_holds_a_source_image_is_refused(tmp_path, classifier_path):
    images = [tmp_path / name / "x.png" for name in "ab"]
    for number, image in enumerate(images):
        image.parent.mkdir()
        cv2.imwrite(str(image), np.full((20, 20, 3), 80 * number, np.uint8))
    before = [image.read_bytes() for image in images]
    for sources in (images, images[::-1], [image.parent for image in images], images[:1]):
        with pytest.raises(SinkError, match=r"holds x\.png, a source"):
            run(sources, classifier_path, output=tmp_path / "a")
    assert [image.read_bytes() for image in images] == before
    assert sorted(tmp_path.rglob("*.png")) == images


def test_several_sources_need_a_folder(clip, tmp_path, classifier_path):
    with pytest.raises(SinkError, match="folder"):
        run([str(clip), str(clip)], classifier_path, output=str(tmp_path / "out.mp4"))


def test_batches_give_the_same_results(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4")
    any_batch, one = tiny_detector(tmp_path / "any.onnx"), tiny_detector(tmp_path / "one.onnx", batch=1)
    told = []
    for model, batch in ((any_batch, 1), (any_batch, 4), (one, None)):
        run(str(clip), model, batch=batch, records=str(tmp_path / "out.jsonl"))
        told.append((tmp_path / "out.jsonl").read_text())
    assert told[0] == told[1] == told[2]


def test_an_unknown_label_is_told_before_anything_is_written(clip, tmp_path, detector_path):
    with pytest.raises(ConfigError, match="'blu'; did you mean blue"):
        run(str(clip), detector_path, classes="blu", output=str(tmp_path / "out.mp4"), records=str(tmp_path / "o.csv"))
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
