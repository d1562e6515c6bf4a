"""The page in a real browser, with cameras and events that the test makes up."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cv2
import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser, Page, expect
from support.browser import wait_for_another_picture
from support.serving import FakeCameras, FakeEvents, picture, shown

from pipeline.serve.live import Live
from pipeline.serve.web.app import create_app
from pipeline.serve.web.server import WebServer
from pipeline.serve.web.settings import WebSettings

PASSWORD = "correct horse"
HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # a quick one
USERS = {"anna": {"role": "admin", "password": HASH}, "ben": {"password": HASH}}


class Site:
    """A served page, and its pipeline: 25 pictures a second of every camera in `live_names`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.live = Live()
        self.cameras = FakeCameras("gate", "yard")
        self.events = FakeEvents(folder)
        self.live_names = ["gate", "yard"]
        self._stop = threading.Event()
        given = WebSettings(port=0, notice="Events are kept for 14 days.", **settings)
        self.server = WebServer(create_app(given, self.live, self.cameras, self.events), given, self.live)

    def __enter__(self) -> Site:
        self.server.__enter__()
        self._pipeline = threading.Thread(target=self._run)
        self._pipeline.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pipeline.join()
        self.server.close()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.04):
            number += 1
            for name in self.live_names:
                self.live.publish(name, shown(picture(number, (360, 640))))

    def see(self, number: int, label: str = "person", camera: str = "gate") -> None:
        cv2.imwrite(str(self.events.folder / f"{number}.jpg"), picture(number, (90, 120)))
        start = datetime.now(UTC) - timedelta(minutes=90 - number)
        self.events.put(number, start=start, label=label, camera=camera, thumbnail=f"{number}.jpg")

    def miss(self, number: int, seconds: float | None = 120, camera: str = "gate") -> None:
        """A gap, next to the event of its number."""
        start = datetime.now(UTC) - timedelta(minutes=90 - number, seconds=10)
        self.events.miss(number, start, seconds, camera)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path) as site:
        yield site


def test_live_pictures_move(site: Site, page: Page) -> None:
    page.goto(site.server.url)
    for camera in ("gate", "yard"):
        wait_for_another_picture(page, camera)
    card = page.locator('[data-camera="gate"]')
    expect(card.locator(".state")).to_contain_text("Live")
    expect(card.locator(".figures")).to_have_text("24.9 fps · 41 ms · 0 dropped")
    expect(page.locator("#notice")).to_have_text("Events are kept for 14 days.")
    expect(page.locator("#sign-out")).to_be_hidden()


def test_a_camera_dies_and_comes_back(site: Site, page: Page) -> None:
    page.goto(site.server.url)
    wait_for_another_picture(page, "gate")
    site.live_names.remove("gate")
    site.cameras.put("gate", "waiting", reason="no answer; trying again in 4 s", gaps=1)
    card = page.locator('[data-camera="gate"]')
    expect(card.locator(".state")).to_contain_text("Reconnecting")
    expect(card.locator(".veil")).to_have_text("no answer; trying again in 4 s")
    wait_for_another_picture(page, "yard")
    expect(page.locator("#cameras-count")).to_have_text("1 of 2 live")
    site.live_names.append("gate")
    site.cameras.put("gate", gaps=1)
    expect(card.locator(".state")).to_contain_text("Live")
    expect(card.locator(".veil")).to_be_hidden()
    expect(card.locator(".figures")).to_contain_text("1 gap")
    wait_for_another_picture(page, "gate")


def test_cameras_come_and_go(site: Site, page: Page) -> None:
    page.goto(site.server.url)
    expect(page.locator("li.camera")).to_have_count(2)
    site.cameras.put("dock", "connecting")
    expect(page.locator('[data-camera="dock"] .state')).to_contain_text("Connecting")
    site.cameras.remove("dock")
    expect(page.locator("li.camera")).to_have_count(2)


def test_an_event_appears_and_opens(site: Site, page: Page) -> None:
    page.goto(site.server.url)
    expect(page.locator("#no-events")).to_have_text("Nothing has been seen yet.")
    site.see(1)
    event = page.locator("button.event")
    expect(event).to_contain_text("person")
    page.wait_for_function("() => document.querySelector('button.event img')?.naturalWidth === 120")
    event.click()
    expect(page.locator("#event-title")).to_have_text("person · gate")
    expect(page.locator("#media img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#event")).to_be_hidden()
    expect(event).to_be_focused()


def test_events_are_searched_and_paged(site: Site, page: Page) -> None:
    for number in range(60):
        site.see(number, label="dog" if number % 20 == 0 else "person", camera="yard" if number % 2 else "gate")
    page.goto(site.server.url)
    events = page.locator("button.event")
    expect(events).to_have_count(40)
    page.get_by_role("button", name="Show older").click()
    expect(events).to_have_count(60)
    site.see(60)
    expect(events).to_have_count(61)
    page.keyboard.press("/")
    page.keyboard.type("dog")
    expect(events).to_have_count(3)
    page.locator("select[name=camera]").select_option("yard")
    expect(page.locator("#no-events")).to_have_text("No event fits this search.")
    page.get_by_role("button", name="Clear").click()
    expect(events).to_have_count(40)
    page.locator("summary").click()
    page.get_by_label("From").fill("2100-01-01T00:00")
    expect(page.locator("#no-events")).to_be_visible()


def test_gaps_stand_in_the_timeline_where_nothing_could_be_seen(site: Site, page: Page) -> None:
    site.see(1)
    site.miss(2)
    site.see(3, label="dog")
    page.goto(site.server.url)
    entries = page.locator("#list li")
    expect(entries).to_have_text([re.compile("^dog"), re.compile("^No pictures"), re.compile("^person")])
    gap = page.locator(".gap")
    expect(gap.locator("small")).to_have_text("2 min · Connection refused")
    site.miss(4, seconds=None, camera="yard")  # it lasts: the page learns of it by itself
    expect(gap).to_have_count(2)
    expect(gap.first.locator("small")).to_have_text("going on · Connection refused")
    page.locator("select[name=camera]").select_option("gate")
    expect(gap).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type("dog")
    expect(entries).to_have_count(2)  # whatever is searched for, none could be seen then
    page.locator("summary").click()
    page.get_by_label("From").fill("2100-01-01T00:00")
    expect(entries).to_have_count(0)


def test_only_gaps_of_the_time_that_the_list_shows_are_shown(site: Site, page: Page) -> None:
    for number in range(60):
        site.see(number)
    site.miss(5)
    site.miss(50)
    page.goto(site.server.url)
    expect(page.locator(".gap")).to_have_count(1)
    page.get_by_role("button", name="Show older").click()
    expect(page.locator(".gap")).to_have_count(2)
    for number in range(201):
        site.miss(60 + number)
    expect(page.locator("#more-gaps")).to_be_visible()


def test_the_keyboard_does_it_all(site: Site, page: Page) -> None:
    site.see(1)
    site.see(2)
    page.goto(site.server.url)
    page.wait_for_selector('[data-camera="gate"].seen')
    page.focus('[data-camera="gate"] .screen')
    page.keyboard.press("ArrowRight")
    expect(page.locator('[data-camera="yard"] .screen')).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator('[data-camera="gate"]')).to_be_hidden()
    expect(page.locator('[data-camera="yard"] .screen')).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    expect(page.locator('[data-camera="yard"]')).to_be_hidden()
    wait_for_another_picture(page, "gate")
    page.keyboard.press("Escape")
    expect(page.locator("li.camera:visible")).to_have_count(2)
    page.locator("button.event").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#newer-event")).to_be_disabled()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#older-event")).to_be_disabled()


def test_only_what_is_in_sight_is_sent(site: Site, page: Page) -> None:
    page.goto(site.server.url)
    wait_for_another_picture(page, "yard")
    page.click('[data-camera="gate"] .screen')
    page.wait_for_timeout(300)
    assert site.live.watching == {"gate": 1}


def test_signing_in(tmp_path: Path, page: Page) -> None:
    with Site(tmp_path, users=USERS) as site:
        page.goto(site.server.url)
        expect(page).to_have_url(re.compile("/login$"))
        expect(page.locator("#notice")).to_have_text("Events are kept for 14 days.")
        page.get_by_label("Name").fill("ben")
        page.get_by_label("Password").fill("a guess")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("Wrong name or password.")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        wait_for_another_picture(page, "gate")
        expect(page.locator("#who")).to_have_text("ben")
        expect(page.locator("#show-audit")).to_be_hidden()
        page.get_by_role("button", name="Sign out").click()
        expect(page).to_have_url(re.compile("/login$"))


def test_an_admin_deletes_an_event_and_reads_the_audit_log(tmp_path: Path, page: Page) -> None:
    with Site(tmp_path, users=USERS) as site:
        site.see(1)
        page.goto(site.server.url)
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator("button.event").click()
        page.get_by_role("button", name="Delete").click()
        page.get_by_role("button", name="Delete for good?").click()
        expect(page.locator("#no-events")).to_be_visible()
        assert site.events.events == []
        page.get_by_role("button", name="Audit log").click()
        expect(page.locator("#audit tbody")).to_contain_text("delete event")


def test_an_admin_adds_changes_and_removes_a_camera_by_keyboard(site: Site, page: Page) -> None:
    page.goto(site.server.url)
    page.get_by_role("button", name="Add a camera").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_focused()
    for text in ("gate", "rtsp://me:hush@192.0.2.7/stream", "0"):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # in the next field: that of the masks
    every = page.locator("#camera-form [name=every]")
    assert not every.evaluate("field => field.validity.valid")
    every.fill("5")
    page.keyboard.press("Enter")
    expect(page.locator("#camera-problem")).to_have_text("there is a camera 'gate' already")
    page.get_by_label("Name").fill("dock")
    page.keyboard.press("Enter")
    expect(page.locator("#camera")).to_be_hidden()
    assert site.cameras.specs["dock"] == {"source": "rtsp://me:hush@192.0.2.7/stream", "every": 5}
    page.get_by_role("button", name="Settings of dock").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Name")).to_be_disabled()
    expect(page.locator("#source-now")).to_contain_text("Now rtsp://192.0.2.7/stream.")
    assert "hush" not in page.content() + str([field.input_value() for field in page.locator("#camera input").all()])
    page.get_by_label("privacy masks").fill("masks.yaml")
    page.keyboard.press("Enter")
    expect(page.locator("#camera")).to_be_hidden()
    assert site.cameras.specs["dock"] == {"every": 5, "masks": "masks.yaml"}
    page.get_by_role("button", name="Settings of dock").press("Enter")
    every.fill("7")
    page.keyboard.press("Enter")
    expect(page.locator("#camera")).to_be_hidden()
    assert site.cameras.specs["dock"] == {"every": 7}
    site.cameras.specs["dock"] = {"masks": "masks.yaml"}
    page.get_by_role("button", name="Settings of dock").press("Enter")
    page.get_by_label("privacy masks").fill("")
    page.keyboard.press("Enter")
    expect(page.locator("#camera")).to_be_hidden()
    assert site.cameras.specs["dock"] == {"masks": None}
    page.get_by_role("button", name="Settings of dock").press("Enter")
    page.get_by_role("button", name="Remove", exact=True).press("Enter")
    page.get_by_role("button", name="Remove it?").press("Enter")
    expect(page.locator('[data-camera="dock"]')).to_have_count(0)
    assert [action for _, action, _ in site.events.told if "camera" in action] == [
        "add camera",
        *["change camera"] * 3,
        "remove camera",
    ]


def test_settings_that_cannot_be_read_cannot_be_saved(site: Site, page: Page) -> None:
    page.route("**/settings", lambda route: route.fulfill(status=503, json={"detail": "the disk does not answer"}))
    page.goto(site.server.url)
    page.get_by_role("button", name="Settings of gate").press("Enter")
    expect(page.locator("#camera-problem")).to_have_text("the disk does not answer")
    for field in page.locator("#camera-form").locator("input, button").all():
        expect(field).to_be_disabled()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Add a camera").press("Enter")
    expect(page.get_by_label("Name")).to_be_enabled()
    expect(page.locator("#camera-problem")).to_be_empty()


def test_a_viewer_is_offered_no_settings(tmp_path: Path, page: Page) -> None:
    with Site(tmp_path, users=USERS) as site:
        page.goto(site.server.url)
        page.get_by_label("Name").fill("ben")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        wait_for_another_picture(page, "gate")
        expect(page.get_by_role("button", name="Add a camera")).to_be_hidden()
        expect(page.locator(".settings:visible")).to_have_count(0)
        status = "async path => (await fetch(path)).status"
        assert page.evaluate(status, "/api/cameras/gate/settings") == 403


def test_the_page_waits_for_its_server(tmp_path: Path, page: Page) -> None:
    with Site(tmp_path) as site:
        page.goto(site.server.url)
        wait_for_another_picture(page, "gate")
    expect(page.locator("#trouble")).to_be_visible()


def test_it_fits_the_phone_of_an_admin_who_has_signed_in(tmp_path: Path, browser: Browser) -> None:
    with Site(tmp_path, users=USERS) as site, browser.new_context(viewport={"width": 360, "height": 740}) as context:
        site.cameras.put("yard", gaps=3, dropped=4321)
        page = context.new_page()
        page.goto(site.server.url)
        page.get_by_label("Name").fill("anna")
        page.get_by_label("Password").fill(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        expect(page.get_by_role("button", name="Settings of yard")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_colours(site: Site, browser: Browser, scheme: Any) -> None:
    site.see(1)
    site.miss(2, camera="a-camera-with-a-very-long-name-that-has-no-space-in-it")
    site.cameras.put("yard", "failed", reason="a long reason " * 10)
    with browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme, is_mobile=True) as context:
        page = context.new_page()
        page.goto(site.server.url)
        page.wait_for_selector("button.event")
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(15, 17, 21)") == (scheme == "dark")
