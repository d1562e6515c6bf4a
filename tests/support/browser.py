"""The Chromium of this machine, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PATIENCE = 60_000.0  # milliseconds; a busy machine may need some of them
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips where there is none; fails instead where `CI` is set, for `.ci/run` installs it."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"none of {', '.join(NAMES)} is installed")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def wait_for_another_picture(page: Page, camera: str) -> None:
    """Returns when the live picture of this camera has changed."""
    page.wait_for_selector(f'[data-camera="{camera}"].seen')
    page.wait_for_function(
        "([camera, before]) => document.querySelector(`[data-camera='${camera}'] canvas`).toDataURL() !== before",
        arg=[camera, _pixels_of(page, camera)],
    )


def _pixels_of(page: Page, camera: str) -> str:
    return page.eval_on_selector(f'[data-camera="{camera}"] canvas', "canvas => canvas.toDataURL()")
