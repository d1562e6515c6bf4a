"""What a user does, in a real browser: cameras that send, `onsight serve` as a process, its page.

A browser without H.264 cannot play the clips; the Chromium that `.ci/run` installs has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml
from argon2 import PasswordHasher
from playwright.sync_api import Locator, Page, expect
from support.browser import wait_for_another_picture
from support.clips import RED, Camera, camera
from support.models import tiny_detector
from support.served import Served, serving, until

PASSWORD = "correct horse"
USERS = {"ben": {"password": PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)}}
MASKS = {"masks": {"sky": {"points": [[0, 0], [1, 0], [1, 0.2], [0, 0.2]]}}}
WIDTH, HEIGHT, RATE = 320, 180, 10


def write_passer_by(path: Path) -> Path:
    """Something red walks past a grey wall within two seconds, and for two more nothing is there."""
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), RATE, (WIDTH, HEIGHT))
    for number in range(4 * RATE):
        image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
        if number < 2 * RATE:
            left = 40 + 9 * number
            cv2.rectangle(image, (left, 70), (left + 44, 149), RED, -1)
        video.write(image)
    video.release()
    return path


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Camera]]:
    clip = write_passer_by(tmp_path_factory.mktemp("clips") / "clip.mp4")
    with ExitStack() as stack:
        yield {name: stack.enter_context(camera(clip, rtsp=0)) for name in ("yard", "door")}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, cameras: dict[str, Camera]) -> Iterator[Served]:
    """Two cameras: clips of `yard` are cut from its own packets, those of `door`, which is masked, are encoded."""
    folder = tmp_path_factory.mktemp("served")
    tiny_detector(folder / "m.onnx")
    (folder / "masks.yaml").write_text(yaml.safe_dump(MASKS))
    config = {
        "model": "m.onnx",
        "track": True,
        "cameras": {
            "yard": {"source": cameras["yard"].urls[0]},
            "door": {"source": cameras["door"].urls[0], "masks": "masks.yaml"},
        },
        "store": {"clips": {"before": "1s", "after": "0.5s"}},
        "web": {"users": USERS},
    }
    (folder / "live.yaml").write_text(yaml.safe_dump(config))
    with serving(folder, "live.yaml") as served:
        yield served


@pytest.fixture
def signed_in(served: Served, page: Page) -> Page:
    page.goto(served.url)
    expect(page).to_have_url(re.compile("/login$"))
    page.get_by_label("Name").fill("ben")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("#who")).to_have_text("ben")
    return page


def events_of(page: Page, name: str) -> Locator:
    return page.locator("button.event").filter(has=page.get_by_text(name, exact=True))


def count_gaps(camera: Locator) -> int:
    """As its figures say: of a machine that is busy there may be some before the camera dies."""
    found = re.search(r"(\d+) gap", camera.locator(".figures").inner_text())
    return int(found[1]) if found else 0


def play(page: Page) -> object:
    """What became of the clip that is shown: it plays, or cannot be."""
    page.wait_for_function(
        "() => (video => video && (video.error || (video.readyState >= 2 && video.currentTime > 0)))"
        "(document.querySelector('#media video'))"
    )
    return page.eval_on_selector(
        "#media video",
        "video => ({ problem: video.error && video.error.message, width: video.videoWidth, height: video.videoHeight,"
        " lasts: video.duration > 1 && video.duration < Infinity })",
    )


@pytest.mark.parametrize(("name", "sky"), [("yard", 90), ("door", 0)], ids=["copied", "encoded"])
def test_an_event_appears_and_its_clip_plays(signed_in: Page, tmp_path: Path, name: str, sky: int) -> None:
    events = events_of(signed_in, name)
    expect(events).not_to_have_count(0)
    known = events.first.get_attribute("data-event")
    expect(events.first).not_to_have_attribute("data-event", str(known))  # without the page being loaded again
    events.first.click()  # it goes on: its clip comes while it is open
    expect(signed_in.locator("#event-title")).to_have_text(f"red · {name}")
    assert play(signed_in) == {"problem": None, "width": WIDTH, "height": HEIGHT, "lasts": True}
    with signed_in.expect_download() as download:
        signed_in.get_by_role("link", name="Download clip").click()
    assert re.fullmatch(rf"{name}-red-[\dTZ-]+\.mp4", download.value.suggested_filename)
    download.value.save_as(tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as video:
        pictures = [frame.to_ndarray(format="bgr24") for frame in video.decode(video=0)]
    assert len(pictures) > 5
    assert abs(np.mean([picture[:30] for picture in pictures]) - sky) < 10


def test_a_camera_is_seen_live_until_it_dies_and_when_it_is_back(signed_in: Page, cameras: dict[str, Camera]) -> None:
    for name in cameras:
        wait_for_another_picture(signed_in, name)
    expect(signed_in.locator("#cameras-count")).to_have_text("2 of 2 live")
    yard, gaps = signed_in.locator('[data-camera="yard"]'), signed_in.locator(".gap", has_text="yard")
    before = count_gaps(yard)
    cameras["yard"].turn("kill")
    expect(yard.locator(".state")).to_contain_text("Reconnecting")
    expect(yard.locator(".veil")).to_be_visible()
    going_on = gaps.filter(has_text="going on")
    expect(going_on).to_have_count(1)
    began = going_on.locator("time").get_attribute("datetime")
    wait_for_another_picture(signed_in, "door")
    expect(signed_in.locator("#cameras-count")).to_have_text("1 of 2 live")
    cameras["yard"].turn("well")
    expect(yard.locator(".state")).to_contain_text("Live")
    expect(yard.locator(".veil")).to_be_hidden()
    until(lambda: count_gaps(yard) > before)
    wait_for_another_picture(signed_in, "yard")
    gap = gaps.filter(has=signed_in.locator(f'time[datetime="{began}"]'))
    expect(gap).to_have_count(1)
    expect(gap).not_to_contain_text("going on")
