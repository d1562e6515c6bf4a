"""Videos that are decoded on a GPU: here with a decoder that says so, and works on the CPU."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from support import clips
from support.faults import fail_at
from support.surfaces import nvdec_on_the_cpu, on_host

from pipeline import cuda
from pipeline.errors import DeviceError, SourceError
from pipeline.sources import live, nvdec, open_source, pyav, video
from pipeline.sources.video import VideoFile


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.write_clip(tmp_path / "clip.mp4", clips.VARIABLE)


def test_pictures_stay_where_they_are_until_they_are_asked_for(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = clips.read_all(VideoFile(clip))
    nvdec_on_the_cpu(monkeypatch)
    source = open_source(str(clip), decoder="nvdec")
    frames, message = clips.read_all(source)
    assert (source.media.decoder, message) == ("nvdec", "")
    assert [frame.pts for frame in frames] == pytest.approx([frame.pts for frame in expected], abs=1e-6)
    for frame, other in zip(frames, expected, strict=True):
        assert frame.picture._image is None
        assert (frame.height, frame.width) == (other.height, other.width)
        assert np.abs(on_host(frame.on_device).astype(int) - other.image).max() <= 3
        assert frame.picture._image is None
        assert np.array_equal(frame.image, other.image)
        assert frame.image is frame.image


def test_a_lent_picture_is_made_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvdec_on_the_cpu(monkeypatch)
    frame = clips.read_all(VideoFile(clip, decoder="nvdec"))[0][0]
    first, second = on_host(frame.on_device), on_host(frame.on_device)
    assert first.__array_interface__["data"] == second.__array_interface__["data"]


def test_the_cpu_decodes_unless_it_is_told_otherwise(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvdec, "why_not", lambda target: pytest.fail("looks for a GPU"))
    source = open_source(str(clip))
    assert source.media.decoder == "cpu"
    assert all(frame.on_device is None for frame in clips.read_all(source)[0])


def test_what_cannot_be_had_is_refused_with_the_reason(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvdec, "why_not", lambda target: "no such luck")
    with pytest.raises(SourceError) as caught:
        open_source(str(clip), decoder="nvdec")
    assert str(caught.value) == f"{clip} cannot be decoded with nvdec: no such luck; use --decoder cpu"


def test_auto_falls_back_and_says_so(
    clip: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(nvdec, "why_not", lambda target: "no such luck")
    source = open_source(str(clip), decoder="auto")
    assert source.media.decoder == "cpu"
    assert caplog.record_tuples == [
        ("pipeline.sources.video", logging.WARNING, f"{clip} is decoded on the CPU: no such luck")
    ]
    assert len(clips.read_all(source)[0]) == len(clips.VARIABLE)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.h264", "joined.ts"])
@pytest.mark.parametrize("fault", [0, 20, 70])
def test_auto_goes_on_on_the_cpu_where_nvdec_fails(
    name: str, fault: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clip = clips.write_clip(tmp_path / name, [number / 2 for number in range(45)])
    clip.write_bytes(clip.read_bytes() * (2 if name == "joined.ts" else 1))
    expected, _ = clips.read_all(VideoFile(clip))
    nvdec_on_the_cpu(monkeypatch)
    fault = fault if fault < len(expected) else fault // 2
    fail_at(fault, av.error.ExternalError(542398533, "Generic error in an external library"), monkeypatch)
    frames, message = clips.read_all(open_source(str(clip), decoder="auto"))
    before = sum(frame.on_device is not None for frame in frames)
    assert max(0, fault - 5) <= before <= fault
    assert caplog.messages == [
        f"{clip} is decoded on the CPU after {before} frames: NVDEC failed: Generic error in an external library"
    ]
    assert message == ""
    assert [(frame.index, clips.number_in(frame.image)) for frame in frames] == [
        (frame.index, clips.number_in(frame.image)) for frame in expected
    ]
    assert [frame.pts for frame in frames] == pytest.approx([frame.pts for frame in expected], abs=1e-6)


def test_a_run_that_is_stopped_does_not_wait_for_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write_clip(tmp_path / "clip.ts", [number / 25 for number in range(90)])
    nvdec_on_the_cpu(monkeypatch)
    fail_at(80, av.error.ExternalError(542398533, "Generic error in an external library"), monkeypatch)
    upright, made, stop = pyav.upright, [], threading.Event()
    monkeypatch.setattr(pyav, "upright", lambda picture: made.append(picture) or upright(picture))
    for frame in VideoFile(clip, decoder="auto").frames(stop):
        if frame.index == 70:
            monkeypatch.setattr(video._LOG, "warning", lambda *_: stop.set())
    assert frame.index < 80
    assert len(made) == 1


def test_nvdec_alone_ends_the_source_where_it_fails(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvdec_on_the_cpu(monkeypatch)
    fail_at(10, av.error.ExternalError(542398533, "Generic error in an external library"), monkeypatch)
    frames, message = clips.read_all(open_source(str(clip), decoder="nvdec"))
    assert 5 < len(frames) <= 10
    assert message == (
        f"{clip} cannot be decoded with nvdec after {len(frames)} frames: Generic error in an external library; "
        "use --decoder cpu"
    )


def test_a_camera_is_decoded_on_the_cpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    closed = []
    monkeypatch.setattr(live.Camera, "_open", lambda camera: None)
    monkeypatch.setattr(live.Camera, "close", lambda camera: closed.append(camera.name))
    with pytest.raises(SourceError, match="0 is a camera, and those are decoded on the CPU: use --decoder cpu or auto"):
        open_source("0", decoder="nvdec")
    assert closed == ["0"]
    assert open_source("0", decoder="auto").media.decoder == "cpu"
    assert caplog.messages == ["0 is a camera, and those are decoded on the CPU"]
    assert open_source("0").media.decoder == "cpu"
    assert len(caplog.messages) == 1


def test_a_synthetic_picture_is_not_decoded(caplog: pytest.LogCaptureFixture) -> None:
    spec = "synthetic:64x48?frames=2"
    with pytest.raises(SourceError, match="is painted, not decoded: use --decoder cpu or auto"):
        open_source(spec, decoder="nvdec")
    open_source(spec, decoder="auto")
    assert caplog.messages == [f"{spec} is painted, not decoded"]
    open_source(spec)
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("name", ["a.png", "", "*.png"], ids=["one", "folder", "pattern"])
def test_images_are_decoded_on_the_cpu(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    spec = str(tmp_path / name)
    reason = f"{spec} is made of images, which are decoded on the CPU"
    with pytest.raises(SourceError) as caught:
        open_source(spec, decoder="nvdec")
    assert str(caught.value) == f"{reason}: use --decoder cpu or auto"
    assert open_source(spec, decoder="auto").media.frames == 1
    assert caplog.messages == [reason]
    open_source(spec)
    assert len(caplog.messages) == 1


# Why not


def test_without_a_driver(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def driver() -> None:
        raise DeviceError("no NVIDIA driver is installed")

    monkeypatch.setattr(cuda, "driver", driver)
    assert nvdec.why_not(str(clip)) == "no NVIDIA driver is installed"


def test_without_the_library_of_the_decoder(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvdec_on_the_cpu(monkeypatch)
    monkeypatch.setattr(nvdec, "_LIBRARY", "libnvcuvid.so.1")

    def load(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(nvdec.ctypes, "CDLL", load)
    assert nvdec.why_not(str(clip)) == (
        "libnvcuvid.so.1 cannot be loaded: a container needs NVIDIA_DRIVER_CAPABILITIES=compute,utility,video"
    )


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no stream is compatible"), "FFmpeg has no decoder on the GPU for its codec"),
        (av.error.ExternalError(542398533, "Generic error in an external library"), "Generic error in an external"),
        (av.error.PermissionError(1, "Operation not permitted", "clip.mp4"), "Operation not permitted"),
    ],
)
def test_what_pyav_raises_is_told(error: Exception, reason: str, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    nvdec_on_the_cpu(monkeypatch)
    monkeypatch.setattr(nvdec, "open_container", fail)
    assert (nvdec.why_not(str(clip)) or "").startswith(reason)


def test_a_video_without_a_picture_that_can_be_decoded(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvdec_on_the_cpu(monkeypatch)
    monkeypatch.setattr(nvdec, "_first", lambda packet: None)
    assert nvdec.why_not(str(clip)) == "this GPU does not decode its codec, profile or size"


def test_a_video_that_has_to_be_turned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.write_clip(tmp_path / "clip.mp4", rotation=90)
    nvdec_on_the_cpu(monkeypatch)
    assert nvdec.why_not(str(clip)) == "its pictures have to be turned by 90 degrees"


@pytest.mark.parametrize(
    ("stored", "size", "reason"),
    [
        ("p010le", (160, 120), "its pictures are p010le, not of 8 bits in 4:2:0 (nv12)"),
        ("nv12", (160, 121), "its width or height is odd (160x121)"),
        ("nv12", (161, 120), "its width or height is odd (161x120)"),
        ("nv12", (160, 120), None),
    ],
)
def test_pictures_that_cannot_be_used(stored: str, size: tuple[int, int], reason: str | None) -> None:
    width, height = size
    sw_format = SimpleNamespace(name=stored)
    assert nvdec._unfit(SimpleNamespace(sw_format=sw_format, rotation=0, width=width, height=height)) == reason
