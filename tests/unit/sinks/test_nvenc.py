"""What is made of a wish for NVENC, with an FFmpeg that knows it and a GPU that may not."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.errors import SinkError
from pipeline.sinks import nvenc
from pipeline.sinks.encoder import CODECS, NVENC_PRESET, Effort, trial_encoder
from pipeline.sinks.mp4 import Mp4Writer
from pipeline.sinks.video import VideoSink
from pipeline.types import Annotated, Media

MakeItem = Callable[..., Annotated]

REFUSAL = (
    "NVENC does not open for 320 x 240 pixels (Invalid argument): it takes no such size, or no more videos at a time"
)
GREY = np.full((240, 320, 3), 128, np.uint8)


@pytest.mark.parametrize("wanted", ["nvenc", "auto"])
def test_it_is_taken_where_it_works(
    wanted: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nvenc, "why_no_nvenc", lambda: None)
    assert nvenc.choose_encoder(wanted) == "nvenc"
    assert not caplog.messages


def test_that_it_does_not_take_the_preset_asked_for_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nvenc, "why_no_nvenc", lambda: None)
    assert nvenc.choose_encoder("auto", "medium") == "nvenc"
    assert caplog.messages == ["videos are encoded by NVENC with its own preset p4: medium is one of x264"]


def test_where_it_does_not_it_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvenc, "why_no_nvenc", lambda: "no such luck")
    with pytest.raises(SinkError) as caught:
        nvenc.choose_encoder("nvenc")
    assert str(caught.value) == "nvenc cannot be used: no such luck; use --encoder x264, or run: onsight doctor"


def test_auto_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(nvenc, "why_no_nvenc", lambda: "no such luck")
    assert nvenc.choose_encoder("auto") == "x264"
    message = "videos are encoded on the CPU, with x264: no such luck"
    assert caplog.record_tuples == [("pipeline.sinks.nvenc", logging.WARNING, message)]


def test_nobody_looks_for_it_who_wants_x264(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvenc, "why_no_nvenc", lambda: pytest.fail("looks for a GPU"))
    assert nvenc.choose_encoder("x264") == "x264"


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(nvenc.ctypes, "CDLL", load)
    monkeypatch.setattr(nvenc, "_LIBRARY", "libnvidia-encode.so.1")
    assert nvenc.why_no_nvenc() == "libnvidia-encode.so.1, a part of the NVIDIA driver, cannot be loaded"


def test_an_encoder_that_encodes_a_picture_can_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """libx264 stands in for it."""
    monkeypatch.setattr(nvenc.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(nvenc, "trial_encoder", lambda encoder, preset, picture: trial_encoder("x264", "fast", picture))
    assert nvenc.why_no_nvenc() is None


def test_an_encoder_that_does_not_open_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(nvenc.ctypes, "CDLL", lambda name: None)
    monkeypatch.setattr(nvenc, "trial_encoder", fail)
    assert nvenc.why_no_nvenc() == (
        "it does not open (Operation not permitted): the GPU has none, or the driver is too old"
    )


def test_a_build_of_pyav_without_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvenc.ctypes, "CDLL", lambda name: None)
    monkeypatch.setitem(CODECS, "nvenc", "h264_not_built")
    assert nvenc.why_no_nvenc() == f"PyAV {av.__version__} was built without h264_not_built, which its wheel has"


def test_its_preset_need_not_be_found() -> None:
    assert Effort("auto", "nvenc").known(GREY) == NVENC_PRESET
    assert Effort("auto", "nvenc").encoder == "nvenc"
    assert Effort("fast").encoder == "x264"


@pytest.mark.parametrize("encoder", list(CODECS))
def test_the_video_is_encoded_with_it(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sinks.mp4.open_encoder", lambda *_: None)
    writer = Mp4Writer(tmp_path / "x.mp4", Media(), 240, 320, encoder, "any", 1)
    assert writer._stream.codec_context.codec.name == CODECS[encoder]


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """libx264 stands in for an NVENC that does not open for the video: it knows no preset p4."""
    monkeypatch.setitem(CODECS, "nvenc", "libx264")


@pytest.mark.parametrize("preset", ["auto", "fast"])
@pytest.mark.parametrize("frames", [1, 2, 15])
def test_a_video_that_it_does_not_open_for_begins_again_with_x264(
    frames: int,
    preset: str,
    refusing: None,
    tmp_path: Path,
    make_item: MakeItem,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = VideoSink(tmp_path / "x.mp4", Media(), Effort(preset, "nvenc", Effort(preset)))
    for index in range(frames):
        sink.write(make_item(GREY + index, index, index / 25))
    sink.close()
    assert sink.encoder == "x264"
    assert sink.preset == "fast" if preset == "fast" else sink.preset in ("ultrafast", "superfast", "veryfast")
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]
    with av.open(str(tmp_path / "x.mp4")) as container:
        levels = [frame.to_ndarray(format="bgr24").mean() for frame in container.decode(video=0)]
    assert np.allclose(levels, 128 + np.arange(frames), atol=2)
    assert caplog.messages == [f"{tmp_path / 'x.mp4'} is encoded on the CPU, with x264: {REFUSAL}"]


def test_a_video_that_it_alone_may_encode_ends_before_there_is_a_file(
    refusing: None, tmp_path: Path, make_item: MakeItem
) -> None:
    sink = VideoSink(tmp_path / "x.mp4", Media(), Effort("auto", "nvenc"))
    with pytest.raises(SinkError) as caught:
        sink.write(make_item(GREY, 0, 0.0))
    sink.close(whole=False)
    assert str(caught.value) == f"cannot write {tmp_path / 'x.mp4'}: {REFUSAL}; use --encoder x264 or auto"
    assert sink.encoder is None
    assert not list(tmp_path.iterdir())
