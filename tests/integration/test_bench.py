"""`onsight bench` and `onsight compare-bench` as a user calls them. Nothing here says how fast anything has to be."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.benches import clip_bench, streams_bench
from support.clips import write_clip
from support.pages import Page

from pipeline.bench.job import plan_job, synthetic_spec
from pipeline.bench.measure import Plan, measure_streams
from pipeline.bench.read import read_bench
from pipeline.bench.result import Bench, Machine
from pipeline.cli_bench import bench, compare_bench
from pipeline.errors import OnsightError, SinkError
from pipeline.sinks.encoder import CODECS, PRESETS, NvencError

FAST = ("--rounds", 2, "--seconds", 0.2)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4")


def call(command: object, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])  # type: ignore[arg-type]


def measure(*arguments: object) -> Result:
    result = call(bench, *arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_a_clip_is_measured_in_all_its_stages(clip: Path, detector_path: Path, here: Path) -> None:
    outputs = ("--output", "bench.json", "--trace", "trace.json", "--report", "bench.html", "--json")
    how = ("--device", "cpu", "--batch", "1,2", "--workers", 3)
    result = measure(clip, "--model", detector_path, *how, *FAST, *outputs)
    assert sorted(path.name for path in here.iterdir()) == ["bench.html", "bench.json", "trace.json"]

    found = read_bench(here / "bench.json")
    assert Bench.model_validate_json(result.stdout.splitlines()[-1]) == found
    assert [stage.name for stage in found.alone] == [
        "decode",
        "resize",
        "infer",
        "results",
        "draw",
        "encode",
        "records",
    ]
    assert found.whole is not None
    assert [each.name for each in found.whole.stages] == ["decode", "resize", "infer", "results", "draw", "write"]
    assert (found.workers, found.whole.dropped, found.whole.gpu_ms) == (3, 0, None)
    assert found.together is not None
    assert found.together.inferences == 3
    assert found.whole.written.n == 2 * found.whole.frames
    assert found.whole.written.p50 >= found.whole.drawn.p50 > 0
    assert [each.batch for each in found.batches] == [1, 2]
    assert found.preset in PRESETS
    assert (found.model.device, found.model.providers) == ("cpu", ("CPUExecutionProvider",))
    assert (found.clip.frames, found.clip.width, found.clip.height, found.clip.codec) == (20, 160, 120, "h264")
    assert found.loops == -(-found.whole.frames // 20)
    assert found.warm_up_frames > 0

    assert found.limit is not None
    assert found.efficiency is not None
    for i in range(2):
        cost = sum(stage.cpu_ms.rounds[i] for stage in found.alone)
        ms = {stage.name: stage.ms.rounds[i] for stage in found.alone}
        slowest = max(cost / found.machine.usable_cores, ms["decode"], ms["draw"] + ms["encode"] + ms["records"])
        allowed = 1000 / slowest
        assert found.efficiency_of_cores is not None
        fps = found.whole.fps.rounds[i]
        assert found.efficiency_of_cores.rounds[i] == pytest.approx(fps * cost / 1000 / found.machine.usable_cores)
        assert found.limit.fps.rounds[i] == pytest.approx(allowed)
        assert found.efficiency.rounds[i] == pytest.approx(found.whole.fps.rounds[i] / allowed)

    text = result.stdout
    assert "2 rounds: the spread says little" in text
    assert "is the limit" in text
    events = json.loads((here / "trace.json").read_text())["traceEvents"]
    assert {"decode", "infer", "draw", "write"} <= {event["name"] for event in events if event["ph"] == "X"}
    assert "is the limit" in Page((here / "bench.html").read_text(encoding="utf-8")).text


def test_on_more_cores_than_a_thread_can_feed_that_thread_is_the_limit(
    clip: Path, classifier_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine, "usable_cores", 10_000)
    result = measure(clip, "--model", classifier_path, "--device", "cpu", *FAST, "--json")
    found = Bench.model_validate_json(result.stdout.splitlines()[-1])
    assert found.limit is not None
    assert (found.limit.resource in ("decode", "draw", "encode", "records"), found.limit.share) == (True, None)
    decode = next(stage.ms.rounds for stage in found.alone if stage.name == "decode")
    assert all(fps <= 1000 / ms for fps, ms in zip(found.limit.fps.rounds, decode, strict=True))
    assert "is the limit: one thread does it" in result.stdout
    assert "of what 10000 cores would allow" in result.stdout


def test_without_encoding_nothing_is_encoded(clip: Path, classifier_path: Path) -> None:
    result = measure(clip, "--model", classifier_path, *FAST, "--no-encode", "--json")
    found = Bench.model_validate_json(result.stdout.splitlines()[-1])
    assert "encode" not in [stage.name for stage in found.alone]
    assert "records go to a temporary folder" in result.stdout


def test_what_the_device_cannot_do_is_not_told_as_done(classifier_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.model.check_device", lambda device: f"no {device} here")
    flags = ("--synthetic", "64x48", *FAST, "--no-encode", "--cuda-graph", "--nhwc", "--json")
    result = measure(*flags, "--model", classifier_path)
    found = Bench.model_validate_json(result.stdout.splitlines()[-1])
    assert (found.model.device, found.cuda_graph, found.nhwc) == ("cpu", False, False)


def test_live_streams_end_with_an_answer(classifier_path: Path, here: Path) -> None:
    flags = ("--synthetic", "64x48", "--streams", "2,1", "--target-fps", 25, *FAST, "--no-encode")
    result = measure(*flags, "--model", classifier_path, "--output", "streams.json")
    found = read_bench(here / "streams.json")
    counts = [each.streams for each in found.streams]
    assert counts in ([1], [1, 2])  # it stops at the first number that is too many
    assert all(each.taken for each in found.streams[:-1])
    assert all(each.due > 0 for each in found.streams)
    assert "this machine takes" in result.stdout
    assert "painted, not decoded" in result.stdout


@pytest.mark.parametrize(
    ("opens", "encoder", "preset", "tried"),
    [(0, "x264", "ultrafast", 1), (2, "nvenc, x264", "p4, ultrafast", 3), (3, "nvenc", "p4", 3)],
)
def test_what_encoded_the_streams_is_told(
    opens: int, encoder: str, preset: str, tried: int, classifier_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libx264 stands in for an NVENC that opens so often: the warm-up has one stream, the round two."""
    seen: list[str] = []

    def open_some(context: object, encoder: str) -> None:
        seen.extend([encoder] if encoder == "nvenc" else [])
        if encoder == "nvenc" and len(seen) > opens:
            raise NvencError("no such luck")

    monkeypatch.setattr("pipeline.sinks.nvenc.why_no_nvenc", lambda: None)
    monkeypatch.setitem(CODECS, "nvenc", "libx264")
    monkeypatch.setattr("pipeline.sinks.mp4.encoder_options", lambda encoder, preset: {"preset": "ultrafast"})
    monkeypatch.setattr("pipeline.sinks.mp4.open_encoder", open_some)
    job = plan_job(synthetic_spec("64x48", 25), classifier_path, "cpu", encode=True, encoder="auto")
    found, _ = measure_streams(job, "64x48", 25, (2,), Plan(rounds=1, seconds=0.1, batches=(1,)), lambda what: None)
    assert (found.encoder, found.preset) == (encoder, preset)
    assert len(seen) == tried


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "what is to be measured"),
        (["CLIP", "--synthetic", "64x48"], "what is to be measured"),
        (["CLIP", "--streams", "1"], "'streams' needs --synthetic"),
        (["--synthetic", "64x48", "--streams", "1", "--batch", "4"], "'batch' is for inference alone"),
        (["--synthetic", "64x48", "--streams", "1", "--workers", "2"], "'workers' does not go with --streams"),
        (["CLIP", "--workers", "0"], "'workers'"),
        (["CLIP", "--target-fps", "25"], "'target_fps' is for --synthetic"),
        (["--synthetic", "big"], "'big' is no size"),
        (["missing.mp4"], "missing.mp4 does not exist"),
        (["picture.png"], "picture.png is made of images"),
        (["synthetic:64x48?live=1"], "is a camera"),
        (["CLIP", "--model", "missing.onnx"], "no model file missing.onnx"),
        (["CLIP", "--output", "no/such/bench.json"], "does not exist"),
        (["CLIP", "--output", "bench.txt"], "unknown suffix"),
        (["CLIP", "--report", "bench.pdf"], "unknown suffix"),
        (["CLIP", "--trace", "same.json", "--output", "same.json"], "two outputs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_told_in_one_line_and_leaves_nothing(
    arguments: list[str], told: str, clip: Path, classifier_path: Path, here: Path
) -> None:
    import cv2
    import numpy as np

    cv2.imwrite("picture.png", np.zeros((9, 9, 3), np.uint8))
    model = [] if "--model" in arguments else ["--model", str(classifier_path)]
    outputs = [] if "--output" in arguments else ["--output", "bench.json"]
    result = call(bench, *[str(clip) if each == "CLIP" else each for each in arguments], *model, *outputs, *FAST)
    assert isinstance(result.exception, OnsightError), result.output
    assert told in str(result.exception)
    assert "\n" not in str(result.exception)
    assert [path.name for path in here.iterdir()] == ["picture.png"]


def test_a_file_that_cannot_be_written_in_the_end_takes_nothing_of_what_was_printed(
    classifier_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, text: str) -> None:
        raise SinkError(f"cannot write {path}: No space left on device")

    monkeypatch.setattr("pipeline.sinks.partial.write_text", fail)
    flags = ("--synthetic", "64x48", *FAST, "--no-encode", "--output", "bench.json", "--json")
    result = call(bench, *flags, "--model", classifier_path)
    assert isinstance(result.exception, SinkError)
    assert "frames/s" in result.stdout
    assert Bench.model_validate_json(result.stdout.splitlines()[-1]).whole


def test_a_reader_that_leaves_keeps_no_file_from_being_written(
    classifier_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave(found: Bench) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("pipeline.bench.table.print_bench", leave)
    flags = ("--synthetic", "64x48", *FAST, "--no-encode", "--output", "bench.json")
    assert isinstance(call(bench, *flags, "--model", classifier_path).exception, BrokenPipeError | SystemExit)
    assert read_bench(here / "bench.json").whole


@pytest.mark.parametrize("numbers", ["", "0", "1,x", "-1", "1.5"])
def test_batches_that_are_no_numbers_are_refused(numbers: str, clip: Path, classifier_path: Path) -> None:
    result = call(bench, clip, "--model", classifier_path, f"--batch={numbers}")
    assert result.exit_code == 2
    assert "not a list of whole numbers" in result.output


@pytest.mark.parametrize("option", ["--seconds", "--target-fps"])
@pytest.mark.parametrize("value", ["nan", "-nan", "inf", "0"])
def test_amounts_that_are_no_numbers_are_refused(option: str, value: str, classifier_path: Path) -> None:
    result = call(bench, "--synthetic", "64x48", "--model", classifier_path, f"{option}={value}")
    assert result.exit_code == 2
    assert f"Invalid value for '{option}'" in result.output.splitlines()[-1]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_and_leaves_nothing(number: int, code: int, classifier_path: Path, here: Path) -> None:
    program = [sys.executable, "-c", "import sys; from pipeline.cli import main; sys.exit(main())"]
    flags = ("--synthetic", "320x240", "--model", str(classifier_path), "--seconds", "30", "--output", "bench.json")
    temporary = {**os.environ, "TMPDIR": str(here)}
    with subprocess.Popen([*program, "bench", *flags], stderr=subprocess.PIPE, text=True, env=temporary) as process:
        try:
            until = time.monotonic() + 60
            while not list(here.glob("onsight-bench-*/labelled.partial.mp4")):
                assert time.monotonic() < until, "it did not begin"
                time.sleep(0.05)
            process.send_signal(number)
            _, told = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == code
    assert "Traceback" not in told
    assert not [*here.glob("onsight*"), *here.glob("bench*")]


def write(path: Path, found: Bench) -> Path:
    path.write_text(found.model_dump_json())
    return path


def test_two_benchmarks_are_compared_and_what_differs_is_told(tmp_path: Path) -> None:
    slow, fast = clip_bench(100), clip_bench(130)
    fast = fast.model_copy(update={"clip": fast.clip.model_copy(update={"name": "other.mp4"})})
    result = call(compare_bench, write(tmp_path / "old.json", slow), write(tmp_path / "new.json", fast))
    assert result.exit_code == 0
    told, *rows = result.stdout.splitlines()
    assert told.startswith("differs: clip: clip.mp4")
    assert next(row for row in rows if row.startswith("frames per second")).split()[-1] == "better"
    assert next(row for row in rows if row.startswith("CPU time")).endswith("no difference can be told")


def test_two_rounds_are_too_few_to_compare(tmp_path: Path) -> None:
    few = clip_bench(100).model_copy(update={"rounds": 2})
    result = call(compare_bench, write(tmp_path / "old.json", few), write(tmp_path / "new.json", clip_bench(130)))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "note: old has 2 of the 3 rounds that it takes to tell a difference"


def test_how_many_cameras_are_taken_stands_above_the_table_and_the_notes_below(tmp_path: Path) -> None:
    old, new = streams_bench({1: True, 2: True}), streams_bench({1: True, 2: False}, warnings=("heat",))
    result = call(compare_bench, write(tmp_path / "old.json", old), write(tmp_path / "new.json", new))
    assert result.exit_code == 0
    first, second, *rows = result.stdout.splitlines()
    assert first.startswith("old: this machine takes 2 cameras or more")
    assert second.startswith("new: this machine takes 1 camera, but not 2")
    assert next(row for row in rows if row.startswith("2 streams, dropped")).endswith("not judged")
    assert rows[-1] == "note: new: heat"


def test_streams_of_other_numbers_have_answers_and_no_table(tmp_path: Path) -> None:
    old, new = streams_bench({4: True, 8: False}), streams_bench({1: True, 2: False})
    result = call(compare_bench, write(tmp_path / "old.json", old), write(tmp_path / "new.json", new))
    assert result.exit_code == 0
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["old", "new", "note"]
    assert result.stdout.splitlines()[-1].startswith("note: no number of streams is in both")


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    clip, streams = write(tmp_path / "a.json", clip_bench()), write(tmp_path / "b.json", streams_bench({1: True}))
    other = tmp_path / "other.json"
    other.write_text("{}")
    for pair, told in (((clip, streams), "no figure in common"), ((clip, other), "other.json is not what")):
        result = call(compare_bench, *pair)
        assert isinstance(result.exception, OnsightError)
        assert told in str(result.exception)
        assert result.stdout == ""
