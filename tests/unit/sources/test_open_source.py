"""What `open_source` makes of what the user wrote, and what it says when it cannot."""

from __future__ import annotations

import threading
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from support import clips

from pipeline.errors import SourceError
from pipeline.sources import open_source
from pipeline.sources.images import Images
from pipeline.sources.live import hide_all_credentials, hide_credentials
from pipeline.sources.synthetic import Synthetic
from pipeline.sources.video import VideoFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("img10.png", "img2.png", "IMG1.JPG", "._img3.png"):
        cv2.imwrite(str(tmp_path / name), clips.picture(1))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "deep").mkdir()
    cv2.imwrite(str(tmp_path / "deep" / "img3.png"), clips.picture(3))
    return tmp_path


def names(spec: str | Path) -> list[str]:
    return [Path(frame.source).name for frame in open_source(str(spec)).frames(threading.Event())]


def test_a_folder_gives_its_images_in_natural_order(folder: Path) -> None:
    assert names(folder) == ["IMG1.JPG", "img2.png", "img10.png"]


def test_globs_go_deep_only_when_told(folder: Path) -> None:
    assert names(folder / "*.png") == ["img2.png", "img10.png"]
    assert names(folder / "**" / "img*.png") == ["img3.png", "img2.png", "img10.png"]


def test_an_existing_path_is_no_pattern(folder: Path) -> None:
    clip = clips.write_clip(folder / "a[1].mp4")
    assert isinstance(open_source(str(clip)), VideoFile)
    cv2.imwrite(str(folder / "b*.png"), clips.picture(1))
    cv2.imwrite(str(folder / "bb.png"), clips.picture(1))
    assert names(folder / "b*.png") == ["b*.png"]


@pytest.mark.parametrize(("suffix", "kind"), [(".mp4", VideoFile), (".weird", VideoFile), (".PNG", Images)])
def test_files_are_told_apart_by_suffix(tmp_path: Path, suffix: str, kind: type) -> None:
    path = tmp_path / f"ä file: 1{suffix}"
    clips.write_clip(tmp_path / "clip.mp4").rename(path)
    source = open_source(str(path), 2)
    assert isinstance(source, kind)
    assert (source.name, source.stream) == (str(path), 2)


def test_the_sound_is_named_only_where_there_is_some(tmp_path: Path) -> None:
    loud, silent = clips.write_clip(tmp_path / "a.mp4", sound=True), clips.write_clip(tmp_path / "b.mp4")
    assert open_source(str(loud)).media.audio == loud
    assert open_source(str(silent)).media.audio is None


def write_sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        clips.write_sound(container, 0.5)


def without_index(path: Path) -> None:
    data = clips.write_clip(path).read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


@pytest.mark.parametrize(
    ("name", "write", "reason"),
    [
        ("missing.mp4", lambda path: None, "does not exist"),
        ("empty.mp4", Path.touch, "is empty (0 bytes)"),
        ("empty.png", Path.touch, "is empty (0 bytes)"),
        ("text.mp4", lambda path: path.write_text("hello\n" * 99), "is not a video"),
        ("notes.txt", lambda path: path.write_text("hello\n" * 99), "has no video stream"),
        ("sound.mp4", write_sound_only, "has no video stream"),
        ("cut.mp4", without_index, "index (moov) is missing"),
        ("folder", Path.mkdir, "holds no images"),
        ("*.jpg", lambda path: None, "matches no file"),
        ("*.mp4", lambda path: clips.write_clip(path.with_name("a.mp4")), "which is no image"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path, name: str, write, reason: str, capfd) -> None:
    write(tmp_path / name)
    with pytest.raises(SourceError, match=r"^[^\n]+$") as caught:
        open_source(str(tmp_path / name))
    assert reason in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_special_file_is_refused() -> None:
    with pytest.raises(SourceError, match="not a file"):
        open_source("/dev/null")


def test_an_absent_webcam_is_refused() -> None:
    with pytest.raises(SourceError, match="webcam 97 cannot be opened"):
        open_source("97")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://host:554/a@b", "rtsp://host:554/a@b"),
        ("rtsp://user:secret@host/live", "rtsp://host/live"),
        ("RTSP://user:sec@ret@host:554/live", "RTSP://host:554/live"),
        ("rtsp://user:sec/ret@host/live", "rtsp://host/live"),
        ("http://host/live?user=me&password=secret&x=1", "http://host/live?user=***&password=***&x=1"),
        ("http://host/live?loginuse=me&loginpas=sec#ret", "http://host/live?loginuse=***&loginpas=***"),
        ("rtsp://host/user=me_password=sec_ret_channel=2_stream=0.sdp", "rtsp://host/user=***_channel=2_stream=0.sdp"),
        (
            "rtsp://host/user=me&password=secret&channel=1&stream=0.sdp?",
            "rtsp://host/user=***&password=***&channel=1&stream=0.sdp?",
        ),
        ("rtsp://host/id=1_password=a/b#c_stream=x_channel=1", "rtsp://host/id=1_password=***_channel=1"),
        ("http://host/live?user_name=me&u=me&p=secret&up=3", "http://host/live?user_name=***&u=***&p=***&up=3"),
        ("http://host/live?access_token=a/b+c=#d;e&size=3", "http://host/live?access_token=***&size=3"),
        ("http://host/monkey/live?size=3", "http://host/monkey/live?size=3"),
        ("http://host/live?credential=me&signature=secret", "http://host/live?credential=***&signature=***"),
        ("rtsp://[::1]:554/a@b", "rtsp://[::1]:554/a@b"),
    ],
)
def test_credentials_are_hidden(url: str, shown: str) -> None:
    assert hide_credentials(url) == shown


@pytest.mark.parametrize("part", ["_key", "key", "_", "&key", "/user", "a", "rtsp", "user="])
def test_hiding_takes_no_time_even_where_somebody_wants_it_to(part: str) -> None:
    for start in ("", "rtsp://host/", "rtsp://host/?"):
        hide_all_credentials(start + part * 20_000)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_no_password_in_the_message_of_a_dead_camera(scheme: str, caplog, capfd) -> None:
    with pytest.raises(SourceError, match="Connection refused") as caught:
        open_source(f"{scheme}://user:secret@127.0.0.1:9/live?token=secret")
    assert "127.0.0.1:9/live" in str(caught.value)
    assert "secret" not in "".join([str(caught.value), caplog.text, *capfd.readouterr()])


def test_synthetic_specs() -> None:
    source = open_source("synthetic:64x48@29.97?frames=5&seed=7", 1)
    assert isinstance(source, Synthetic)
    frames = list(source.frames(threading.Event()))
    assert [frame.pts for frame in frames] == pytest.approx([number / 29.97 for number in range(5)])
    assert (frames[0].width, frames[0].height, frames[0].stream) == (64, 48, 1)
    other = next(open_source("synthetic:64x48?seed=8").frames(threading.Event()))
    same = next(open_source("synthetic:64x48?seed=7").frames(threading.Event()))
    assert np.array_equal(same.image, frames[0].image)
    assert not np.array_equal(other.image, frames[0].image)


@pytest.mark.parametrize("size", ["1x1", "3x400", "1920x1080"])
def test_synthetic_sizes(size: str) -> None:
    frames = list(open_source(f"synthetic:{size}?frames=70").frames(threading.Event()))
    assert {f"{frame.width}x{frame.height}" for frame in frames} == {size}


@pytest.mark.parametrize(
    ("spec", "media"),
    [("synthetic:", (False, None)), ("synthetic:?live=1", (True, None)), ("synthetic:@5?frames=9", (False, 9))],
)
def test_synthetic_media(spec: str, media: tuple[bool, int | None]) -> None:
    source = open_source(spec)
    assert (source.media.live, source.media.frames) == media


@pytest.mark.parametrize(
    "spec",
    [
        "synthetic:big",
        "synthetic:0x10",
        "synthetic:9x9@0",
        "synthetic:?size=3",
        "synthetic:?frames=x",
        "synthetic:?live=2",
    ],
)
def test_broken_synthetic_specs_are_refused(spec: str) -> None:
    with pytest.raises(SourceError, match="synthetic:"):
        open_source(spec)
