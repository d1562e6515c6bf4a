import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pipeline.errors import SinkError
from pipeline.sinks.window import WindowSink

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")

# The window lives in a process of its own: Qt ends the process whose display goes away.
SHOW = """
import sys
import cv2
import numpy as np
from pipeline.errors import StopStream
from pipeline.sinks.window import WindowSink
from pipeline.types import Annotated, Classification, Frame, Redacted

nothing = Classification(np.empty(0, np.int64), np.empty(0, np.float32), ("cat",))
sink = WindowSink("Onsight")
try:
    for i in range(int(sys.argv[1])):
        image = np.full([(48, 64, 3), (1, 1, 3), (2000, 3000, 3)][i % 3], 40 * (i % 6), np.uint8)
        if i == 5 and sys.argv[2] == "close":
            cv2.destroyWindow("Onsight")
        sink.write(Annotated(Redacted(Frame(image, "clip", i, i / 25), nothing), image))
        if i == 4:
            print("shown", flush=True)
except StopStream:
    print("stopped", flush=True)
sink.close()
sink.close(whole=False)
print("closed", flush=True)
"""


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """The name of a display that nobody sees."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x900x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


def show(display: str, frames: int, how: str = "-") -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SHOW, str(frames), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "DISPLAY": display})


def test_frames_of_any_size_are_shown(display: str) -> None:
    process = show(display, 9)
    assert process.communicate(timeout=30)[0].split() == ["shown", "closed"]
    assert process.returncode == 0


def test_a_closed_window_ends_the_run(display: str) -> None:
    process = show(display, 100_000, "close")
    assert process.communicate(timeout=30)[0].split() == ["shown", "stopped", "closed"]


@pytest.mark.skipif(shutil.which("xdotool") is None, reason="xdotool is not installed")
@pytest.mark.parametrize("key", ["q", "Escape"])
def test_a_key_ends_the_run(display: str, key: str) -> None:
    process = show(display, 100_000)
    assert process.stdout is not None
    assert process.stdout.readline() == "shown\n"
    for command in (["search", "--sync", "--name", "^Onsight$", "windowfocus", "--sync"], ["key", key]):
        subprocess.run(["xdotool", *command], env={**os.environ, "DISPLAY": display}, check=True, timeout=30)
    assert process.communicate(timeout=30)[0].split() == ["stopped", "closed"]


def test_without_a_display_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SinkError, match=r"there is no display .* --output"):
        WindowSink("Onsight")


def test_a_display_that_cannot_be_reached_does_not_end_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(SinkError, match="no window can be opened on display ':4711'"):
        WindowSink("Onsight")


@pytest.mark.parametrize("module", ["video", "mp4", "sound", "records"])
def test_opencv_is_loaded_before_pyav_or_its_windows_hang(module: str) -> None:
    code = f"import sys, pipeline.sinks.{module}; print(*(name for name in sys.modules if name in ('av', 'cv2')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "cv2"
